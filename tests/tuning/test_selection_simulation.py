"""Searches without training, whose truth is known: do the reported numbers hold?

A model has each row right or wrong. A row is hard or easy for all models alike, so their errors
correlate. A configuration has an accuracy, and each seed of it is off by a normal deviation.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from scipy.special import ndtri

from unfreeze.jobs.estimate import difference, estimate
from unfreeze.jobs.metrics import Floats, Metric, mean_of, ratio
from unfreeze.tuning.optimism import optimism
from unfreeze.tuning.selection import Finalist, choose

EASE = 0.85  # how much of what makes a row right or wrong is the row
SEEDS = 3
FINALISTS = 3
SEARCHES = 1000
ACCURACY = mean_of("accuracy", 1)
TOKEN_LOSS = Metric("loss", lambda sums: ratio(sums[..., 1], sums[..., 2]))


def right_answers(accuracy: np.ndarray, ease: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Who has which row right: [..., rows]. accuracy: [...], the expected share of right answers
    over all rows there could be, exactly; ease: [rows], standard normal."""
    own = draw.standard_normal((*accuracy.shape, len(ease)), dtype=np.float32)
    bar = ndtri(accuracy).astype(np.float32)[..., None]
    right: np.ndarray = np.sqrt(1 - EASE) * own < bar - np.sqrt(EASE) * ease
    return right


def ease_of(rows: int, draw: np.random.Generator) -> np.ndarray:
    return draw.standard_normal(rows, dtype=np.float32)


def as_statistics(right: np.ndarray) -> Floats:
    """1, and whether it is right: [..., rows, 2]."""
    return np.stack([np.ones(right.shape), right], axis=-1)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    validation_rows: int
    test_rows: int
    seed_sd: float
    trials: int


SCENARIOS = [
    Scenario(validation_rows=300, test_rows=500, seed_sd=0.005, trials=36),
    Scenario(validation_rows=300, test_rows=500, seed_sd=0.02, trials=12),
    Scenario(validation_rows=300, test_rows=1000, seed_sd=0.01, trials=36),
    Scenario(validation_rows=1000, test_rows=500, seed_sd=0.01, trials=12),
    Scenario(validation_rows=1000, test_rows=1000, seed_sd=0.005, trials=12),
]
# Seeds differ by more than the rows of either split can blur.
LUCKY = Scenario(validation_rows=1000, test_rows=1000, seed_sd=0.02, trials=36)


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a simulated search reports, and the truth of it."""

    test_bias: float
    """The winner's test accuracy less its configuration's true accuracy, in standard errors."""
    models_bias: float
    """The same, less the true accuracy of the very models that were tested."""
    covers: bool
    """Whether the test accuracy's interval holds the true accuracy."""
    naive_bias: float
    """The best trial's validation accuracy less its configuration's true accuracy, in standard
    errors of a share."""


@cache
def searches(case: Scenario) -> list[Search]:
    draw = np.random.default_rng(1)
    return [simulate(case, draw) for _ in range(SEARCHES)]


def simulate(case: Scenario, draw: np.random.Generator) -> Search:
    truth = np.clip(0.8 + 0.02 * draw.standard_normal(case.trials), 0.7, 0.9)
    validation = ease_of(case.validation_rows, draw)
    models = truth + case.seed_sd * draw.standard_normal(case.trials)
    shares = right_answers(models, validation, draw).mean(axis=1)
    top = np.argsort(-shares, kind="stable")[:FINALISTS]

    again = truth[top, None] + case.seed_sd * draw.standard_normal((FINALISTS, SEEDS))
    judged = as_statistics(right_answers(again, validation, draw))
    finalists = [
        Finalist(
            trial=str(i),
            name=str(i),
            frozen_share=draw.random(),
            estimate=estimate(ACCURACY, statistics, seed=0),
        )
        for i, statistics in enumerate(judged)
    ]
    winner = int(choose(finalists, "max").winner)
    tested = as_statistics(right_answers(again[winner], ease_of(case.test_rows, draw), draw))
    found = estimate(ACCURACY, tested, seed=0)
    true, best = truth[top[winner]], shares[top[0]]
    return Search(
        test_bias=(found.mean - true) / found.se,
        models_bias=(found.mean - again[winner].mean()) / found.se,
        covers=bool(found.interval[0] <= true <= found.interval[1]),
        naive_bias=(best - truth[top[0]]) / np.sqrt(best * (1 - best) / case.validation_rows),
    )


