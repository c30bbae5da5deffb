"""What texts with one label and texts with several have in common: label names, scores that are
counted by label, and one temperature."""

from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from unfreeze.jobs.metrics import Floats, LabelCounts
from unfreeze.jobs.tasks.calibration import CalibrationBins, best_temperature, calibration_error
from unfreeze.jobs.tasks.sequence_classification import SequenceClassification
from unfreeze.jobs.tasks.task import Arrays, Learned

if TYPE_CHECKING:
    from unfreeze.jobs.data.token_store import Split

RIGHT, LOSS, COUNTS = 1, 2, 3
"""Columns of the statistics. The first is 1, the second whether all of the row is right; those
from COUNTS on are of each label, and behind them of the calibration bins."""


class LabelledClassification(SequenceClassification):
    """Texts with labels that have names."""

    # What each kind has for itself

    @abstractmethod
    def losses(self, logits: Floats, truth: np.ndarray) -> Floats:
        """Cross-entropy of each row, all labels weighing the same; [rows]."""

    @abstractmethod
    def certainty(self, logits: Floats, truth: np.ndarray) -> tuple[Floats, np.ndarray]:
        """Of each prediction of each row the probability, and whether it came true; [rows, k]."""

    @abstractmethod
    def auroc(self, logits: Floats, truth: np.ndarray) -> float:
        """Area under the ROC curve; nan where it is not known."""

    # Scores

    @cached_property
    def label_counts(self) -> LabelCounts:
        """Where the statistics of each label lie."""
        return LabelCounts(COUNTS, len(self.labels))

    @cached_property
    def bins(self) -> CalibrationBins:
        """Where those of the calibration bins lie."""
        return CalibrationBins(COUNTS + self.label_counts.columns)

    def scored(
        self,
        logits: Floats,
        truth: np.ndarray,
        predicted: np.ndarray,
        there: np.ndarray,
    ) -> Floats:
        """The statistics, without a temperature. `predicted`, `there`: [rows, labels]."""
        right = (predicted == there).all(axis=1)
        first = np.stack([np.ones(len(truth)), right, self.losses(logits, truth)], axis=1)
        counts = self.label_counts.of_rows(predicted, there)
        return np.concatenate(
            [first, counts, self.bins.of_rows(*self.certainty(logits, truth))], axis=1
        )

    def named_probabilities(self, probabilities: np.ndarray) -> dict[str, float]:
        """By label, in fp32 to six places."""
        return {
            label: round(float(p), 6) for label, p in zip(self.labels, probabilities, strict=True)
        }

    def finish(self, kept: Arrays, split: "Split") -> tuple[Learned, dict[str, float]]:
        """The temperature at which the validation rows are likeliest."""
        logits, truth = kept["logits"].astype(np.float64), split.values["labels"]
        temperature = best_temperature(
            lambda factor: float(self.losses(logits * factor, truth).mean())
        )
        return ({} if temperature is None else {"temperature": temperature}), {}

    def further_scores(self, kept: Arrays, split: "Split") -> dict[str, float]:
        """AUROC without a temperature; with one what it changes."""
        logits, truth = kept["logits"], split.values["labels"]
        found: dict[str, Any] = {"auroc": self.auroc(logits, truth)}
        if "temperature" in self.learned:
            scaled = logits / self.temperature
            found["scaled_loss"] = float(self.losses(scaled, truth).mean())
            found["scaled_calibration_error"] = calibration_error(*self.certainty(scaled, truth))
        return {name: value for name, value in found.items() if not np.isnan(value)}
