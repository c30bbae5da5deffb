"""Text classification: one label for each text, or for each pair of texts; or several, or a
number."""

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
from unfreeze.jobs.tasks.label_report import confusion_sections, worst_section
from unfreeze.jobs.tasks.label_scores import log_softmax, macro_auroc
from unfreeze.jobs.tasks.multi_label import MultiLabelClassification
from unfreeze.jobs.tasks.sequence_classification import (
    SequenceClassification,
    TextClassificationOptions,
)
from unfreeze.jobs.tasks.task import Arrays, BadRow, Decode, Learned, Section, Units
from unfreeze.jobs.tasks.text_regression import TextRegression

if TYPE_CHECKING:
    import torch

    from unfreeze.jobs.data.token_store import Split

__all__ = ["TextClassification", "TextClassificationOptions", "open_text_classification"]

_RIGHT, _LOSS, _COUNTS = 1, 2, 3  # columns of the statistics; the first is 1


class TextClassification(SequenceClassification):
    """One label for each text."""

    def look_at_target(self, value: Any) -> tuple[tuple[str, ...], dict[str, int]]:
        label = label_name(value)
        if label is None:
            raise BadRow("label", "expected a label, found none")
        return (label,), self.count_labels([label])

    def targets(self, values: Sequence[Any]) -> list[int]:
        id_of = {label: i for i, label in enumerate(self.labels)}
        return [id_of[label_name(value) or ""] for value in values]

    def example_weights(self, values: Sequence[Any]) -> list[float] | None:
        """The weights of their labels, so that the loss is a weighted mean over the rows of the
        global batch, as in torch's CrossEntropyLoss(weight=...)."""
        if self.options.class_weights == "none":
            return None
        return self.weights_of([label_name(value) or "" for value in values])

    def loss(self, outputs: Any, batch: Mapping[str, "torch.Tensor"]) -> "torch.Tensor":
        """Cross-entropy."""
        from torch.nn.functional import cross_entropy

        losses = cross_entropy(outputs.logits.float(), batch["labels"], reduction="none")
        return (losses * batch["weights"].to(losses.dtype)).sum()

    @cached_property
    def _counts(self) -> LabelCounts:
        return LabelCounts(_COUNTS, len(self.labels))

    @cached_property
    def _bins(self) -> CalibrationBins:
        return CalibrationBins(_COUNTS + self._counts.columns)

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        return (
            mean_of("accuracy", _RIGHT),
            self._counts.macro_f1(),
            self._counts.weighted_f1(),
            self._counts.matthews(),
            mean_of("loss", _LOSS),
            self._bins.error(),
        )

    def statistics(self, kept: Arrays, split: "Split", units: Units, decode: Decode) -> Floats:
        """1, whether the label is right, the cross-entropy (all weigh the same), the counts of each
        label, and the bins of how sure the model is, without a temperature."""
        logits, truth = kept["logits"], split.values["labels"][units]
        predicted, said = logits.argmax(axis=1), log_softmax(logits)
        right = predicted == truth
        which = np.arange(len(self.labels))
        return np.concatenate(
            [
                np.stack([np.ones(len(truth)), right, -_own(said, truth)], axis=1),
                self._counts.of_rows(predicted[:, None] == which, truth[:, None] == which),
                self._bins.of_rows(np.exp(said.max(axis=1))[:, None], right[:, None]),
            ],
            axis=1,
        )

    def predictions(
        self,
        kept: Arrays,
        split: "Split",
        units: Units,
        decode: Decode,
    ) -> Iterator[dict[str, Any]]:
        """The label, and the probability of each with the temperature, in fp32 to six places."""
        truth = split.values.get("labels")
        for unit, logits in zip(units, kept["logits"], strict=True):
            probabilities = np.exp(log_softmax(logits[None] / self.temperature))[0]
            label = {} if truth is None else {"label": self.labels[truth[unit]]}
            yield label | {
                "predicted": self.labels[int(logits.argmax())],
                "probabilities": {
                    label: round(float(p), 6)
                    for label, p in zip(self.labels, probabilities, strict=True)
                },
            }

    def finish(self, kept: Arrays, split: "Split") -> tuple[Learned, dict[str, float]]:
        """The temperature at which the validation rows are likeliest."""
        logits, truth = kept["logits"].astype(np.float64), split.values["labels"]
        temperature = best_temperature(
            lambda factor: float(-_own(log_softmax(logits * factor), truth).mean())
        )
        return ({} if temperature is None else {"temperature": temperature}), {}

    def further_scores(self, kept: Arrays, split: "Split") -> dict[str, float]:
        """AUROC of probabilities without a temperature: of two labels that of the second, of more
        the mean over "this one or another". With a temperature what it changes."""
        logits, truth = kept["logits"], split.values["labels"]
        there = truth[:, None] == np.arange(len(self.labels))
        some = slice(1, None) if len(self.labels) == 2 else slice(None)
        found = {"auroc": macro_auroc(log_softmax(logits)[:, some], there[:, some])}
        if "temperature" in self.learned:
            scaled = log_softmax(logits / self.temperature)
            sure, right = np.exp(scaled.max(axis=1)), logits.argmax(axis=1) == truth
            found["scaled_loss"] = float(-_own(scaled, truth).mean())
            found["scaled_calibration_error"] = calibration_error(sure[:, None], right[:, None])
        return {name: value for name, value in found.items() if not np.isnan(value)}

    def sections(self, predictions: Sequence[Mapping[str, Any]], judged: str) -> list[Section]:
        """Which labels were taken for which, how far the probabilities can be trusted, and the
        wrong predictions that were most certain."""
        return [
            *confusion_sections(predictions, self.labels, judged),
            *self._reliability(predictions, judged),
            worst_section(predictions, judged),
        ]

    def _reliability(self, predictions: Sequence[Mapping[str, Any]], judged: str) -> list[Section]:
        if not all(p.get("probabilities") for p in predictions) or not predictions:
            return []
        scaled = np.array([list(p["probabilities"].values()) for p in predictions])
        raw = scaled**self.temperature  # the probabilities before they were scaled, but for a sum
        return [
            reliability_section(
                (raw.max(axis=1) / raw.sum(axis=1))[:, None],
                scaled.max(axis=1)[:, None],
                np.array([[p["label"] == p["predicted"]] for p in predictions]),
                self.learned.get("temperature"),
                f"the predictions on {judged} rows",
            )
        ]


def open_text_classification(
    options: TextClassificationOptions, learned: Learned
) -> SequenceClassification:
    """The task for the problem that the options name."""
    kinds: dict[str, type[SequenceClassification]] = {
        "single_label": TextClassification,
        "multi_label": MultiLabelClassification,
        "regression": TextRegression,
    }
    return kinds[options.problem_type](options, learned)


def _own(of_labels: Floats, truth: np.ndarray) -> Floats:
    """Of each row, what its own label has."""
    own: Floats = of_labels[np.arange(len(truth)), truth]
    return own