def test_errors_of_two_models_correlate_as_those_of_fine_tuned_models_do() -> None:
    draw = np.random.default_rng(0)
    right = right_answers(np.array([0.8, 0.82, 0.78]), ease_of(100_000, draw), draw)
    assert right.mean(axis=1) == pytest.approx([0.8, 0.82, 0.78], abs=0.005)
    correlations = np.corrcoef(right)[np.triu_indices(3, 1)]
    assert ((correlations > 0.5) & (correlations < 0.7)).all()


@pytest.mark.parametrize("case", [*SCENARIOS, LUCKY], ids=str)
def test_the_interval_of_the_winners_test_accuracy_holds_the_truth(case: Scenario) -> None:
    coverage = np.mean([one.covers for one in searches(case)])
    assert 0.93 <= coverage <= 0.97


@pytest.mark.parametrize("case", SCENARIOS, ids=str)
def test_the_winners_test_accuracy_is_not_too_good(case: Scenario) -> None:
    assert abs(np.mean([one.test_bias for one in searches(case)])) <= 0.3


def test_the_winners_seeds_were_lucky_where_seeds_matter_more_than_rows() -> None:
    """The seeds that a finalist won by are the seeds that are tested, so some of their luck is in
    the test accuracy: 0.3 to 0.45 standard errors with 1,000 validation rows and a seed sd of
    0.02. It is the accuracy of these models all the same, and a small part of the naive bias."""
    found = searches(LUCKY)
    bias = np.mean([one.test_bias for one in found])
    assert 0.3 < bias < 0.5
    assert abs(np.mean([one.models_bias for one in found])) < 0.1
    assert np.mean([one.naive_bias for one in found]) > 5 * bias


def test_the_best_validation_accuracy_is_too_good_by_far() -> None:
    naive, honest = (
        [np.mean([getattr(one, name) for one in searches(case)]) for case in SCENARIOS]
        for name in ("naive_bias", "test_bias")
    )
    assert all(bias > 0.3 for bias in naive)
    assert naive[0] > 0.5  # few rows, many trials
    assert np.mean(naive) > 4 * np.mean(np.abs(honest))


@pytest.mark.parametrize(("rows", "trials"), [(300, 12), (300, 36), (1000, 36)])
def test_the_corrected_score_is_nearer_to_the_truth_than_the_apparent_one(
    rows: int, trials: int
) -> None:
    draw = np.random.default_rng(2)
    apparent, corrected = [], []
    for _ in range(150):
        models = np.clip(0.8 + 0.02 * draw.standard_normal(trials), 0.7, 0.9)
        right = right_answers(models, ease_of(rows, draw), draw)
        found = optimism(ACCURACY, as_statistics(right), resamples=100, seed=0)
        truth = models[right.mean(axis=1).argmax()]
        apparent.append(found.apparent - truth)
        corrected.append(found.corrected - truth)
    assert np.mean(apparent) > 0
    assert abs(np.mean(corrected)) < 0.5 * np.mean(apparent)
    assert np.mean(np.square(corrected)) < np.mean(np.square(apparent))


@pytest.mark.parametrize("rows", [100, 300, 1000])
@pytest.mark.parametrize(
    ("seeds", "accuracy", "seed_sd"),
    [
        (1, 0.8, 0.0),
        (1, 0.95, 0.0),
        (2, 0.8, 0.01),
        (3, 0.8, 0.0),
        (3, 0.8, 0.03),
        (3, 0.95, 0.005),
        (3, 0.97, 0.01),
        (5, 0.8, 0.02),
        (5, 0.95, 0.01),
    ],
)
def test_an_interval_holds_the_truth_as_often_as_it_says(
    rows: int, seeds: int, accuracy: float, seed_sd: float
) -> None:
    draw = np.random.default_rng(3)
    held = 0
    for _ in range(600):
        models = accuracy + seed_sd * draw.standard_normal(seeds)
        right = right_answers(np.minimum(models, 0.9999), ease_of(rows, draw), draw)
        low, high = estimate(ACCURACY, as_statistics(right), seed=0).interval
        held += low <= accuracy <= high
    assert 0.93 <= held / 600 <= 0.985


