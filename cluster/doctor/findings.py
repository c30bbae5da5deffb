"""From what was found out about a cluster to sentences with fixes, the worst first. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence

from unfreeze.cluster.doctor.facts import Dashboard, Examination, Finding, Severity
from unfreeze.cluster.doctor.hosts import judge_hosts
from unfreeze.cluster.doctor.links import judge_clocks, judge_pairs
from unfreeze.cluster.doctor.software import judge_accelerators, judge_software
from unfreeze.cluster.security import is_answer

_ORDER: Sequence[Severity] = ("error", "warning", "ok")


def judge(found: Examination) -> list[Finding]:
    """All that can be said of a cluster, in no order."""
    return [
        *_unanswered(found),
        *judge_software(found),
        *judge_accelerators(found.nodes),
        *judge_pairs(found),
        *judge_clocks(found.nodes),
        *judge_hosts(found.nodes, found.session),
        _judge_dashboard(found.dashboard),
    ]


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Errors, warnings, then what is well; among equals as they came."""
    return sorted(findings, key=lambda finding: _ORDER.index(finding.severity))


def summary(findings: Iterable[Finding]) -> str:
    """`1 error, 2 warnings`, or `no problems found`."""
    counts = Counter(finding.severity for finding in findings)
    said = [
        f"{counts[severity]} {severity}{'s' * (counts[severity] > 1)}"
        for severity in _ORDER[:2]
        if counts[severity]
    ]
    return ", ".join(said) or "no problems found"


def exit_code(findings: Iterable[Finding]) -> int:
    """1 if there is an error; warnings are none."""
    return int(any(finding.severity == "error" for finding in findings))


def _unanswered(found: Examination) -> list[Finding]:
    return [
        Finding(
            "error",
            node.name,
            f"it does not answer: {node.problem}",
            "look at raylet.out and the newest worker files in the logs of its Ray session; "
            "start Ray there again",
        )
        for node in found.nodes
        if node.problem
    ]


def _judge_dashboard(found: Dashboard) -> Finding:
    if found.url is None:
        return Finding(
            "warning",
            "dashboard",
            "the head was started without one: the Jobs API is missing, and Ray Tune cannot clean "
            "up after trials that it stops",
            "start the head with --include-dashboard=true",
        )
    if found.status in (401, 403):
        return Finding("ok", "dashboard", f"{found.url} asks for a token")
    if found.status is None or not is_answer(found.status):
        said = found.problem or f"it answers {found.status}"
        return Finding(
            "warning",
            "dashboard",
            f"{found.url} does not work: {said}",
            "look at dashboard.log in the logs of the head's Ray session",
        )
    token = "start every node with RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH, see docs/deploy.md"
    if found.is_loopback:
        return Finding(
            "warning",
            "dashboard",
            f"{found.url} asks for no token: every user of the head can run code as you",
            token,
        )
    return Finding(
        "error",
        "dashboard",
        f"{found.url} asks for no token, and listens beyond the loopback: whoever reaches it runs "
        "code on the cluster",
        f"{token}; and start the head with --dashboard-host=127.0.0.1",
    )
