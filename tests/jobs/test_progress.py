"""Where a job is, and what of it survives a restart."""

import json
from typing import Any

import pytest

from unfreeze.jobs.config import Mode
from unfreeze.jobs.phases import Phase
from unfreeze.jobs.progress import Progress


def phase(max_steps: int = 10, patience: int | None = None) -> Phase:
    return Phase(
        index=0,
        name="all",
        blocks=("head",),
        max_steps=max_steps,
        patience=patience,
        learning_rate=1.0,
        schedule="constant",
        warmup_steps=0,
        layer_decay=1.0,
    )


def noted(*metrics: float, mode: Mode = "max") -> tuple[Progress, list[bool]]:
    progress, best = Progress(), []
    for metric in metrics:
        progress.step += 1
        best.append(progress.note_validation(metric, mode))
    return progress, best


@pytest.mark.parametrize(
    ("mode", "metrics", "best"),
    [
        ("max", [0.5, 0.6, 0.6, 0.7, 0.1], [True, True, False, True, False]),
        ("min", [0.5, 0.6, 0.4, 0.4, 0.3], [True, False, True, False, True]),
    ],
)
def test_only_what_is_better_than_all_before_is_the_best(
    mode: Mode, metrics: list[float], best: list[bool]
) -> None:
    progress, found = noted(*metrics, mode=mode)
    assert found == best
    pick = max if mode == "max" else min
    assert progress.best_metric == pick(metrics)
    assert progress.best_step == metrics.index(pick(metrics)) + 1


def test_the_metric_here_is_that_of_this_very_step() -> None:
    progress, _ = noted(0.5)
    assert progress.metric_here == 0.5
    progress.step += 1
    assert progress.metric_here is None
    assert Progress().metric_here is None


@pytest.mark.parametrize(
    ("metrics", "over"),
    [([0.5], False), ([0.5, 0.4], False), ([0.5, 0.4, 0.5], True), ([0.5, 0.4, 0.6, 0.6], False)],
)
def test_a_plateau_ends_after_so_many_validations_without_a_new_best(
    metrics: list[float], over: bool
) -> None:
    progress, _ = noted(*metrics)
    assert progress.phase_is_over(phase(patience=2)) is over
    assert progress.phase_is_over(phase()) is False


def test_a_phase_is_over_after_its_length_whatever_the_metric() -> None:
    progress = Progress(step=17, phase_start=7)
    assert progress.step_in_phase == 10
    assert progress.phase_is_over(phase(10))
    assert not progress.phase_is_over(phase(11))
    assert Progress().phase_is_over(phase(0))


def test_a_new_phase_has_its_own_best_and_patience_and_the_job_keeps_its_own() -> None:
    progress, _ = noted(0.9, 0.1, 0.1)
    progress.phase_seconds = 3.0
    progress.enter_next_phase()
    assert (progress.phase, progress.phase_start, progress.step_in_phase) == (1, 3, 0)
    assert (progress.stale, progress.phase_best, progress.phase_seconds) == (0, None, 0.0)
    assert (progress.best_metric, progress.best_step) == (0.9, 1)
    assert not progress.note_validation(0.5, "max"), "worse than the best of the job"
    assert (progress.phase_best, progress.stale) == (0.5, 0)


def restarted(progress: Progress) -> Progress:
    return Progress.from_data(json.loads(json.dumps(progress.to_data())))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"phases": [{"index": 0, "ended": "length"}], "resumed_from": [4, 8], "tokens": 10**12},
        {"best_metric": 0.123456789012345678, "best_step": 3, "phase_seconds": 1e-9},
    ],
)
def test_progress_survives_a_restart_to_the_last_digit(fields: dict[str, Any]) -> None:
    progress = Progress(step=9, phase=1, phase_start=4, **fields)
    assert restarted(progress) == progress


def test_a_restarted_plateau_goes_on_counting() -> None:
    progress, _ = noted(0.5, 0.4)
    again = restarted(progress)
    assert again.metric_here == progress.metric_here
    again.note_validation(0.3, "max")
    assert again.is_on_plateau(phase(patience=2))


def test_fields_of_another_version_are_left_out() -> None:
    assert Progress.from_data({"step": 3, "mood": "good"}) == Progress(step=3)


def test_a_metric_that_is_not_a_number_is_never_the_best() -> None:
    progress, best = noted(float("nan"), 0.5, mode="min")
    assert best == [False, True]
    assert progress.best_metric == 0.5
