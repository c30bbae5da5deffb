"""Means, standard errors and intervals over seeds and rows; their coverage is tested in
test_selection_simulation.py."""

import math

import numpy as np
import pytest
from classified import metric_of, scores_by_sklearn, statistics_of

from unfreeze.jobs import metrics
from unfreeze.jobs.estimate import difference, estimate
from unfreeze.jobs.metrics import Floats, Metric, Trait, draw_counts, mean_of, ratio

METRICS = ["accuracy", "loss", "f1"]
ACCURACY = mean_of("accuracy", 1)
TOKEN_LOSS = Metric("loss", lambda sums: ratio(sums[..., 1], sums[..., 2]))
"""Statistics: 1, the loss summed over a row's tokens, and how many these are."""


def logits_of(count: int, rows: int, shift: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Logits of seeds that find the same rows hard, and the labels."""
    draw = np.random.default_rng(count * rows)
    label_ids = draw.integers(0, 3, rows)
    logits = draw.normal(size=(1, rows, 3)) + 0.5 * draw.normal(size=(count, rows, 3))
    logits[:, np.arange(rows), label_ids] += shift
    return logits, label_ids


def seeds_of(count: int, rows: int) -> Floats:
    return statistics_of(*logits_of(count, rows))


def answers(right: list[list[int]]) -> Floats:
    """What each seed has right (1) and wrong (0); every label is 1."""
    wins = np.array(right)
    return statistics_of(np.stack([1 - wins, wins], axis=-1), np.ones(wins.shape[1], int))


def tokens_of(count: int, rows: int) -> Floats:
    """Seeds whose loss of a token is larger in long rows, and in the same rows for all."""
    draw = np.random.default_rng(count * rows)
    tokens = draw.integers(5, 61, rows)
    hardness = tokens * draw.gamma(4.0, 0.01, rows)
    losses = tokens * hardness * draw.gamma(20.0, 0.05, (count, rows))
    sizes = np.broadcast_to(tokens, losses.shape)
    return np.stack([np.ones(losses.shape), losses, sizes], axis=-1)


@pytest.mark.parametrize("name", [*METRICS, "weighted_f1"])
def test_the_mean_is_that_of_the_seeds_metrics(name: str) -> None:
    logits, label_ids = logits_of(3, 100)
    found = estimate(metric_of(name, 3), statistics_of(logits, label_ids), resamples=50, seed=0)
    expected = [scores_by_sklearn(one, label_ids)[name] for one in logits]
    assert found.per_seed == pytest.approx(expected, rel=1e-9)
    assert found.mean == pytest.approx(np.mean(expected), rel=1e-9)
    assert found.interval[0] < found.mean < found.interval[1]
    assert found.interval[1] - found.interval[0] > 2 * 1.9 * found.se


@pytest.mark.parametrize("name", METRICS)
def test_of_one_seed_the_error_is_that_of_the_bootstrap_over_rows(name: str) -> None:
    statistics, metric = seeds_of(1, 400), metric_of(name, 3)
    [counts] = draw_counts(seed=1, resamples=4000, rows=400)
    expected = metric.of(counts @ statistics[0]).std()
    found = estimate(metric, statistics, resamples=4000, seed=2)
    assert found.se == pytest.approx(expected, rel=0.05)


def test_f1_of_the_same_seeds_gives_the_same_interval_as_accuracy_where_labels_are_balanced() -> (
    None
):
    statistics = seeds_of(3, 3000)
    f1, accuracy = (
        estimate(metric_of(name, 3), statistics, resamples=500, seed=0)
        for name in ("f1", "accuracy")
    )
    assert f1.mean == pytest.approx(accuracy.mean, abs=0.01)
    assert f1.se == pytest.approx(accuracy.se, rel=0.1)
    assert f1.interval == pytest.approx(accuracy.interval, abs=0.01)


def test_seeds_that_differ_by_more_than_the_rows_explain_widen_the_error() -> None:
    draw = np.random.default_rng(0)
    same = (draw.random((1, 500)) < 0.8).astype(int)
    one_model = np.tile(same, (3, 1))
    other = one_model.copy()
    other[0, :60], other[1, :60] = 0, 1
    alike, apart = (estimate(ACCURACY, answers(a.tolist()), seed=0) for a in (one_model, other))
    alone = estimate(ACCURACY, answers(same.tolist()), seed=0)
    assert alike.interval == pytest.approx(alone.interval)
    between = np.var(apart.per_seed, ddof=1) / 3
    assert apart.se**2 == pytest.approx(alone.se**2 + between, rel=0.2)
    assert apart.interval[1] - apart.interval[0] > 3 * (alone.interval[1] - alone.interval[0])


def test_one_seed_of_accuracy_has_wilsons_interval() -> None:
    from scipy.stats import binomtest

    for hits in (200, 170, 195):
        found = estimate(ACCURACY, answers([[1] * hits + [0] * (200 - hits)]), seed=0)
        wilson = binomtest(hits, 200).proportion_ci(method="wilson")
        assert found.interval == pytest.approx((wilson.low, wilson.high), abs=5e-4)


@pytest.mark.parametrize("name", ["accuracy", "f1", "weighted_f1"])
@pytest.mark.parametrize(("seeds", "rows"), [(1, 100), (3, 100), (3, 1000)])
def test_a_perfect_score_still_has_an_error_and_a_width(name: str, seeds: int, rows: int) -> None:
    label_ids = np.arange(rows) % 2
    statistics = statistics_of(np.tile(np.eye(2)[label_ids], (seeds, 1, 1)), label_ids)
    found = estimate(metric_of(name, 2), statistics, resamples=400, seed=0)
    assert (found.mean, found.interval[1]) == (1.0, 1.0)
    assert found.se == pytest.approx(1 / rows, rel=0.3)
    assert 1 - found.interval[0] == pytest.approx(3.7 / rows, rel=0.3)  # the rule of three


def test_a_score_of_nothing_is_the_mirror_of_a_perfect_one() -> None:
    perfect, nothing = (estimate(ACCURACY, answers([[x] * 50] * 2), seed=0) for x in (1, 0))
    assert nothing.interval == pytest.approx((0, 1 - perfect.interval[0]))


@pytest.mark.parametrize("name", ["accuracy", "f1"])
def test_an_interval_of_a_share_stays_within_0_and_1(name: str) -> None:
    right, metric = np.array([[1] * 9 + [0], [1] * 5 + [0] * 5]), metric_of(name, 2)
    one, other = answers(right.tolist()), answers((1 - right).tolist())
    found = estimate(metric, one, resamples=100, seed=0)
    apart = difference(metric, one, other, resamples=100, seed=0)
    assert 0 <= found.interval[0] < found.interval[1] <= 1
    assert -1 <= apart.interval[0] < apart.interval[1] <= 1


def test_an_interval_of_a_loss_stays_above_0() -> None:
    def of(logits: list[list[list[float]]]) -> Floats:
        return statistics_of(np.array(logits), np.zeros(len(logits[0]), int))

    loss = metric_of("loss", 2)
    found = estimate(loss, of([[[9.0, 0]] * 9 + [[0, 9.0]]]), seed=0)
    assert 0 < found.interval[0] < found.mean < found.interval[1]
    exact = estimate(loss, of([[[2e3, 0]] * 9]), seed=0)
    assert (exact.mean, exact.interval) == (0, (0, 0))
    far_apart = of([[[1e-6, 0], [0, 0]], [[0, 1e3], [0, 1e3]], [[0, 9.0], [0, 0.0]]])
    assert np.isfinite(estimate(loss, far_apart, seed=0).interval).all()


@pytest.mark.parametrize("name", METRICS)
def test_a_difference_is_that_of_the_means_and_turns_with_its_sides(name: str) -> None:
    logits, label_ids = logits_of(3, 100)
    others = logits[:2] + np.random.default_rng(0).normal(size=logits[:2].shape)
    a, b, metric = (
        statistics_of(logits, label_ids),
        statistics_of(others, label_ids),
        metric_of(name, 3),
    )
    ab = difference(metric, a, b, resamples=2000, seed=0)
    ba = difference(metric, b, a, resamples=2000, seed=0)
    of_a, of_b = (estimate(metric, side, resamples=50, seed=0) for side in (a, b))
    assert ab.mean == pytest.approx(of_a.mean - of_b.mean)
    assert ab.per_seed == ()
    assert ba.mean == pytest.approx(-ab.mean)
    assert ba.interval == pytest.approx((-ab.interval[1], -ab.interval[0]), abs=2e-3)


@pytest.mark.parametrize("name", METRICS)
def test_paired_rows_make_a_difference_surer_than_its_sides(name: str) -> None:
    logits, label_ids = logits_of(3, 400)
    others = logits + 0.2 * np.random.default_rng(0).normal(size=logits.shape)
    a, b = statistics_of(logits, label_ids), statistics_of(others, label_ids)
    found = difference(metric_of(name, 3), a, b, resamples=400, seed=0)
    sides = [estimate(metric_of(name, 3), side, resamples=400, seed=0).se for side in (a, b)]
    assert found.se < 0.6 * math.hypot(*sides)


@pytest.mark.parametrize("name", ["accuracy", "f1"])
def test_sides_that_agree_on_every_row_differ_by_nothing_give_or_take(name: str) -> None:
    both = seeds_of(1, 100)
    found = difference(metric_of(name, 3), both, both, resamples=2000, seed=0)
    assert found.mean == 0
    assert found.interval == pytest.approx((-0.028, 0.028), abs=0.004)


# -- a metric that is no mean over the rows and has no pseudo-rows


def test_a_ratio_of_sums_has_the_error_of_its_linearisation() -> None:
    statistics = tokens_of(1, 800)
    found = estimate(TOKEN_LOSS, statistics, resamples=4000, seed=0)
    losses, tokens = statistics[0, :, 1], statistics[0, :, 2]
    assert found.mean == pytest.approx(losses.sum() / tokens.sum(), rel=1e-12)
    assert found.mean > 1.2 * (losses / tokens).mean(), "long rows count for more"
    residuals = losses - found.mean * tokens  # Cochran, Sampling Techniques, 6.4
    expected = residuals.std(ddof=1) / np.sqrt(800) / tokens.mean()
    assert found.se == pytest.approx(expected, rel=0.04)
    margin = np.log(found.interval[1] / found.mean)
    assert margin == pytest.approx(-np.log(found.interval[0] / found.mean))
    assert margin == pytest.approx(1.96 * expected / found.mean, rel=0.04)


def test_a_difference_of_ratios_is_paired_by_row() -> None:
    a = tokens_of(3, 400)
    b = a[:2].copy()
    b[..., 1] *= np.random.default_rng(0).gamma(400.0, 0.9 / 400, b.shape[:2])
    found = difference(TOKEN_LOSS, a, b, resamples=500, seed=0)
    sides = [estimate(TOKEN_LOSS, side, resamples=500, seed=0) for side in (a, b)]
    assert found.mean == pytest.approx(sides[0].mean - sides[1].mean)
    assert found.interval[0] > 0, "a tenth of the loss is told apart"
    assert found.se < 0.4 * math.hypot(*(side.se for side in sides))
    nothing = difference(TOKEN_LOSS, a, a, resamples=100, seed=0)
    assert nothing.mean == 0
    assert abs(nothing.interval[0] + nothing.interval[1]) < 1e-12


def test_a_score_that_may_be_negative_has_a_symmetric_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(metrics.TRAITS, "skill", Trait(is_share=False))
    values = np.random.default_rng(0).normal(-0.3, 1.0, (1, 400))
    found = estimate(mean_of("skill", 1), np.stack([np.ones((1, 400)), values], axis=-1), seed=0)
    low, high = found.interval
    assert found.mean < 0
    assert (found.mean - low, high - found.mean) == pytest.approx([1.966 * found.se] * 2, rel=1e-3)


def test_what_is_not_known_of_a_seed_is_not_known_of_the_estimate() -> None:
    statistics = tokens_of(2, 20)
    statistics[1, :, 1:] = 0
    found = estimate(TOKEN_LOSS, statistics, resamples=20, seed=0)
    assert np.isnan([found.mean, found.se, *found.interval, found.per_seed[1]]).all()
    assert found.per_seed[0] > 0


def test_resamples_in_which_nothing_is_known_are_left_out() -> None:
    statistics = tokens_of(1, 40)
    statistics[:, 2:, 1:] = 0  # two rows have tokens; one resample in eight has none of them
    found = estimate(TOKEN_LOSS, statistics, resamples=400, seed=0)
    assert 0 < found.interval[0] < found.mean < found.interval[1]
    assert np.isfinite(found.se)


# -- what is refused, and what is repeated


def test_numbers_of_rows_and_seeds_that_cannot_be_judged_are_refused() -> None:
    statistics = seeds_of(2, 10)
    with pytest.raises(ValueError, match="at least two rows"):
        estimate(ACCURACY, statistics[:, :1], seed=0)
    with pytest.raises(ValueError, match=r"same rows .* got \(2, 10, \d+\) and \(2, 9, \d+\)"):
        difference(ACCURACY, statistics, statistics[:, :9], seed=0)
    with pytest.raises(ValueError, match=r"\[seeds, rows, k\], got shape \(10, \d+\)"):
        estimate(ACCURACY, statistics[0], seed=0)
    with pytest.raises(ValueError, match="statistics must be"):
        difference(ACCURACY, statistics, statistics[:0], seed=0)


def test_the_same_seed_gives_the_same_interval() -> None:
    statistics, metric = seeds_of(2, 60), metric_of("f1", 3)
    first, again, other = (
        estimate(metric, statistics, resamples=50, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again != other
