"""Whether the probabilities of a model can be believed, and made to be."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from classified import Labelled, by_bins
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from unfreeze.jobs.data.token_store import Split
from unfreeze.jobs.metrics import Metric, scores_of
from unfreeze.jobs.tasks import open_task
from unfreeze.jobs.tasks.calibration import (
    BINS,
    TEMPERATURE,
    CalibrationBins,
    best_temperature,
    bin_of,
    calibration_error,
)
from unfreeze.jobs.tasks.multi_label import MultiLabelClassification
from unfreeze.jobs.tasks.sequence_classification import SequenceClassification
from unfreeze.jobs.tasks.task import Section, Table
from unfreeze.jobs.tasks.text_classification import TextClassification, TextClassificationOptions

LABELS = ["bad", "fine", "good"]


def one_of(**learned: Any) -> TextClassification:
    return TextClassification(TextClassificationOptions(), {"labels": LABELS, **learned})


def several(**learned: Any) -> MultiLabelClassification:
    options = TextClassificationOptions(problem_type="multi_label")
    return MultiLabelClassification(options, {"labels": LABELS, **learned})


def split_of(labels: np.ndarray) -> Split:
    return cast(Split, Labelled(labels))


def overconfident(rows: int = 400, times: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `times` too large, and labels that were drawn with the right ones."""
    draw = np.random.default_rng(0)
    logits = draw.normal(scale=1.5, size=(rows, len(LABELS)))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([draw.choice(len(LABELS), p=p) for p in chances])
    return (times * logits).astype(np.float32), labels


def test_bins_are_equal_parts_that_end_with_their_upper_bound() -> None:
    confidence = np.array([0.0, 1e-9, 1 / 15, 0.0667, 0.5, 1.0])
    assert bin_of(confidence).tolist() == [0, 0, 0, 1, 7, 14]


def error_of(confidence: np.ndarray, right: np.ndarray) -> float:
    """From the statistics, behind the usual 1."""
    bins = CalibrationBins(1)
    columns = [np.ones((len(right), 1)), bins.of_rows(confidence, right)]
    metric: Metric = bins.error()
    return scores_of([metric], np.concatenate(columns, axis=1))[metric.name]


@pytest.mark.parametrize("decisions", [1, 3])
def test_the_error_of_sums_is_the_error_as_it_is_defined(decisions: int) -> None:
    draw = np.random.default_rng(decisions)
    confidence, right = draw.random((300, decisions)), draw.random((300, decisions)) < 0.6
    expected = by_bins(confidence.ravel(), right.ravel())
    assert error_of(confidence, right) == pytest.approx(expected, rel=1e-12)
    assert calibration_error(confidence, right) == pytest.approx(expected, rel=1e-12)


def test_errors_are_those_of_torchmetrics() -> None:
    from torchmetrics.functional.classification import (
        binary_calibration_error,
        multiclass_calibration_error,
    )

    logits, labels = overconfident()
    split, units = split_of(labels), np.arange(len(labels))
    found = scores_of(one_of().metrics, one_of().statistics({"logits": logits}, split, units, str))
    tensors = torch.tensor(logits).softmax(dim=1), torch.tensor(labels)
    expected = multiclass_calibration_error(*tensors, num_classes=len(LABELS), n_bins=BINS)
    assert found["expected_calibration_error"] == pytest.approx(expected.item(), rel=1e-4)

    there = labels[:, None] >= np.arange(len(LABELS))
    split = split_of(there)
    found = scores_of(
        several().metrics, several().statistics({"logits": logits}, split, units, str)
    )
    flat = torch.tensor(logits).sigmoid().ravel(), torch.tensor(there).long().ravel()
    expected = binary_calibration_error(*flat, n_bins=BINS)
    assert found["expected_calibration_error"] == pytest.approx(expected.item(), rel=1e-4)


def test_what_says_what_it_knows_has_no_error_and_what_is_too_sure_has_one() -> None:
    sure = np.full((1000, 1), 0.9)
    assert error_of(sure, np.arange(1000)[:, None] < 900) == pytest.approx(0)
    assert error_of(sure, np.arange(1000)[:, None] < 600) == pytest.approx(0.3)


@pytest.mark.parametrize("times", [0.5, 1.0, 3.0])
def test_the_temperature_is_where_torch_has_the_lowest_loss(times: float) -> None:
    logits, labels = overconfident(times=times)
    learned, numbers = one_of().finish({"logits": logits}, split_of(labels))
    assert numbers == {}
    factor = torch.tensor(1 / learned["temperature"], dtype=torch.float64, requires_grad=True)
    scaled = torch.tensor(logits, dtype=torch.float64) * factor
    cross_entropy(scaled, torch.tensor(labels)).backward()
    assert factor.grad is not None
    assert factor.grad.item() == pytest.approx(0, abs=1e-4), "the loss is convex in the factor"
    assert learned["temperature"] == pytest.approx(times, rel=0.2)


