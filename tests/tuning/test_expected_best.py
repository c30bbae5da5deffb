"""The expected best of k trials is its mean over all subsets of k trials."""

from itertools import combinations

import numpy as np
import pytest

from unfreeze.jobs.metrics import Mode
from unfreeze.tuning.expected_best import expected_best


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("total", [1, 2, 5, 9])
def test_it_equals_the_mean_over_all_subsets(mode: Mode, total: int) -> None:
    values = np.random.default_rng(total).normal(size=total).round(1).tolist()  # with ties
    best = max if mode == "max" else min
    brute = [
        np.mean([best(subset) for subset in combinations(values, k)]) for k in range(1, total + 1)
    ]
    assert expected_best(values, mode) == pytest.approx(brute, abs=1e-12)


def test_one_trial_gives_the_mean_and_all_trials_the_best() -> None:
    found = expected_best([0.7, 0.9, 0.8], "max")
    assert (found[0], found[-1]) == (pytest.approx(0.8), 0.9)
    assert expected_best([0.7, 0.9, 0.8], "min")[-1] == 0.7


def test_thousands_of_trials_neither_overflow_nor_lose_precision() -> None:
    total = 3000
    found = np.array(expected_best(range(1, total + 1), "max"))
    k = np.arange(1, total + 1)
    assert found == pytest.approx(k * (total + 1) / (k + 1), rel=1e-9)  # of 1 ... N, exactly


def test_no_trials_give_no_values() -> None:
    assert expected_best([], "max") == []


def test_a_value_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        expected_best([0.5, float("nan")], "max")
