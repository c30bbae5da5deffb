"""The best of many trials looks better than it is, and by about so much."""

import numpy as np
import pytest

from unfreeze.jobs.classification import TextClassification
from unfreeze.jobs.config import Mode
from unfreeze.tuning.optimism import optimism

CASES: list[tuple[str, Mode]] = [("accuracy", "max"), ("f1", "max"), ("loss", "min")]


def trials(count: int, rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Trials that are equally good in truth and err independently."""
    draw = np.random.default_rng(seed)
    label_ids = draw.integers(0, 2, rows)
    logits = draw.normal(size=(count, rows, 2))
    logits[:, np.arange(rows), label_ids] += 1.5
    return logits, label_ids


@pytest.mark.parametrize(("metric", "mode"), CASES)
def test_the_best_of_equal_trials_is_too_good_and_the_corrected_is_near_the_mean(
    metric: str, mode: Mode
) -> None:
    logits, label_ids = trials(40, 200)
    task = TextClassification(["bad", "good"])
    scores = [task.metrics(one, label_ids)[metric] for one in logits]
    found = optimism(metric, logits, label_ids, mode, resamples=300, seed=0)
    best = max(scores) if mode == "max" else min(scores)
    assert found.apparent == pytest.approx(best, rel=1e-12)
    assert found.optimism == pytest.approx(abs(found.apparent - found.corrected))
    assert found.optimism > 0.03
    assert abs(found.corrected - np.mean(scores)) < 0.4 * abs(best - np.mean(scores))
    assert found.interval[0] < found.corrected < found.interval[1]


@pytest.mark.parametrize(("metric", "mode"), CASES)
def test_each_resample_is_picked_in_the_bag_and_scored_outside_it(metric: str, mode: Mode) -> None:
    logits, label_ids = trials(4, 15)
    task = TextClassification(["bad", "good"])
    draw = np.random.default_rng(7)
    outside = []
    for _ in range(20):
        bag = draw.integers(0, 15, 15)
        rest = np.setdiff1d(np.arange(15), bag)
        inside = [task.metrics(one[bag], label_ids[bag])[metric] for one in logits]
        pick = np.argmax(inside) if mode == "max" else np.argmin(inside)
        outside.append(task.metrics(logits[pick][rest], label_ids[rest])[metric])
    found = optimism(metric, logits, label_ids, mode, resamples=20, seed=7)
    assert found.corrected == pytest.approx(np.mean(outside), rel=1e-9)
    assert found.interval == pytest.approx(tuple(np.percentile(outside, [2.5, 97.5])), rel=1e-9)


def test_a_single_trial_is_not_too_good() -> None:
    logits, label_ids = trials(1, 400)
    found = optimism("accuracy", logits, label_ids, "max", resamples=400, seed=0)
    assert found.optimism == pytest.approx(0, abs=0.003)


def test_a_trial_that_is_far_better_is_hardly_too_good() -> None:
    logits, label_ids = trials(20, 400)
    logits[7, np.arange(400), label_ids] += 2
    alone = optimism("accuracy", logits[7:8], label_ids, "max", resamples=200, seed=0)
    found = optimism("accuracy", logits, label_ids, "max", resamples=200, seed=0)
    assert found == alone


def test_a_trial_without_finite_logits_is_left_out() -> None:
    logits, label_ids = trials(5, 100)
    expected = optimism("loss", logits[1:], label_ids, "min", resamples=50, seed=0)
    logits[0, 3, 1] = np.nan
    assert optimism("loss", logits, label_ids, "min", resamples=50, seed=0) == expected
    with pytest.raises(ValueError, match="no trial has finite logits"):
        optimism("loss", logits[:1], label_ids, "min", resamples=50, seed=0)


def test_resamples_that_hold_all_rows_are_passed_over() -> None:
    logits, label_ids = trials(3, 2)
    found = optimism("accuracy", logits, label_ids, "max", resamples=50, seed=0)
    assert 0 <= found.corrected <= 1
    with pytest.raises(ValueError, match="at least two rows"):
        optimism("accuracy", logits[:, :1], label_ids[:1], "max", seed=0)


def test_the_same_seed_gives_the_same_numbers() -> None:
    logits, label_ids = trials(5, 100)
    first, again, other = (
        optimism("accuracy", logits, label_ids, "max", resamples=50, seed=seed)
        for seed in (0, 0, 1)
    )
    assert first == again != other
