"""Text classification where a text may have several labels, or none."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unfreeze.jobs.data.label_names import label_name
from unfreeze.jobs.metrics import Floats, Metric, mean_of
from unfreeze.jobs.tasks.calibration import reliability_section
from unfreeze.jobs.tasks.label_report import per_label_section, worst_sets_section
from unfreeze.jobs.tasks.label_scores import macro_auroc, sigmoid, softplus
from unfreeze.jobs.tasks.labelled import LOSS, RIGHT, LabelledClassification
from unfreeze.jobs.tasks.task import Arrays, BadRow, Decode, Section, Units

if TYPE_CHECKING:
    import torch

    from unfreeze.jobs.data.token_store import Split


class MultiLabelClassification(LabelledClassification):
    """Each label by itself: is it there? It is predicted if its probability is over a half."""

    def look_at_target(self, value: Any) -> tuple[tuple[str, ...], dict[str, int]]:
        if not isinstance(value, list):
            found = "none" if value is None else "a single value"
            raise BadRow("label", f"expected a list of labels (it may be empty), found {found}")
        labels = _names(value)
        if len(labels) < len(value):
            raise BadRow("label", "expected a list of labels, found one without a name")
        if len(set(labels)) < len(labels):
            problem = "expected each label once, found one twice; the list holds names, not flags"
            raise BadRow("label", problem)
        return tuple(sorted(labels)), self.count_labels(labels)

    def targets(self, values: Sequence[Any]) -> list[np.ndarray]:
        """For each label whether it is there."""
        id_of = {label: i for i, label in enumerate(self.labels)}
        there = np.zeros((len(values), len(id_of)), np.int8)
        for row, value in enumerate(values):
            there[row, [id_of[label] for label in _names(value)]] = 1
        return list(there)

    def loss(self, outputs: Any, batch: Mapping[str, "torch.Tensor"]) -> "torch.Tensor":
        """The binary cross-entropy, torch's BCEWithLogitsLoss(pos_weight=...) of each row."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        logits = outputs.logits.float()
        weights = logits.new_tensor(self.weights_of(self.labels))
        losses = binary_cross_entropy_with_logits(
            logits, batch["labels"].to(logits.dtype), pos_weight=weights, reduction="none"
        )
        return losses.mean(dim=1).sum()

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (
            self.label_counts.micro_f1(),
            self.label_counts.macro_f1("macro_f1"),
            self.label_counts.weighted_f1(),
            mean_of("subset_accuracy", RIGHT),
            mean_of("loss", LOSS),
            self.bins.error(),
        )

    def statistics(self, kept: Arrays, split: "Split", units: Units, decode: Decode) -> Floats:
        logits, truth = kept["logits"], split.values["labels"][units]
        return self.scored(logits, truth, logits > 0, truth.astype(bool))

    def losses(self, logits: Floats, truth: np.ndarray) -> Floats:
        """The mean over the labels of their binary cross-entropies."""
        of_labels = softplus(np.where(truth.astype(bool), -logits, logits))
        result: Floats = of_labels.mean(axis=1)
        return result

    def certainty(self, logits: Floats, truth: np.ndarray) -> tuple[Floats, np.ndarray]:
        """Each label is a prediction."""
        return sigmoid(logits), truth.astype(bool)

    def auroc(self, logits: Floats, truth: np.ndarray) -> float:
        """The mean over the labels."""
        return macro_auroc(logits.astype(np.float64), truth.astype(bool))

    def predictions(
        self,
        kept: Arrays,
        split: "Split",
        units: Units,
        decode: Decode,
    ) -> Iterator[dict[str, Any]]:
        """The labels, and the probability of each with the temperature, to six places."""
        truth = split.values.get("labels")
        for unit, logits in zip(units, kept["logits"], strict=True):
            probabilities = sigmoid(logits / self.temperature)
            label = {} if truth is None else {"label": self._named(truth[unit])}
            yield label | {
                "predicted": self._named(logits > 0),
                "probabilities": self.named_probabilities(probabilities),
            }

    def _named(self, there: np.ndarray) -> list[str]:
        return [self.labels[i] for i in np.flatnonzero(there)]

    def sections(self, predictions: Sequence[Mapping[str, Any]], judged: str) -> list[Section]:
        """The scores of each label, how far the probabilities can be trusted, and the rows with the
        worst mistakes."""
        if not predictions:
            return [Section("Labels", "No predictions to look at.")]
        scaled = np.array([list(p["probabilities"].values()) for p in predictions])
        odds = scaled**self.temperature, (1 - scaled) ** self.temperature
        raw = odds[0] / (odds[0] + odds[1])  # before they were scaled
        truth = np.array([[label in p["label"] for label in self.labels] for p in predictions])
        return [
            per_label_section(predictions, self.labels, judged),
            reliability_section(
                raw, scaled, truth, self.learned.get("temperature"), f"the labels of {judged} rows"
            ),
            worst_sets_section(predictions, judged),
        ]


def _names(value: Sequence[Any]) -> list[str]:
    return [name for one in value if (name := label_name(one)) is not None]
