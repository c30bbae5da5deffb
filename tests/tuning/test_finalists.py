"""Which trials are run again with other seeds, and which of a winner's models is kept."""

from typing import Any

import numpy as np
import pytest

from unfreeze.jobs.estimate import Estimate
from unfreeze.jobs.metrics import Mode, to_bytes
from unfreeze.storage import FolderStore, ObjectNotFound
from unfreeze.tuning.errors import NoTrialFinished
from unfreeze.tuning.finalists import (
    Contender,
    best_seed,
    pick_trials,
    read_statistics,
    to_judge,
)
from unfreeze.tuning.trials import Trial


def picked(
    *metrics: float | str | None, top: int = 2, mode: Mode = "max", default: bool = False
) -> list[int]:
    """Numbers of the picked ones of these trials, 1, 2 ...: a metric, or how it ended."""
    first = 0 if default else 1
    trials = {f"t{n}": Trial(f"t{n}", n, {}) for n, _ in enumerate(metrics, first)}
    records: dict[str, dict[str, Any]] = {}
    for id, metric in zip(trials, metrics, strict=True):
        state, best = (metric, 0.99) if isinstance(metric, str) else ("finished", metric)
        if state != "unknown":
            records[id] = {"state": state, "best": None if best is None else {"metric": best}}
    return [trial.number for trial in pick_trials(records, trials, top, mode)]


def test_the_best_trials_are_picked_the_best_first() -> None:
    assert picked(0.5, 0.8, 0.7, 0.6) == [2, 3]
    assert picked(0.5, 0.8, 0.7, 0.6, mode="min") == [1, 4]
    assert picked(0.5, 0.8, 0.7, 0.6, top=1) == [2]
    assert picked(0.5, 0.8, top=9) == [2, 1]


@pytest.mark.parametrize("mode", ["max", "min"])
def test_of_equals_the_one_that_was_proposed_first_is_picked(mode: Mode) -> None:
    assert picked(0.5, 0.5, 0.5, mode=mode) == [1, 2]


def test_trials_that_did_not_run_their_length_are_not_picked() -> None:
    assert picked("stopped", 0.5, "failed", 0.7, None, top=5) == [4, 2]


def test_the_default_is_picked_too_but_not_twice() -> None:
    assert picked(0.1, 0.8, 0.7, default=True) == [1, 2, 0]
    assert picked(0.9, 0.8, 0.7, default=True) == [0, 1]


@pytest.mark.parametrize("state", ["stopped", "unknown"])
def test_a_default_that_was_stopped_is_run_whole_for_the_comparison(state: str) -> None:
    assert picked(state, 0.8, 0.7, default=True) == [1, 2, 0]


def test_a_default_that_failed_is_not_tried_again() -> None:
    assert picked("failed", 0.8, 0.7, default=True) == [1, 2]


@pytest.mark.parametrize("metrics", [(), ("failed",), ("stopped", None)])
def test_without_a_finished_trial_there_is_nothing_to_choose(metrics: tuple[Any, ...]) -> None:
    with pytest.raises(NoTrialFinished, match="no trial has finished"):
        picked(*metrics, default=True)


def contender(*per_seed: float) -> Contender:
    seeds = tuple(range(7, 7 + len(per_seed)))
    found = Estimate(mean=0.5, se=0.1, interval=(0.4, 0.6), per_seed=per_seed)
    return Contender(Trial("t1", 1, {}), seeds, tuple("abc"), 0.5, found)


def test_the_model_that_is_kept_is_the_best_on_the_validation_rows() -> None:
    assert best_seed(contender(0.6, 0.8, 0.7), "max") == 1
    assert best_seed(contender(0.6, 0.8, 0.7), "min") == 0
    assert best_seed(contender(0.8, 0.8), "max") == 0, "the first of equals"


def test_a_default_that_wins_is_judged_once() -> None:
    winner, default = contender(0.8), contender(0.6)
    assert to_judge(winner, default) == [winner, default]
    assert to_judge(winner, None) == [winner]
    assert to_judge(winner, winner) == [winner]


def test_statistics_are_read_as_they_were_written(tmp_path: Any) -> None:
    root = FolderStore(tmp_path)
    statistics = np.random.default_rng(0).normal(size=(4, 3)).T
    root.put("trials/a/statistics", to_bytes(statistics))
    assert np.array_equal(read_statistics(root, "trials/a", "statistics"), statistics)
    with pytest.raises(ObjectNotFound):
        read_statistics(root, "trials/b", "statistics")
