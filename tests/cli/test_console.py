"""What people read of a job whose workers do not simply run to the end."""

from typing import Any

import pytest

from unfreeze.cli.console import Console


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            {"kind": "leaving", "step": 1200, "asked": False, "kept": True},
            "note a machine goes away: the checkpoint of step 1,200 is in the store; the workers "
            "start again from there",
        ),
        (
            {"kind": "leaving", "step": 7, "asked": True, "kept": False},
            "note more workers fit: the checkpoint of step 7 is not written; the workers start "
            "again from the newest one",
        ),
        (
            {"kind": "again", "reason": "the process of rank 1 died", "step": 57},
            "note the process of rank 1 died (step 57); the workers start again from the newest "
            "checkpoint",
        ),
        (
            {"kind": "halved", "reason": "no memory", "used": 12, "micro_batch_size": 6},
            "note no memory; goes on with micro-batches of 6 instead of 12, the batch stays the "
            "same",
        ),
        ({"kind": "resized", "before": 2, "workers": 1}, "note 1 workers instead of 2"),
        (
            {"kind": "waiting", "needs": "2 CPUs", "room": 1},
            "note waits for 2 CPUs; the cluster has room for 1 of the workers",
        ),
        (
            {"kind": "again", "reason": "rank 0 lost the others: [../gloo/pair.cc]", "step": 1},
            "note rank 0 lost the others: [../gloo/pair.cc] (step 1); the workers start again "
            "from the newest checkpoint",
        ),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_what_happens_to_the_workers_is_said_in_words(
    capsys: pytest.CaptureFixture[str], message: dict[str, Any], line: str
) -> None:
    with Console() as console:
        console.show(message)
    assert capsys.readouterr().out.strip() == line
