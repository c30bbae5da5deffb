"""What is said of a store that machines have tried."""

from dataclasses import replace
from typing import Any

import pytest

from unfreeze.cli.store_findings import judge_store
from unfreeze.cluster.doctor.facts import Finding, Unanswered
from unfreeze.storage.probe import StoreProbe

URI = "s3://bucket"
WELL = StoreProbe(
    put_bytes_per_s=80e6,
    get_bytes_per_s=200e6,
    is_conditional=True,
    sees_marker=True,
    clock_ahead_s=0.2,
    clock_error_s=0.6,
)
HERE = replace(WELL, sees_marker=None)


def judged(uri: str = URI, here: StoreProbe = HERE, **nodes: Any) -> list[Finding]:
    return judge_store(uri, {"this machine": here, **nodes})


def test_a_store_that_works_everywhere_is_well() -> None:
    assert judged(a=WELL, b=replace(WELL, put_bytes_per_s=120e6)) == [
        Finding(
            "ok",
            "store",
            "s3://bucket works from this machine and 2 nodes: put 80 to 120, get 200 MB/s each, "
            "all at once; conditional puts are refused as they must",
        )
    ]


def test_a_store_that_no_machine_reaches_is_one_error() -> None:
    dead = StoreProbe(failed="put", problem="s3://bucket/x: no usable answer")
    assert judged(here=dead, a=dead, b=dead) == [
        Finding(
            "error",
            "this machine, a, b",
            "s3://bucket cannot be written: s3://bucket/x: no usable answer",
            "no machine can use it: check the address, that the server runs, and the keys",
        )
    ]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("put", "cannot be written"),
        ("get", "cannot be read"),
        ("condition", "cannot be written on condition"),
        ("list", "cannot be listed"),
        ("marker", "cannot be read"),
        ("delete", "lets nothing be deleted"),
    ],
)
def test_a_store_that_one_node_cannot_use_is_an_error_there(step: str, said: str) -> None:
    refused = replace(WELL, failed=step, problem="AccessDenied")
    assert judged(a=WELL, b=refused) == [
        Finding(
            "error",
            "b",
            f"s3://bucket {said}: AccessDenied",
            "other machines can use it: name an endpoint that every node reaches (the embedded "
            "server is on one machine's loopback), and give the nodes keys (AWS_*, a role)",
        )
    ]


def test_a_store_that_only_this_machine_cannot_use_is_this_machines_error() -> None:
    (finding,) = judged(here=StoreProbe(failed="put", problem="no keys"), a=WELL)
    assert finding.subject == "this machine"
    assert finding.fix == "nodes can use it: check this machine's network and keys"


def test_a_store_that_ignores_conditions_is_an_error() -> None:
    loose = replace(WELL, is_conditional=False)
    assert judged(here=replace(HERE, is_conditional=False), a=loose) == [
        Finding(
            "error",
            "this machine, a",
            "s3://bucket ignores If-None-Match: of two workers that commit the same checkpoint, "
            "the second replaces the first",
            "use a store that honours it, as AWS S3 does and the server of `unfreeze storage up`",
        )
    ]


def test_a_folder_that_is_another_one_on_a_node_is_an_error() -> None:
    assert judged("/runs", a=WELL, b=replace(WELL, sees_marker=False)) == [
        Finding(
            "error",
            "b",
            "/runs does not have there what this machine has put into it",
            "mount the same file system there, or use an s3:// store",
        )
    ]
    (finding,) = judged(URI, a=replace(WELL, sees_marker=False))
    assert finding.fix == "let all machines use the same endpoint and bucket"


@pytest.mark.parametrize(
    ("ahead", "error", "severity", "text"),
    [
        (3.0, 0.6, "warning", "the clock of s3://bucket is 3.0 s (+- 0.6 s) ahead of this one's"),
        (-95.0, 0.6, "error", "the clock of s3://bucket is 95.0 s (+- 0.6 s) behind this one's"),
    ],
)
def test_a_clock_that_is_surely_off_is_named(
    ahead: float, error: float, severity: Any, text: str
) -> None:
    assert judged(a=replace(WELL, clock_ahead_s=ahead, clock_error_s=error)) == [
        Finding(
            severity,
            "a",
            text,
            "let both follow a time server; S3 refuses requests that are 15 minutes off",
        )
    ]


def test_a_clock_that_may_be_right_is_not_blamed() -> None:
    (finding,) = judged(a=replace(WELL, clock_ahead_s=1.5, clock_error_s=0.6))
    assert finding.severity == "ok"


def test_a_node_without_unfreeze_is_a_warning_and_one_that_hangs_an_error() -> None:
    reason = "No module named 'unfreeze'"
    assert judged(a=Unanswered(reason), b=Unanswered("no answer within 120 s")) == [
        Finding(
            "warning",
            "a",
            f"s3://bucket could not be tried from there: {reason}",
            "install unfreeze there, and ask again",
        ),
        Finding(
            "error",
            "b",
            "s3://bucket could not be tried from there: no answer within 120 s",
            "look at that node's logs",
        ),
    ]
