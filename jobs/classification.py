"""Text classification: the loss, the metrics, and what a prediction looks like."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy


class TextClassification:
    """One label for each text."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = list(labels)

    def loss(self, logits: torch.Tensor, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Cross-entropy in fp32, summed over the rows."""
        return cross_entropy(logits.float(), inputs["labels"], reduction="sum")

    def metrics(self, logits: np.ndarray, label_ids: np.ndarray) -> dict[str, float]:
        """loss (mean cross-entropy), accuracy, and f1 (macro: each label weighs the same)."""
        from sklearn.metrics import accuracy_score, f1_score

        predicted = logits.argmax(axis=1)
        own = _log_softmax(logits)[np.arange(len(label_ids)), label_ids]
        return {
            "loss": float(-own.mean()),
            "accuracy": float(accuracy_score(label_ids, predicted)),
            "f1": float(f1_score(label_ids, predicted, average="macro", zero_division=0.0)),
        }

    def prediction(self, logits: np.ndarray) -> dict[str, Any]:
        """The label of one row, and the probability of each, in fp32 to six places."""
        probabilities = np.exp(_log_softmax(logits[None]))[0]
        return {
            "predicted": self.labels[int(logits.argmax())],
            "probabilities": {
                label: round(float(p), 6)
                for label, p in zip(self.labels, probabilities, strict=True)
            },
        }


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