def test_one_temperature_serves_all_labels_of_a_row() -> None:
    logits, labels = overconfident()
    there = labels[:, None] == np.arange(len(LABELS))
    learned, _ = several().finish({"logits": logits}, split_of(there))
    truth = torch.tensor(there).double()

    def loss(temperature: float) -> float:
        scaled = torch.tensor(logits, dtype=torch.float64) / temperature
        return binary_cross_entropy_with_logits(scaled, truth).item()

    best = learned["temperature"]
    assert loss(best) < min(loss(best * 1.01), loss(best / 1.01))


def test_rows_that_no_temperature_is_best_for_teach_none() -> None:
    sure = np.array([[9.0, 0, 0], [0, 9, 0]], np.float32)
    assert one_of().finish({"logits": sure}, split_of(np.array([0, 1]))) == ({}, {})
    assert one_of().finish({"logits": sure}, split_of(np.array([1, 0]))) == ({}, {})
    assert best_temperature(lambda factor: float("nan")) is None


@pytest.mark.parametrize("task_of", [one_of, several])
def test_a_temperature_lowers_the_error_and_changes_no_label(task_of: Any) -> None:
    logits, labels = overconfident()
    truth = labels if task_of is one_of else labels[:, None] == np.arange(len(LABELS))
    kept, split, units = {"logits": logits}, split_of(truth), np.arange(len(labels))
    raw: SequenceClassification = task_of()
    task: SequenceClassification = task_of(**raw.finish(kept, split)[0])
    found = task.further_scores(kept, split)
    before = scores_of(task.metrics, task.statistics(kept, split, units, str))
    assert before == scores_of(raw.metrics, raw.statistics(kept, split, units, str))
    assert found["scaled_loss"] < before["loss"]
    assert found["scaled_calibration_error"] < before["expected_calibration_error"] - 0.05
    assert found["auroc"] == raw.further_scores(kept, split)["auroc"]
    said, scaled = (list(t.predictions(kept, split, units, str)) for t in (raw, task))
    assert [p["predicted"] for p in said] == [p["predicted"] for p in scaled]
    tops = [max(p["probabilities"].values()) for p in scaled]
    assert np.mean(tops) < np.mean([max(p["probabilities"].values()) for p in said])

    if task_of is one_of:
        divided = torch.tensor(logits) / task.temperature
        assert tops == pytest.approx(divided.softmax(dim=1).amax(dim=1).tolist(), abs=1e-5)


def reliability(task: SequenceClassification, kept: Any, split: Split) -> Section:
    units = np.arange(len(kept["logits"]))
    said = task.predictions(kept, split, units, str)
    lines = [{"row": i, "text": f"text {i}", **line} for i, line in enumerate(said)]
    return next(s for s in task.sections(lines, "test") if s.title == "Reliability")


@pytest.mark.parametrize("task_of", [one_of, several])
def test_the_report_has_the_bins_before_and_after(task_of: Any) -> None:
    logits, labels = overconfident()
    truth = labels if task_of is one_of else labels[:, None] == np.arange(len(LABELS))
    kept, split = {"logits": logits}, split_of(truth)
    task = task_of(temperature=3.0)
    section = reliability(task, kept, split)
    raw = scores_of(task.metrics, task.statistics(kept, split, np.arange(len(labels)), str))
    after = task.further_scores(kept, split)["scaled_calibration_error"]
    said = f"error is {100 * raw['expected_calibration_error']:.1f} %; with the temperature 3.000"
    assert said in section.note and section.note.endswith(f"it is {100 * after:.1f} %.")
    assert isinstance(section.body, Table)
    decisions = truth.size
    assert len(section.body.columns) == 7
    for column in (1, 4):
        assert sum(row[column] for row in section.body.rows) == decisions

    plain = reliability(task_of(), kept, split)
    assert isinstance(plain.body, Table)
    assert len(plain.body.columns) == 4
    assert plain.body.rows[-1][:3] == section.body.rows[-1][:3]


def test_the_temperature_stands_in_the_models_own_configuration(tmp_path: Path) -> None:
    from transformers import AutoConfig, BertConfig

    task = open_task(TextClassificationOptions(), {"labels": LABELS, "temperature": 1.7})
    config = BertConfig()
    config.update(task.configuration())
    config.save_pretrained(tmp_path)
    found = AutoConfig.from_pretrained(tmp_path)
    assert getattr(found, TEMPERATURE) == 1.7
    assert (found.num_labels, found.problem_type) == (3, "single_label_classification")
