"""What lies between the nodes: how fast they talk, and whether their clocks agree. Pure."""

from collections.abc import Sequence
from statistics import median

from unfreeze.cluster.doctor.facts import ClockOffset, Examination, Finding, Node, Pair

SLOW = 1 / 3
"""Of the usual speed. An all-reduce goes as fast as its slowest link; what differs less may be
chance, or other work."""

CLOCK_WARNING_S = 1.0
"""Logs and listings of different nodes are then in a wrong order."""

CLOCK_ERROR_S = 60.0
"""No clock that follows a time server is so far off. At 15 minutes S3 refuses all requests."""

MB = 1e6


def judge_pairs(found: Examination) -> list[Finding]:
    """Pairs that cannot talk, and slow ones."""
    nodes = {node.name: node for node in found.nodes}
    speeds = [pair.bytes_per_s for pair in found.pairs if pair.bytes_per_s is not None]
    usual = usual_speed(found)
    findings = []
    for pair in found.pairs:
        addresses = nodes[pair.first].address, nodes[pair.second].address
        if pair.bytes_per_s is None:
            findings.append(_silent(pair, addresses))
        elif pair.bytes_per_s < SLOW * usual:
            findings.append(_slow(pair, pair.bytes_per_s, usual, addresses))
    if speeds and (not findings or found.pairs_left_out):
        span = " to ".join(dict.fromkeys([_speed(min(speeds)), _speed(max(speeds))]))
        findings.append(Finding("ok", "all-reduce", f"{_number(found)}: {span} MB/s"))
    return findings


def usual_speed(found: Examination) -> float:
    """Bytes per second that the median node reaches with the partner that suits it best.

    The median of the pairs would not do: a node with a slow link makes two of three pairs slow.
    Nodes with the same address are on one host, and no measure for a network; 0: all are.
    """
    addresses = {node.name: node.address for node in found.nodes}
    best: dict[str, float] = {}
    for pair in found.pairs:
        if pair.bytes_per_s is not None and addresses[pair.first] != addresses[pair.second]:
            for name in (pair.first, pair.second):
                best[name] = max(best.get(name, 0.0), pair.bytes_per_s)
    return median(best.values()) if best else 0.0


def _silent(pair: Pair, addresses: tuple[str, str]) -> Finding:
    first, second = addresses
    return Finding(
        "error",
        pair.name,
        f"no all-reduce ({pair.backend}) between {_ends(pair, addresses)}: {pair.problem}",
        f"let every TCP port through between {first} and {second} (firewall, security group); on "
        f"hosts with several networks set {_variable(pair)} to the interface that has the address",
    )


def _slow(pair: Pair, speed: float, usual: float, addresses: tuple[str, str]) -> Finding:
    return Finding(
        "warning",
        pair.name,
        f"{_speed(speed)} MB/s between {_ends(pair, addresses)}, less than a third of what most "
        f"nodes reach, {_speed(usual)} MB/s: a job waits for its slowest link",
        f"look for other traffic and a slower card; on hosts with several networks set "
        f"{_variable(pair)} to the interface of the faster one",
    )


def judge_clocks(nodes: Sequence[Node]) -> list[Finding]:
    """Clocks that are surely off, against the head's; against this machine's if that is unknown."""
    known = {node.name: node.clock for node in nodes if node.clock}
    head = next((node.name for node in nodes if node.is_head and node.clock), None)
    whose = "the head's" if head else "this machine's"
    right = known.pop(head) if head else ClockOffset(0.0, 0.0)
    offsets = {
        name: ClockOffset(clock.seconds - right.seconds, clock.error_s + right.error_s)
        for name, clock in known.items()
    }
    findings = [
        Finding(
            "error" if _surely(clock) > CLOCK_ERROR_S else "warning",
            name,
            f"its clock is {abs(clock.seconds):.1f} s (+- {clock.error_s:.1f} s) "
            f"{'ahead of' if clock.seconds > 0 else 'behind'} {whose}",
            "let all hosts follow a time server (chrony, systemd-timesyncd); "
            "S3 refuses requests from a clock that is 15 minutes off",
        )
        for name, clock in offsets.items()
        if _surely(clock) > CLOCK_WARNING_S
    ]
    if offsets and not findings:
        most = max(abs(clock.seconds) + clock.error_s for clock in offsets.values())
        findings.append(Finding("ok", "clocks", f"within {most:.3f} s of {whose}"))
    return findings


def _surely(clock: ClockOffset) -> float:
    """How far it is off at least."""
    return abs(clock.seconds) - clock.error_s


def _number(found: Examination) -> str:
    measured = len(found.pairs)
    if found.pairs[0].first == found.pairs[0].second:
        return "two ranks on the one node"
    if found.pairs_left_out:
        of = measured + found.pairs_left_out
        return f"{measured} of {of} pairs (a ring, and the head with each)"
    return "the one pair" if measured == 1 else f"all {measured} pairs"


def _ends(pair: Pair, addresses: tuple[str, str]) -> str:
    """10.0.0.1 (eth0) and 10.0.0.2 (eth1)."""
    ends = zip(addresses, pair.interfaces, strict=True)
    return " and ".join(
        f"{address} ({interface})" if interface else address for address, interface in ends
    )


def _variable(pair: Pair) -> str:
    return "NCCL_SOCKET_IFNAME" if pair.backend == "nccl" else "GLOO_SOCKET_IFNAME"


def _speed(bytes_per_s: float) -> str:
    return f"{bytes_per_s / MB:,.0f}"
