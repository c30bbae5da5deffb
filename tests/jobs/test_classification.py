"""The metrics are those of the libraries that everyone compares with."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from torch.nn.functional import cross_entropy, softmax

from unfreeze.jobs.classification import TextClassification

LABELS = ["bad", "fine", "good"]


def random_scores(seed: int, rows: int = 200, scale: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    logits = draw.normal(scale=scale, size=(rows, len(LABELS))).astype(np.float32)
    return logits, draw.integers(0, len(LABELS), rows)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [1e-3, 3.0, 1e3])
def test_metrics_equal_those_of_torch_and_sklearn(seed: int, scale: float) -> None:
    logits, labels = random_scores(seed, scale=scale)
    found = TextClassification(LABELS).metrics(logits, labels)
    guesses = logits.argmax(axis=1)
    expected = cross_entropy(torch.tensor(logits, dtype=torch.float64), torch.tensor(labels))
    assert found["loss"] == pytest.approx(expected.item(), rel=1e-9)
    assert found["accuracy"] == accuracy_score(labels, guesses)
    assert found["f1"] == f1_score(labels, guesses, average="macro")
    assert all(type(value) is float for value in found.values())


def test_a_label_that_is_never_predicted_counts_as_nothing_without_a_warning() -> None:
    logits = np.array([[9.0, 0, 0], [9, 0, 0], [0, 9, 0]], dtype=np.float32)
    found = TextClassification(LABELS).metrics(logits, np.array([0, 0, 2]))
    assert found["f1"] == pytest.approx(1 / 3)


def test_large_logits_do_not_overflow() -> None:
    logits = np.array([[1e4, -1e4, 0], [3e38, 0, -3e38]], dtype=np.float32)
    found = TextClassification(LABELS).metrics(logits, np.array([0, 0]))
    assert found == {"loss": 0.0, "accuracy": 1.0, "f1": 1.0}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_loss_is_a_sum_over_the_rows_in_fp32(dtype: torch.dtype) -> None:
    logits, labels = random_scores(0, rows=16)
    given = torch.tensor(logits).to(dtype)
    inputs = {"labels": torch.tensor(labels)}
    loss = TextClassification(LABELS).loss(given, inputs)
    assert loss.dtype == torch.float32
    expected = cross_entropy(given.float(), inputs["labels"]) * 16
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_losses_of_parts_add_up_to_the_loss_of_the_whole() -> None:
    logits, labels = random_scores(1, rows=11)
    task = TextClassification(LABELS)
    parts = [slice(0, 4), slice(4, 8), slice(8, 11)]
    sums = [
        task.loss(torch.tensor(logits[part]), {"labels": torch.tensor(labels[part])})
        for part in parts
    ]
    mean = task.metrics(logits, labels)["loss"]
    assert sum(sums).item() / 11 == pytest.approx(mean, rel=1e-6)  # type: ignore[union-attr]


@pytest.mark.parametrize("seed", range(4))
def test_a_prediction_names_the_likeliest_label_and_all_probabilities(seed: int) -> None:
    logits, _ = random_scores(seed, rows=1)
    found = TextClassification(LABELS).prediction(logits[0])
    expected = softmax(torch.tensor(logits[0]), dim=0).tolist()
    assert list(found["probabilities"]) == LABELS
    assert list(found["probabilities"].values()) == pytest.approx(expected, abs=1e-6)
    assert found["predicted"] == LABELS[int(np.argmax(expected))]
    assert sum(found["probabilities"].values()) == pytest.approx(1, abs=2e-6)
