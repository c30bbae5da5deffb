"""What trying a store from every machine says of it. Pure."""

from collections.abc import Mapping, Sequence

from unfreeze.cluster.doctor.facts import Finding, Unanswered
from unfreeze.cluster.doctor.links import CLOCK_ERROR_S, CLOCK_WARNING_S
from unfreeze.cluster.doctor.software import THIS_MACHINE, names
from unfreeze.storage.probe import StoreProbe

Answers = Mapping[str, StoreProbe | Unanswered]

MB = 1e6
_CANNOT = {
    "put": "cannot be written",
    "get": "cannot be read",
    "condition": "cannot be written on condition",
    "list": "cannot be listed",
    "marker": "cannot be read",
    "delete": "lets nothing be deleted",
}


def judge_store(uri: str, answers: Answers) -> list[Finding]:
    """Unreachable, refused, not conditional, not shared, clock off; by machine."""
    probes = {name: probe for name, probe in answers.items() if isinstance(probe, StoreProbe)}
    findings = [*_untried(uri, answers), *_failed(uri, probes)]
    findings += _unconditional(uri, probes) + _unshared(uri, probes) + _clock(uri, probes)
    if probes and not findings:
        puts = _span([probe.put_bytes_per_s or 0.0 for probe in probes.values()])
        gets = _span([probe.get_bytes_per_s or 0.0 for probe in probes.values()])
        text = f"{uri} works from {_number(probes)}: put {puts}, get {gets} MB/s each, all at once"
        findings.append(
            Finding("ok", "store", f"{text}; conditional puts are refused as they must")
        )
    return findings


def _untried(uri: str, answers: Answers) -> list[Finding]:
    findings = []
    for reason, machines in _by_reason(
        {name: probe.reason for name, probe in answers.items() if isinstance(probe, Unanswered)}
    ).items():
        without = "No module named 'unfreeze" in reason
        findings.append(
            Finding(
                "warning" if without else "error",
                names(machines),
                f"{uri} could not be tried from there: {reason}",
                "install unfreeze there, and ask again" if without else "look at that node's logs",
            )
        )
    return findings


def _failed(uri: str, probes: Mapping[str, StoreProbe]) -> list[Finding]:
    failed = {
        name: f"{uri} {_CANNOT[probe.failed]}: {probe.problem}"
        for name, probe in probes.items()
        if probe.failed
    }
    if len(failed) == len(probes):
        fix = "no machine can use it: check the address, that the server runs, and the keys"
    elif THIS_MACHINE in failed:
        fix = "nodes can use it: check this machine's network and keys"
    else:
        fix = (
            "other machines can use it: name an endpoint that every node reaches (the embedded "
            "server is on one machine's loopback), and give the nodes keys (AWS_*, a role)"
        )
    return [
        Finding("error", names(machines), text, fix)
        for text, machines in _by_reason(failed).items()
    ]


def _unconditional(uri: str, probes: Mapping[str, StoreProbe]) -> list[Finding]:
    machines = [name for name, probe in probes.items() if probe.is_conditional is False]
    if not machines:
        return []
    return [
        Finding(
            "error",
            names(machines),
            f"{uri} ignores If-None-Match: of two workers that commit the same checkpoint, the "
            "second replaces the first",
            "use a store that honours it, as AWS S3 does and the server of `unfreeze storage up`",
        )
    ]


def _unshared(uri: str, probes: Mapping[str, StoreProbe]) -> list[Finding]:
    machines = [name for name, probe in probes.items() if probe.sees_marker is False]
    if not machines:
        return []
    is_s3 = uri.startswith("s3://")
    return [
        Finding(
            "error",
            names(machines),
            f"{uri} does not have there what this machine has put into it",
            "let all machines use the same endpoint and bucket"
            if is_s3
            else "mount the same file system there, or use an s3:// store",
        )
    ]


def _clock(uri: str, probes: Mapping[str, StoreProbe]) -> list[Finding]:
    findings = []
    for name, probe in probes.items():
        ahead = probe.clock_ahead_s or 0.0
        surely = abs(ahead) - probe.clock_error_s
        if surely > CLOCK_WARNING_S:
            findings.append(
                Finding(
                    "error" if surely > CLOCK_ERROR_S else "warning",
                    name,
                    f"the clock of {uri} is {abs(ahead):.1f} s (+- {probe.clock_error_s:.1f} s) "
                    f"{'ahead of' if ahead > 0 else 'behind'} this one's",
                    "let both follow a time server; S3 refuses requests that are 15 minutes off",
                )
            )
    return findings


def _by_reason(reasons: Mapping[str, str]) -> dict[str, list[str]]:
    machines: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        machines.setdefault(reason, []).append(name)
    return machines


def _span(speeds: Sequence[float]) -> str:
    ends = [f"{speed / MB:,.0f}" for speed in (min(speeds), max(speeds))]
    return " to ".join(dict.fromkeys(ends))


def _number(probes: Mapping[str, StoreProbe]) -> str:
    nodes = len(probes.keys() - {THIS_MACHINE})
    return f"this machine and {nodes} node{'s' * (nodes != 1)}"