@pytest.mark.parametrize("rows", [300, 1000])
@pytest.mark.parametrize(("seeds", "seed_sd"), [((1, 1), 0.0), ((3, 3), 0.01), ((5, 3), 0.02)])
def test_an_interval_of_a_difference_holds_the_truth(
    rows: int, seeds: tuple[int, int], seed_sd: float
) -> None:
    draw = np.random.default_rng(4)
    held = 0
    for _ in range(600):
        ease = ease_of(rows, draw)
        a, b = (
            right_answers(accuracy + seed_sd * draw.standard_normal(count), ease, draw)
            for accuracy, count in zip((0.85, 0.82), seeds, strict=True)
        )
        low, high = difference(ACCURACY, as_statistics(a), as_statistics(b), seed=0).interval
        held += low <= 0.85 - 0.82 <= high
    assert 0.93 <= held / 600 <= 0.985


# -- a metric that is a ratio of sums: the loss of a token, whose truth is LEVEL * LONGER

LENGTHS = np.arange(5, 61)
LEVEL = 2.0
LONGER = 1 + 0.5 * LENGTHS.var() / LENGTHS.mean() ** 2
"""How much the tokens of long rows, which are harder, weigh on the mean over tokens."""


def token_losses(
    levels: np.ndarray, rows: tuple[np.ndarray, np.ndarray], draw: np.random.Generator
) -> Floats:
    """1, the loss summed over a row's tokens, their number: [seeds, rows, 3]. levels: [seeds]."""
    tokens, hardness = rows
    own = draw.gamma(10.0, 0.1, (len(levels), len(tokens)))
    losses = levels[:, None] * tokens * hardness * own
    return np.stack([np.ones(losses.shape), losses, np.broadcast_to(tokens, losses.shape)], axis=-1)


def rows_of_tokens(rows: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of each row, and how hard they are: 1 in the mean over rows."""
    tokens = draw.choice(LENGTHS, rows)
    return tokens, (0.5 + 0.5 * tokens / LENGTHS.mean()) * draw.gamma(4.0, 0.25, rows)


@pytest.mark.parametrize("rows", [200, 500])
@pytest.mark.parametrize(("seeds", "seed_sd"), [(1, 0.0), (3, 0.0), (3, 0.03), (5, 0.02)])
def test_an_interval_of_a_ratio_of_sums_holds_the_truth(
    rows: int, seeds: int, seed_sd: float
) -> None:
    draw = np.random.default_rng(5)
    held, off = 0, []
    for _ in range(400):
        levels = LEVEL * (1 + seed_sd * draw.standard_normal(seeds))
        statistics = token_losses(levels, rows_of_tokens(rows, draw), draw)
        found = estimate(TOKEN_LOSS, statistics, resamples=200, seed=0)
        held += found.interval[0] <= LEVEL * LONGER <= found.interval[1]
        off.append((found.mean - LEVEL * LONGER) / found.se)
    assert 0.93 <= held / 400 <= 0.985
    assert abs(np.mean(off)) < 0.3


@pytest.mark.parametrize(("seeds", "seed_sd"), [((1, 1), 0.0), ((3, 3), 0.01), ((5, 3), 0.02)])
def test_an_interval_of_a_difference_of_ratios_holds_the_truth(
    seeds: tuple[int, int], seed_sd: float
) -> None:
    draw = np.random.default_rng(6)
    held = 0
    for _ in range(800):
        rows = rows_of_tokens(300, draw)
        a, b = (
            token_losses(level * (1 + seed_sd * draw.standard_normal(count)), rows, draw)
            for level, count in zip((LEVEL, 1.05 * LEVEL), seeds, strict=True)
        )
        low, high = difference(TOKEN_LOSS, a, b, resamples=200, seed=0).interval
        held += low <= -0.05 * LEVEL * LONGER <= high
    assert 0.93 <= held / 800 <= 0.985
