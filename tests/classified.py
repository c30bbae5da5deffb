"""What text classification says of logits that no model made."""

import warnings
from typing import Any, cast

import numpy as np

from unfreeze.jobs.data.token_store import Split
from unfreeze.jobs.metrics import Floats, Metric
from unfreeze.jobs.tasks.text_classification import TextClassification, TextClassificationOptions


class Labelled:
    """What the task asks of a split."""

    def __init__(self, label_ids: np.ndarray) -> None:
        self.values = {"labels": label_ids}


def task_of(labels: int) -> TextClassification:
    """The task with labels that are called 0, 1, ..."""
    learned = {"labels": [str(label) for label in range(labels)]}
    return TextClassification(TextClassificationOptions(), learned)


def metric_of(name: str, labels: int) -> Metric:
    """One of its metrics."""
    return next(metric for metric in task_of(labels).metrics if metric.name == name)


def statistics_of(logits: np.ndarray, label_ids: np.ndarray) -> Floats:
    """[..., rows, k] of logits [..., rows, labels] and labels [rows]."""
    *models, rows, labels = logits.shape
    task, split = task_of(labels), cast(Split, Labelled(label_ids))
    parts = [
        task.statistics({"logits": one}, split, np.arange(rows), str)
        for one in logits.reshape(-1, rows, labels)
    ]
    return np.array(parts).reshape(*models, rows, -1)


def scores_by_sklearn(logits: np.ndarray, label_ids: np.ndarray) -> dict[str, Any]:
    """Its metrics of [rows, labels], computed in another way."""
    from scipy.special import log_softmax
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

    predicted = logits.argmax(axis=1)
    said = log_softmax(logits.astype(np.float64), axis=1)
    own = said[np.arange(len(label_ids)), label_ids]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rows with a single label
        matthews = matthews_corrcoef(label_ids, predicted)
    return {
        "accuracy": accuracy_score(label_ids, predicted),
        "f1": f1_score(label_ids, predicted, average="macro", zero_division=0.0),
        "weighted_f1": f1_score(label_ids, predicted, average="weighted", zero_division=0.0),
        "mcc": matthews,
        "loss": -own.mean(),
        "expected_calibration_error": by_bins(np.exp(said.max(axis=1)), predicted == label_ids),
    }


def by_bins(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """The expected calibration error as it is defined, bin by bin (Guo et al. 2017, equation 3)."""
    error = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.any():
            apart = abs(right[inside].mean() - confidence[inside].mean())
            error += inside.mean() * apart
    return error
