"""What is said of a cluster as a whole, of its dashboard, and in which order."""

from dataclasses import asdict, replace
from typing import Any

import pytest
from planted_cluster import HEAD, HEALTHY, OTHER, problems

from unfreeze.cluster.doctor.facts import Dashboard, Finding
from unfreeze.cluster.doctor.findings import exit_code, in_order, judge, summary


def test_a_healthy_cluster_has_no_problems_and_says_what_was_looked_at() -> None:
    findings = judge(HEALTHY)
    assert [(f.subject, f.text) for f in findings] == [
        (
            "versions",
            "the same on 2 nodes: Python 3.11.13, ray 2.60.0, torch 2.13.0+cu130, "
            "deepspeed 0.19.8, transformers 5.23.0, unfreeze 0.1.0",
        ),
        ("GPUs", "Ray and torch agree: 0 on 2 nodes"),
        ("all-reduce", "the one pair: 900 MB/s"),
        ("clocks", "within 0.002 s of the head's"),
        ("hosts", "enough disk (50.0 GB free at least), memory and /dev/shm"),
        ("hosts", "no other Ray runs on any"),
        ("dashboard", "http://127.0.0.1:8265 asks for a token"),
    ]
    assert {(f.severity, f.fix) for f in findings} == {("ok", "")}
    assert summary(findings) == "no problems found"
    assert exit_code(findings) == 0


def test_a_node_that_does_not_answer_is_an_error_and_the_only_one() -> None:
    silent = replace(OTHER, machine=None, clock=None, problem="no answer within 60 s")
    found = replace(HEALTHY, nodes=(HEAD, silent), pairs=())
    assert "the same on one node: " in next(f.text for f in judge(found) if f.subject == "versions")
    assert problems(found) == [
        Finding(
            "error",
            "10.0.0.2",
            "it does not answer: no answer within 60 s",
            "look at raylet.out and the newest worker files in the logs of its Ray session; "
            "start Ray there again",
        )
    ]


def with_dashboard(dashboard: Dashboard) -> Finding:
    return next(f for f in judge(replace(HEALTHY, dashboard=dashboard)) if f.subject == "dashboard")


def test_a_dashboard_without_a_token_is_a_warning_on_loopback_and_an_error_elsewhere() -> None:
    url = "http://127.0.0.1:8265"
    token = "start every node with RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH, see docs/deploy.md"
    assert with_dashboard(Dashboard(url, 200, is_loopback=True)) == Finding(
        "warning",
        "dashboard",
        f"{url} asks for no token: every user of the head can run code as you",
        token,
    )
    assert with_dashboard(Dashboard("http://10.0.0.1:8265", 200, is_loopback=False)) == Finding(
        "error",
        "dashboard",
        "http://10.0.0.1:8265 asks for no token, and listens beyond the loopback: whoever reaches "
        "it runs code on the cluster",
        f"{token}; and start the head with --dashboard-host=127.0.0.1",
    )


@pytest.mark.parametrize("status", [401, 403])
def test_a_dashboard_that_refuses_whoever_has_no_token_is_well(status: int) -> None:
    assert with_dashboard(Dashboard("http://10.0.0.1:8265", status, False)).severity == "ok"


def test_a_dashboard_that_does_not_work_is_a_warning() -> None:
    url = "http://127.0.0.1:8265"
    logs = "look at dashboard.log in the logs of the head's Ray session"
    assert with_dashboard(Dashboard(url, 404)) == Finding(
        "warning", "dashboard", f"{url} does not work: it answers 404", logs
    )
    assert with_dashboard(Dashboard(url, problem="Connection refused")) == Finding(
        "warning", "dashboard", f"{url} does not work: Connection refused", logs
    )


def test_a_cluster_without_a_dashboard_is_a_warning() -> None:
    assert with_dashboard(Dashboard(None)) == Finding(
        "warning",
        "dashboard",
        "the head was started without one: the Jobs API is missing, and Ray Tune cannot clean up "
        "after trials that it stops",
        "start the head with --include-dashboard=true",
    )


def test_the_worst_comes_first_and_equals_stay_as_they_were() -> None:
    findings = [
        Finding("ok", "a", ""),
        Finding("warning", "b", ""),
        Finding("error", "c", ""),
        Finding("warning", "d", ""),
        Finding("error", "e", ""),
    ]
    assert [finding.subject for finding in in_order(findings)] == ["c", "e", "b", "d", "a"]


@pytest.mark.parametrize(
    ("severities", "code", "said"),
    [
        ([], 0, "no problems found"),
        (["ok", "ok"], 0, "no problems found"),
        (["ok", "warning"], 0, "1 warning"),
        (["error"], 1, "1 error"),
        (["warning", "error", "error", "warning", "ok"], 1, "2 errors, 2 warnings"),
    ],
)
def test_only_errors_are_a_failure(severities: list[Any], code: int, said: str) -> None:
    findings = [Finding(severity, "node", "text") for severity in severities]
    assert exit_code(findings) == code
    assert summary(findings) == said


def test_what_was_found_is_plain_data() -> None:
    told = asdict(HEALTHY)
    assert told["nodes"][1]["machine"]["versions"]["ray"] == "2.60.0"
    assert told["pairs"][0]["bytes_per_s"] == 900e6
