"""Whoever follows a run: a plain job has nobody."""

from dataclasses import fields

import pytest

from unfreeze.jobs.companion import Alone, Companion, Signals
from unfreeze.jobs.progress import Progress


@pytest.mark.parametrize(
    ("is_best", "is_due", "checkpoint"),
    [(False, False, False), (True, False, True), (False, True, True), (True, True, True)],
)
def test_alone_a_run_writes_checkpoints_as_the_job_says_and_never_stops(
    is_best: bool, is_due: bool, checkpoint: bool
) -> None:
    alone: Companion = Alone()
    assert alone.signals(is_best=is_best, is_due=is_due) == Signals(False, checkpoint)


def test_alone_a_run_shares_nothing_and_keeps_its_last_state() -> None:
    assert Alone().keeps_last
    assert Alone().forks_at(Progress(step=10)) == []


def test_progress_becomes_another_in_all_it_has() -> None:
    other = Progress(
        step=9,
        phase=1,
        phase_start=4,
        phase_seconds=2.5,
        validated=(8, 0.5),
        best_metric=0.6,
        best_step=4,
        phase_best=0.5,
        stale=2,
        tokens=1000,
        phases=[{"index": 0, "ended": "length"}],
        shared_steps=4,
        shared_seconds=1.5,
        resumed_from=[6],
    )
    fresh = Progress()
    unlike = [f.name for f in fields(other) if getattr(other, f.name) != getattr(fresh, f.name)]
    assert len(unlike) == len(fields(other)), "every field is tried"
    progress = Progress(step=3, resumed_from=[1])
    progress.become(other)
    assert progress == other


def test_shared_steps_survive_a_restart_and_are_none_in_older_checkpoints() -> None:
    data = Progress(step=9, shared_steps=4).to_data()
    assert Progress.from_data(data).shared_steps == 4
    del data["shared_steps"]
    assert Progress.from_data(data).shared_steps == 0


def test_what_was_taken_over_counts_with_the_time_that_it_took() -> None:
    progress = Progress(
        step=30, phase=1, phase_start=22, phase_seconds=4.0, phases=[{"seconds": 6.5}]
    )
    progress.resumed_from = [11]
    progress.note_shared()
    assert (progress.shared_steps, progress.shared_seconds) == (30, 10.5)
    assert progress.resumed_from == []
