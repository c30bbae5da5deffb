"""The best of many trials looks better than it is, and by about so much."""

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from classified import metric_of, scores_by_sklearn, statistics_of

from unfreeze.jobs.metrics import Floats, Metric, mean_of, ratio
from unfreeze.tuning.optimism import optimism

NAMES = ["accuracy", "f1", "loss"]
ACCURACY, LOSS = mean_of("accuracy", 1), mean_of("loss", 2)


def logits_of(count: int, rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Trials that are equally good in truth and err independently, and the labels."""
    draw = np.random.default_rng(seed)
    label_ids = draw.integers(0, 2, rows)
    logits = draw.normal(size=(count, rows, 2))
    logits[:, np.arange(rows), label_ids] += 1.5
    return logits, label_ids


def trials(count: int, rows: int) -> Floats:
    return statistics_of(*logits_of(count, rows))


@pytest.mark.parametrize("name", NAMES)
def test_the_best_of_equal_trials_is_too_good_and_the_corrected_is_near_the_mean(name: str) -> None:
    logits, label_ids = logits_of(40, 200)
    scores = [scores_by_sklearn(one, label_ids)[name] for one in logits]
    metric = metric_of(name, 2)
    found = optimism(metric, statistics_of(logits, label_ids), resamples=300, seed=0)
    best = max(scores) if metric.mode == "max" else min(scores)
    assert found.apparent == pytest.approx(best, rel=1e-12)
    assert found.optimism == pytest.approx(abs(found.apparent - found.corrected))
    assert found.optimism > 0.03
    assert abs(found.corrected - np.mean(scores)) < 0.4 * abs(best - np.mean(scores))
    assert found.interval[0] < found.corrected < found.interval[1]


@pytest.mark.parametrize("name", NAMES)
def test_each_resample_is_picked_in_the_bag_and_scored_outside_it(name: str) -> None:
    logits, label_ids = logits_of(4, 15)
    metric = metric_of(name, 2)
    draw = np.random.default_rng(7)
    outside = []
    for _ in range(20):
        bag = draw.integers(0, 15, 15)
        rest = np.setdiff1d(np.arange(15), bag)
        inside = [scores_by_sklearn(one[bag], label_ids[bag])[name] for one in logits]
        pick = np.argmax(inside) if metric.mode == "max" else np.argmin(inside)
        outside.append(scores_by_sklearn(logits[pick][rest], label_ids[rest])[name])
    found = optimism(metric, statistics_of(logits, label_ids), resamples=20, seed=7)
    assert found.corrected == pytest.approx(np.mean(outside), rel=1e-9)
    assert found.interval == pytest.approx(tuple(np.percentile(outside, [2.5, 97.5])), rel=1e-9)


def test_a_single_trial_is_not_too_good() -> None:
    found = optimism(ACCURACY, trials(1, 400), resamples=400, seed=0)
    assert found.optimism == pytest.approx(0, abs=0.003)


def test_a_trial_that_is_far_better_is_hardly_too_good() -> None:
    logits, label_ids = logits_of(20, 400)
    logits[7, np.arange(400), label_ids] += 2
    statistics = statistics_of(logits, label_ids)
    alone = optimism(ACCURACY, statistics[7:8], resamples=200, seed=0)
    found = optimism(ACCURACY, statistics, resamples=200, seed=0)
    assert found == alone


def test_a_trial_without_finite_statistics_is_left_out() -> None:
    logits, label_ids = logits_of(5, 100)
    expected = optimism(LOSS, statistics_of(logits[1:], label_ids), resamples=50, seed=0)
    logits[0, 3, 1] = np.nan
    statistics = statistics_of(logits, label_ids)
    assert optimism(LOSS, statistics, resamples=50, seed=0) == expected
    with pytest.raises(ValueError, match="no trial has finite statistics"):
        optimism(LOSS, statistics[:1], resamples=50, seed=0)


def test_resamples_that_hold_all_rows_are_passed_over() -> None:
    few = trials(3, 2)
    found = optimism(ACCURACY, few, resamples=50, seed=0)
    assert 0 <= found.corrected <= 1
    with pytest.raises(ValueError, match="at least two rows"):
        optimism(ACCURACY, few[:, :1], seed=0)


def test_the_same_seed_gives_the_same_numbers() -> None:
    every = trials(5, 100)
    first, again, other = (optimism(ACCURACY, every, resamples=50, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


def test_a_ratio_of_sums_is_judged_where_it_is_known() -> None:
    """The loss of a token; most rows have none."""
    metric = Metric("loss", lambda sums: ratio(sums[..., 1], sums[..., 2]))
    draw = np.random.default_rng(0)
    tokens = np.zeros(30)
    tokens[:3] = [5, 10, 20]
    losses = tokens * draw.gamma(50.0, 0.02, (12, 30))
    every = np.stack([np.broadcast_to(one, (12, 30)) for one in (1, losses, tokens)], axis=-1)
    found = optimism(metric, every, resamples=400, seed=0)
    assert found.apparent == pytest.approx((losses.sum(axis=1) / tokens.sum()).min())
    assert found.corrected > found.apparent
    assert np.isfinite([found.corrected, found.optimism, *found.interval]).all()
    unknown = every[:1] * [1, 0, 0]
    beside = optimism(metric, [*unknown, *every], resamples=400, seed=0)
    assert beside == found, "a trial of which nothing is known is left out"
    with pytest.raises(ValueError, match=r"no trial has .* a metric"):
        optimism(metric, unknown, resamples=400, seed=0)


def test_trials_are_read_one_by_one_and_not_kept() -> None:
    one = np.ones((2000, 40))
    read = 0

    def many() -> Iterator[Floats]:
        nonlocal read
        for value in np.random.default_rng(0).random(200):
            read += 1
            trial = one.copy()
            trial[:, 1] = np.arange(2000) < 2000 * value
            yield trial

    tracemalloc.start()
    try:
        found = optimism(ACCURACY, many(), resamples=20, seed=0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read == 200
    assert found.apparent > 0.98
    assert peak < 8 * one.nbytes, f"200 trials of {one.nbytes:,} bytes took {peak:,}"
