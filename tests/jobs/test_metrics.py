"""A metric of sums is the metric of the rows: of all, of a resample, of any weighting."""

import numpy as np
import pytest
import safetensors.numpy
from classified import scores_by_sklearn, statistics_of, task_of

from unfreeze.jobs.metrics import (
    MOST_CELLS,
    LabelCounts,
    Metric,
    draw_counts,
    from_bytes,
    mean_of,
    ratio,
    ratio_of,
    scores_of,
    to_bytes,
)

LABELS = 4
METRICS = {metric.name: metric for metric in task_of(LABELS).metrics}


def random_rows(seed: int, rows: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Rows of four labels, one of them rare."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(scale=3, size=(rows, LABELS)).astype(np.float32)
    return logits, draw.choice(LABELS, rows, p=[0.5, 0.3, 0.17, 0.03])


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("seed", range(4))
def test_sums_give_the_metric_of_the_rows(name: str, seed: int) -> None:
    expected = scores_by_sklearn(*random_rows(seed))
    found = scores_of([METRICS[name]], statistics_of(*random_rows(seed)))
    assert found == {name: pytest.approx(expected[name], rel=1e-9)}


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("rows", [2, 7, 60])
def test_a_resample_has_the_metric_of_the_rows_that_are_in_it(name: str, rows: int) -> None:
    logits, label_ids = random_rows(rows, rows)
    [counts] = draw_counts(seed=1, resamples=40, rows=rows)
    picked = [np.repeat(np.arange(rows), one.astype(int)) for one in counts]
    expected = [scores_by_sklearn(logits[some], label_ids[some])[name] for some in picked]
    found = METRICS[name].of(counts @ statistics_of(logits, label_ids))
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", METRICS)
def test_counts_may_be_weights_of_any_size(name: str) -> None:
    statistics = statistics_of(*random_rows(3))
    [counts] = draw_counts(seed=1, resamples=5, rows=60)
    whole = METRICS[name].of(counts @ statistics)
    assert METRICS[name].of(counts / 7 @ statistics) == pytest.approx(whole)


@pytest.mark.parametrize("name", METRICS)
def test_many_models_at_once_give_what_each_gives_alone(name: str) -> None:
    logits = np.stack([random_rows(seed)[0] for seed in range(3)])
    statistics = statistics_of(logits, random_rows(0)[1])
    [counts] = draw_counts(seed=1, resamples=5, rows=60)
    together = METRICS[name].of(counts @ statistics)
    alone = [METRICS[name].of(counts @ one) for one in statistics]
    assert together.shape == (3, 5)
    assert together == pytest.approx(np.array(alone), rel=1e-12)


def test_a_label_that_is_never_predicted_counts_as_nothing() -> None:
    logits = np.array([[9.0, 0, 0], [9, 0, 0], [0, 9, 0]])
    found = scores_of(task_of(3).metrics, statistics_of(logits, np.array([0, 0, 2])))
    assert found["f1"] == pytest.approx(1 / 3)
    assert found["weighted_f1"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", METRICS)
def test_nothing_is_known_of_no_rows(name: str) -> None:
    statistics = statistics_of(*random_rows(0))
    counts = np.stack([np.ones(60), np.zeros(60)])
    some, none = METRICS[name].of(counts @ statistics)
    assert not np.isnan(some)
    assert np.isnan(none)
    assert scores_of([METRICS[name]], statistics[:0]) == {}


def test_a_metric_that_is_not_known_is_left_out_of_the_scores() -> None:
    statistics = np.array([[1.0, 3.0, 0.0], [1.0, 5.0, 0.0]])
    metrics = [mean_of("loss", 1), ratio_of("accuracy", 1, 2)]
    assert scores_of(metrics, statistics) == {"loss": 4.0}


def test_a_ratio_is_nan_where_there_is_nothing_below() -> None:
    found = ratio(np.array([[1.0, 0.0], [3.0, 4.0]]), np.array([2.0, 0.0]))
    assert found[:, 0].tolist() == [0.5, 1.5]
    assert np.isnan(found[:, 1]).all()
    assert np.isnan(ratio(np.float64(1), np.float64(0)))


def test_a_mean_is_the_sum_of_its_column_over_the_rows() -> None:
    accuracy, loss = mean_of("accuracy", 2), mean_of("loss", 1)
    sums = np.array([[4.0, 2.0, 1.0], [2.0, 6.0, 2.0]])
    assert accuracy.of(sums).tolist() == [0.25, 1.0]
    assert loss.of(sums).tolist() == [0.5, 3.0]
    assert (accuracy.column, accuracy.mode, accuracy.is_share) == (2, "max", True)
    assert (loss.column, loss.mode, loss.is_share) == (1, "min", False)


def worth(metric: Metric, sums: np.ndarray) -> tuple[float, float]:
    """The metric of an average row that is all right, and of one that is all wrong."""
    assert metric.pseudo_rows
    rows = metric.pseudo_rows(sums)
    assert [row[0] for row in rows] == [1.0, 1.0]
    right, wrong = (float(metric.of(row)) for row in rows)
    return right, wrong


@pytest.mark.parametrize("labels", [2, 3, LABELS])
def test_the_correlation_of_rows_that_are_all_right_is_1_and_of_wrong_ones_below_0(
    labels: int,
) -> None:
    logits, label_ids = random_rows(0, 600)
    sums = statistics_of(logits, label_ids % labels).sum(axis=0)
    right, wrong = worth(METRICS["mcc"], sums)
    assert right == pytest.approx(1)
    assert wrong == pytest.approx(-1 / (labels - 1))


@pytest.mark.parametrize("name", ["accuracy", "f1", "weighted_f1"])
@pytest.mark.parametrize("labels", [1, 2, LABELS])
def test_a_share_of_rows_that_are_all_right_is_1_and_of_wrong_ones_0(
    name: str, labels: int
) -> None:
    logits, label_ids = random_rows(0)
    sums = statistics_of(logits, label_ids % labels).sum(axis=0)
    assert worth(METRICS[name], sums) == (1.0, 0.0)


def test_a_pseudo_row_has_the_labels_that_are_there_in_equal_parts() -> None:
    counts = LabelCounts(1, 3)
    truth = np.eye(3, dtype=bool)[[0, 2, 2]]
    sums = np.concatenate([[3.0], counts.of_rows(truth, truth).sum(axis=0)])
    metric = counts.macro_f1()
    assert metric.pseudo_rows
    right, wrong = metric.pseudo_rows(sums)
    assert right.tolist() == [1, 0.5, 0, 0.5, 0.5, 0, 0.5, 0.5, 0, 0.5]
    assert wrong.tolist() == [1, 0, 0, 0, 0.5, 0, 0.5, 0.5, 0, 0.5]


def test_a_ratio_of_columns_has_pseudo_rows_of_the_usual_weight() -> None:
    metric = ratio_of("accuracy", 1, 2)
    assert metric.of(np.array([4.0, 3.0, 6.0])) == 0.5
    assert worth(metric, np.array([4.0, 3.0, 6.0])) == (1.0, 0.0)


def test_a_loss_has_no_pseudo_rows() -> None:
    assert mean_of("loss", 1).pseudo_rows is None


def test_statistics_survive_as_a_file_to_the_last_digit() -> None:
    statistics = statistics_of(*random_rows(0))
    found = from_bytes(to_bytes(statistics[::2]))
    assert np.array_equal(found, statistics[::2])
    assert found.dtype == np.float64


def test_counts_take_an_eighth_of_the_room_and_other_numbers_all_of_it() -> None:
    draw = np.random.default_rng(0)
    losses, counts = draw.normal(size=(500, 1)), draw.integers(0, 255, size=(500, 99))
    statistics = np.concatenate([losses, counts.astype(float)], axis=1)
    file = to_bytes(statistics)
    assert len(file) < 500 * (8 + 99) + 1000
    assert np.array_equal(from_bytes(file), statistics)
    strange = np.array([[np.nan, -1.0, 256.0, 0.5, np.inf], [1.0, 2.0, 3.0, 4.0, 5.0]])
    assert np.array_equal(from_bytes(to_bytes(strange)), strange, equal_nan=True)


def test_statistics_of_an_older_file_are_read_as_they_are() -> None:
    statistics = statistics_of(*random_rows(0))
    file = safetensors.numpy.save({"statistics": statistics})
    assert np.array_equal(from_bytes(file), statistics)


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
