"""What is said of pairs and clocks: severity, text and fix."""

from dataclasses import replace
from typing import Any

import pytest
from planted_cluster import HEAD, HEALTHY, OTHER, PAIR, problems

from unfreeze.cluster.doctor.clock import estimate_offset
from unfreeze.cluster.doctor.facts import ClockOffset, Examination, Finding
from unfreeze.cluster.doctor.findings import exit_code, judge


def test_a_pair_that_cannot_talk_is_named_with_addresses_and_what_to_open() -> None:
    silent = replace(PAIR, bytes_per_s=None, problem="timed out")
    assert problems(replace(HEALTHY, pairs=(silent,))) == [
        Finding(
            "error",
            "10.0.0.1 - 10.0.0.2",
            "no all-reduce (gloo) between 10.0.0.1 (eth0) and 10.0.0.2 (eth1): timed out",
            "let every TCP port through between 10.0.0.1 and 10.0.0.2 (firewall, security group); "
            "on hosts with several networks set GLOO_SOCKET_IFNAME to the interface that has the "
            "address",
        )
    ]


def test_a_pair_on_gpus_is_told_of_the_variable_of_nccl() -> None:
    silent = replace(PAIR, backend="nccl", bytes_per_s=None, problem="x", interfaces=(None, None))
    (finding,) = problems(replace(HEALTHY, pairs=(silent,)))
    assert finding.text == "no all-reduce (nccl) between 10.0.0.1 and 10.0.0.2: x"
    assert "NCCL_SOCKET_IFNAME" in finding.fix


def three_nodes(*speeds: float) -> Examination:
    third = replace(OTHER, name="10.0.0.3", address="10.0.0.3", hostname="third")
    ends = [("10.0.0.1", "10.0.0.2"), ("10.0.0.1", "10.0.0.3"), ("10.0.0.2", "10.0.0.3")]
    pairs = [
        replace(PAIR, first=first, second=second, bytes_per_s=speed)
        for (first, second), speed in zip(ends, speeds, strict=True)
    ]
    return replace(HEALTHY, nodes=(HEAD, OTHER, third), pairs=pairs)


def test_a_pair_slower_than_a_third_of_what_most_nodes_reach_is_a_warning() -> None:
    assert problems(three_nodes(900e6, 960e6, 299e6)) == [
        Finding(
            "warning",
            "10.0.0.2 - 10.0.0.3",
            "299 MB/s between 10.0.0.2 (eth0) and 10.0.0.3 (eth1), less than a third of what most "
            "nodes reach, 960 MB/s: a job waits for its slowest link",
            "look for other traffic and a slower card; on hosts with several networks set "
            "GLOO_SOCKET_IFNAME to the interface of the faster one",
        )
    ]


def test_pairs_that_differ_less_are_well_and_their_span_is_told() -> None:
    findings = judge(three_nodes(900e6, 1060e6, 361e6))
    assert Finding("ok", "all-reduce", "all 3 pairs: 361 to 1,060 MB/s") in findings


def test_a_slow_node_of_three_is_found_though_most_pairs_are_slow() -> None:
    found = problems(three_nodes(293e6, 17e6, 23e6))
    assert [finding.subject for finding in found] == [
        "10.0.0.1 - 10.0.0.3",
        "10.0.0.2 - 10.0.0.3",
    ]
    assert {finding.severity for finding in found} == {"warning"}


def test_nodes_on_one_host_are_no_measure_for_the_network() -> None:
    found = three_nodes(9000e6, 300e6, 310e6)
    on_one_host = replace(OTHER, address=HEAD.address)
    assert problems(replace(found, nodes=(HEAD, on_one_host, found.nodes[2]))) == []


def test_pairs_that_were_left_out_are_told() -> None:
    findings = judge(replace(HEALTHY, pairs_left_out=28))
    text = "1 of 29 pairs (a ring, and the head with each): 900 MB/s"
    assert Finding("ok", "all-reduce", text) in findings
    slow = judge(replace(three_nodes(900e6, 960e6, 299e6), pairs_left_out=4))
    text = "3 of 7 pairs (a ring, and the head with each): 299 to 960 MB/s"
    assert Finding("ok", "all-reduce", text) in slow


def test_one_node_is_paired_with_itself() -> None:
    pair = replace(PAIR, second="10.0.0.1")
    findings = judge(replace(HEALTHY, nodes=(HEAD,), pairs=(pair,)))
    assert Finding("ok", "all-reduce", "two ranks on the one node: 900 MB/s") in findings
    assert exit_code(findings) == 0


@pytest.mark.parametrize(
    ("offset", "severity", "text"),
    [
        (ClockOffset(3.21, 0.004), "warning", "its clock is 3.2 s (+- 0.0 s) ahead of the head's"),
        (ClockOffset(-75.0, 2.0), "error", "its clock is 75.0 s (+- 2.0 s) behind the head's"),
        (ClockOffset(61.0, 2.0), "warning", "its clock is 61.0 s (+- 2.0 s) ahead of the head's"),
    ],
)
def test_a_clock_that_is_surely_off_is_named(offset: ClockOffset, severity: Any, text: str) -> None:
    found = replace(HEALTHY, nodes=(HEAD, replace(OTHER, clock=offset)))
    assert problems(found) == [
        Finding(
            severity,
            "10.0.0.2",
            text,
            "let all hosts follow a time server (chrony, systemd-timesyncd); "
            "S3 refuses requests from a clock that is 15 minutes off",
        )
    ]


def test_a_clock_that_may_be_right_is_not_blamed() -> None:
    found = replace(HEALTHY, nodes=(HEAD, replace(OTHER, clock=ClockOffset(2.5, 1.6))))
    assert problems(found) == []


def test_clocks_are_compared_with_the_heads_not_with_this_machines() -> None:
    clock = ClockOffset(5.0, 0.001)
    found = replace(HEALTHY, nodes=(replace(HEAD, clock=clock), replace(OTHER, clock=clock)))
    assert problems(found) == []
    assert "within 0.002 s of the head's" in [finding.text for finding in judge(found)]


def test_the_offset_of_a_clock_is_that_of_the_quickest_ping() -> None:
    pings = [
        (100.0, 103.4, 100.8),  # late on its way back
        (101.0, 104.01, 101.02),
        (102.0, 105.3, 102.4),
    ]
    offset = estimate_offset(pings)
    assert offset.seconds == pytest.approx(3.0)
    assert offset.error_s == pytest.approx(0.01)


@pytest.mark.parametrize("there", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_the_true_offset_is_never_outside_of_the_error(there: float) -> None:
    """Wherever between asking and hearing the other clock was read."""
    ahead = -7.0
    offset = estimate_offset([(50.0, 50.0 + there + ahead, 51.0)])
    assert abs(offset.seconds - ahead) <= offset.error_s
