"""The metric of a resample is the metric of its rows."""

import numpy as np
import pytest

from unfreeze.jobs.classification import TextClassification
from unfreeze.jobs.resampled import (
    MOST_CELLS,
    draw_counts,
    metric_of_resamples,
    metric_of_values,
    row_values,
)

LABELS = ["bad", "fine", "good", "great"]
METRICS = ["accuracy", "loss", "f1"]


def random_rows(seed: int, rows: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Rows of four labels, one of them rare."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(scale=3, size=(rows, len(LABELS))).astype(np.float32)
    return logits, draw.choice(len(LABELS), rows, p=[0.5, 0.3, 0.17, 0.03])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(4))
def test_counts_of_one_give_the_metric_of_the_rows(metric: str, seed: int) -> None:
    logits, label_ids = random_rows(seed)
    expected = TextClassification(LABELS).metrics(logits, label_ids)[metric]
    found = metric_of_resamples(metric, logits, label_ids, np.ones((1, len(label_ids)), int))
    assert found == pytest.approx([expected], rel=1e-9)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rows", [2, 7, 60])
def test_a_resample_has_the_metric_of_the_rows_that_are_in_it(metric: str, rows: int) -> None:
    logits, label_ids = random_rows(rows, rows)
    [counts] = draw_counts(seed=1, resamples=40, rows=rows)
    picked = [np.repeat(np.arange(rows), one.astype(int)) for one in counts]
    task = TextClassification(LABELS)
    expected = [task.metrics(logits[rows], label_ids[rows])[metric] for rows in picked]
    found = metric_of_resamples(metric, logits, label_ids, counts)
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_counts_may_be_weights_of_any_size(metric: str) -> None:
    logits, label_ids = random_rows(3)
    [counts] = draw_counts(seed=1, resamples=5, rows=60)
    whole = metric_of_resamples(metric, logits, label_ids, counts)
    assert metric_of_resamples(metric, logits, label_ids, counts / 7) == pytest.approx(whole)


@pytest.mark.parametrize("metric", METRICS)
def test_many_models_at_once_give_what_each_gives_alone(metric: str) -> None:
    logits = np.stack([random_rows(seed)[0] for seed in range(3)])
    label_ids = random_rows(0)[1]
    [counts] = draw_counts(seed=1, resamples=5, rows=60)
    together = metric_of_values(metric, row_values(metric, logits, label_ids), label_ids, counts)
    alone = [metric_of_resamples(metric, one, label_ids, counts) for one in logits]
    assert together == pytest.approx(np.array(alone).T, rel=1e-12)


def test_large_logits_give_a_finite_loss() -> None:
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]])
    found = metric_of_resamples("loss", logits, np.array([1, 1]), np.array([[1, 1], [0, 2]]))
    assert found.tolist() == [1e4, 0.0]


def test_a_resample_without_rows_is_refused() -> None:
    logits, label_ids = random_rows(0)
    counts = np.stack([np.ones(60), np.zeros(60)])
    with pytest.raises(ValueError, match="a resample has no rows"):
        metric_of_resamples("accuracy", logits, label_ids, counts)


def test_a_metric_that_is_not_known_is_refused() -> None:
    logits, label_ids = random_rows(0)
    with pytest.raises(ValueError, match="recall: not a metric that can be resampled"):
        metric_of_resamples("recall", logits, label_ids, np.ones((1, 60)))


def test_each_bootstrap_resample_has_as_many_rows_as_there_are() -> None:
    [counts] = draw_counts(seed=0, resamples=200, rows=50)
    assert counts.shape == (200, 50)
    assert set(counts.sum(axis=1)) == {50}
    assert counts.mean(axis=0) == pytest.approx(np.ones(50), abs=0.3)
    assert (counts == 0).mean() == pytest.approx((1 - 1 / 50) ** 50, abs=0.02)


def test_resamples_do_not_depend_on_how_many_come_at_a_time() -> None:
    rows = MOST_CELLS // 3
    parts = list(draw_counts(seed=0, resamples=4, rows=rows))
    assert [len(part) for part in parts] == [3, 1]
    [first, *_] = draw_counts(seed=0, resamples=2, rows=rows)
    assert np.array_equal(parts[0][:2], first)
    draw = np.random.default_rng(0)
    drawn = draw.integers(0, rows, size=(4, rows))
    assert np.array_equal(parts[1][0], np.bincount(drawn[3], minlength=rows))
