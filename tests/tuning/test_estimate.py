"""Means, standard errors and intervals over seeds and rows; their coverage is tested in
test_selection_simulation.py."""

import numpy as np
import pytest

from unfreeze.jobs.classification import TextClassification
from unfreeze.jobs.resampled import draw_counts, metric_of_resamples
from unfreeze.tuning.estimate import difference, estimate

METRICS = ["accuracy", "loss", "f1"]


def seeds_of(count: int, rows: int, shift: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Logits of seeds that find the same rows hard, and the labels."""
    draw = np.random.default_rng(count * rows)
    label_ids = draw.integers(0, 3, rows)
    logits = draw.normal(size=(1, rows, 3)) + 0.5 * draw.normal(size=(count, rows, 3))
    logits[:, np.arange(rows), label_ids] += shift
    return logits, label_ids


def answers(right: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Logits for what each seed has right (1) and wrong (0); every label is 1."""
    wins = np.array(right)
    return np.stack([1 - wins, wins], axis=-1).astype(float), np.ones(wins.shape[1], int)


@pytest.mark.parametrize("metric", METRICS)
def test_the_mean_is_that_of_the_seeds_metrics(metric: str) -> None:
    logits, label_ids = seeds_of(3, 100)
    found = estimate(metric, logits, label_ids, resamples=50, seed=0)
    task = TextClassification(["a", "b", "c"])
    expected = [task.metrics(one, label_ids)[metric] for one in logits]
    assert found.per_seed == pytest.approx(expected, rel=1e-9)
    assert found.mean == pytest.approx(np.mean(expected), rel=1e-9)
    assert found.interval[0] < found.mean < found.interval[1]
    assert found.interval[1] - found.interval[0] > 2 * 1.9 * found.se


@pytest.mark.parametrize("metric", METRICS)
def test_of_one_seed_the_error_is_that_of_the_bootstrap_over_rows(metric: str) -> None:
    logits, label_ids = seeds_of(1, 400)
    [counts] = draw_counts(seed=1, resamples=4000, rows=400)
    expected = metric_of_resamples(metric, logits[0], label_ids, counts).std()
    found = estimate(metric, logits, label_ids, resamples=4000, seed=2)
    assert found.se == pytest.approx(expected, rel=0.05)


def test_f1_of_the_same_seeds_gives_the_same_interval_as_accuracy_where_labels_are_balanced() -> (
    None
):
    logits, label_ids = seeds_of(3, 3000)
    f1, accuracy = (
        estimate(m, logits, label_ids, resamples=500, seed=0) for m in ("f1", "accuracy")
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
    alike, apart = (estimate("accuracy", *answers(a.tolist()), seed=0) for a in (one_model, other))
    alone = estimate("accuracy", *answers(same.tolist()), seed=0)
    assert alike.interval == pytest.approx(alone.interval)
    between = np.var(apart.per_seed, ddof=1) / 3
    assert apart.se**2 == pytest.approx(alone.se**2 + between, rel=0.2)
    assert apart.interval[1] - apart.interval[0] > 3 * (alone.interval[1] - alone.interval[0])


def test_one_seed_of_accuracy_has_wilsons_interval() -> None:
    from scipy.stats import binomtest

    for hits in (200, 170, 195):
        logits, label_ids = answers([[1] * hits + [0] * (200 - hits)])
        found = estimate("accuracy", logits, label_ids, seed=0)
        wilson = binomtest(hits, 200).proportion_ci(method="wilson")
        assert found.interval == pytest.approx((wilson.low, wilson.high), abs=5e-4)


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
@pytest.mark.parametrize(("seeds", "rows"), [(1, 100), (3, 100), (3, 1000)])
def test_a_perfect_score_still_has_an_error_and_a_width(metric: str, seeds: int, rows: int) -> None:
    label_ids = np.arange(rows) % 2
    logits = np.tile(np.eye(2)[label_ids], (seeds, 1, 1))
    found = estimate(metric, logits, label_ids, resamples=400, seed=0)
    assert (found.mean, found.interval[1]) == (1.0, 1.0)
    assert found.se == pytest.approx(1 / rows, rel=0.3)
    assert 1 - found.interval[0] == pytest.approx(3.7 / rows, rel=0.3)  # the rule of three


def test_a_score_of_nothing_is_the_mirror_of_a_perfect_one() -> None:
    perfect, nothing = (estimate("accuracy", *answers([[x] * 50] * 2), seed=0) for x in (1, 0))
    assert nothing.interval == pytest.approx((0, 1 - perfect.interval[0]))


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_an_interval_of_a_share_stays_within_0_and_1(metric: str) -> None:
    logits, label_ids = answers([[1] * 9 + [0], [1] * 5 + [0] * 5])
    found = estimate(metric, logits, label_ids, resamples=100, seed=0)
    apart = difference(metric, logits, 1 - logits, label_ids, resamples=100, seed=0)
    assert 0 <= found.interval[0] < found.interval[1] <= 1
    assert -1 <= apart.interval[0] < apart.interval[1] <= 1


def test_an_interval_of_a_loss_stays_above_0() -> None:
    logits = np.array([[[9.0, 0]] * 9 + [[0, 9.0]]])
    found = estimate("loss", logits, np.zeros(10, int), seed=0)
    assert 0 < found.interval[0] < found.mean < found.interval[1]
    exact = estimate("loss", np.array([[[2e3, 0]] * 9]), np.zeros(9, int), seed=0)
    assert (exact.mean, exact.interval) == (0, (0, 0))
    far_apart = np.array([[[1e-6, 0], [0, 0]], [[0, 1e3], [0, 1e3]], [[0, 9.0], [0, 0.0]]])
    assert np.isfinite(estimate("loss", far_apart, np.zeros(2, int), seed=0).interval).all()


@pytest.mark.parametrize("metric", METRICS)
def test_a_difference_is_that_of_the_means_and_turns_with_its_sides(metric: str) -> None:
    a, label_ids = seeds_of(3, 100)
    b = a[:2] + np.random.default_rng(0).normal(size=a[:2].shape)
    ab = difference(metric, a, b, label_ids, resamples=2000, seed=0)
    ba = difference(metric, b, a, label_ids, resamples=2000, seed=0)
    of_a, of_b = (estimate(metric, side, label_ids, resamples=50, seed=0) for side in (a, b))
    assert ab.mean == pytest.approx(of_a.mean - of_b.mean)
    assert ab.per_seed == ()
    assert ba.mean == pytest.approx(-ab.mean)
    assert ba.interval == pytest.approx((-ab.interval[1], -ab.interval[0]), abs=2e-3)


@pytest.mark.parametrize("metric", METRICS)
def test_paired_rows_make_a_difference_surer_than_its_sides(metric: str) -> None:
    a, label_ids = seeds_of(3, 400)
    b = a + 0.2 * np.random.default_rng(0).normal(size=a.shape)
    found = difference(metric, a, b, label_ids, resamples=400, seed=0)
    sides = [estimate(metric, side, label_ids, resamples=400, seed=0).se for side in (a, b)]
    assert found.se < 0.6 * np.hypot(*sides)


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_sides_that_agree_on_every_row_differ_by_nothing_give_or_take(metric: str) -> None:
    logits, label_ids = seeds_of(1, 100)
    found = difference(metric, logits, logits, label_ids, resamples=2000, seed=0)
    assert found.mean == 0
    assert found.interval == pytest.approx((-0.028, 0.028), abs=0.004)


def test_numbers_of_rows_and_seeds_that_cannot_be_judged_are_refused() -> None:
    logits, label_ids = seeds_of(2, 10)
    with pytest.raises(ValueError, match="at least two rows"):
        estimate("accuracy", logits[:, :1], label_ids[:1], seed=0)
    with pytest.raises(ValueError, match="logits of 10 rows, labels of 9"):
        estimate("accuracy", logits, label_ids[:9], seed=0)
    with pytest.raises(ValueError, match=r"\[seeds, rows, labels\], got shape \(10, 3\)"):
        estimate("accuracy", logits[0], label_ids, seed=0)
    with pytest.raises(ValueError, match="logits must be"):
        difference("accuracy", logits, logits[:0], label_ids, seed=0)
    with pytest.raises(ValueError, match="recall"):
        estimate("recall", logits, label_ids, seed=0)


def test_the_same_seed_gives_the_same_interval() -> None:
    logits, label_ids = seeds_of(2, 60)
    first, again, other = (
        estimate("f1", logits, label_ids, resamples=50, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again != other
