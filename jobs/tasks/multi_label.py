"""Text classification where a text may have several labels, or none."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from unfreeze.jobs.data.label_names import label_name
from unfreeze.jobs.metrics import Floats, LabelCounts, Metric, mean_of
from unfreeze.jobs.tasks.calibration import (
    CalibrationBins,
    best_temperature,
    calibration_error,
    reliability_section,
)
from unfreeze.jobs.tasks.label_report import per_label_section, worst_sets_section
from unfreeze.jobs.tasks.label_scores import macro_auroc, sigmoid, softplus
from unfreeze.jobs.tasks.sequence_classification import SequenceClassification
from unfreeze.jobs.tasks.task import Arrays, BadRow, Decode, Learned, Section, Units

if TYPE_CHECKING:
    import torch

    from unfreeze.jobs.data.token_store import Split

_EXACT, _LOSS, _COUNTS = 1, 2, 3  # columns of the statistics; the first is 1


class MultiLabelClassification(SequenceClassification):
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

    @cached_property
    def _counts(self) -> LabelCounts:
        return LabelCounts(_COUNTS, len(self.labels))

    @cached_property
    def _bins(self) -> CalibrationBins:
        return CalibrationBins(_COUNTS + self._counts.columns)

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        return (
            self._counts.micro_f1(),
            self._counts.macro_f1("macro_f1"),
            self._counts.weighted_f1(),
            mean_of("subset_accuracy", _EXACT),
            mean_of("loss", _LOSS),
            self._bins.error(),
        )

    def statistics(self, kept: Arrays, split: "Split", units: Units, decode: Decode) -> Floats:
        """1, whether all labels are right, the mean of their cross-entropies (all weigh the same),
        the counts of each label, and the bins of their probabilities, without a temperature."""
        logits, truth = kept["logits"], split.values["labels"][units].astype(bool)
        guess = logits > 0
        exact = (guess == truth).all(axis=1)
        first = np.stack([np.ones(len(truth)), exact, _losses(logits, truth)], axis=1)
        counts = self._counts.of_rows(guess, truth)
        return np.concatenate([first, counts, self._bins.of_rows(sigmoid(logits), truth)], axis=1)

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
                "probabilities": {
                    label: round(float(p), 6)
                    for label, p in zip(self.labels, probabilities, strict=True)
                },
            }

    def _named(self, there: np.ndarray) -> list[str]:
        return [self.labels[i] for i in np.flatnonzero(there)]

    def finish(self, kept: Arrays, split: "Split") -> tuple[Learned, dict[str, float]]:
        """One temperature for all labels, at which the validation rows are likeliest."""
        logits, truth = kept["logits"].astype(np.float64), split.values["labels"].astype(bool)
        temperature = best_temperature(lambda factor: float(_losses(logits * factor, truth).mean()))
        return ({} if temperature is None else {"temperature": temperature}), {}

    def further_scores(self, kept: Arrays, split: "Split") -> dict[str, float]:
        """AUROC, the mean over the labels; with a temperature what it changes."""
        logits, truth = kept["logits"], split.values["labels"].astype(bool)
        found = {"auroc": macro_auroc(logits.astype(np.float64), truth)}
        if "temperature" in self.learned:
            scaled = logits / self.temperature
            found["scaled_loss"] = float(_losses(scaled, truth).mean())
            found["scaled_calibration_error"] = calibration_error(sigmoid(scaled), truth)
        return {name: value for name, value in found.items() if not np.isnan(value)}

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


def _losses(logits: np.ndarray, truth: np.ndarray) -> Floats:
    """The binary cross-entropy of each row, the mean over its labels."""
    result: Floats = softplus(np.where(truth, -logits, logits)).mean(axis=1)
    return result
