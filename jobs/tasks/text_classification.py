"""Text classification: one label for each text, or for each pair of texts; or several, or a
number."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unfreeze.jobs.data.label_names import label_name
from unfreeze.jobs.metrics import Floats, Metric, mean_of
from unfreeze.jobs.tasks.calibration import reliability_section
from unfreeze.jobs.tasks.label_report import confusion_sections, worst_section
from unfreeze.jobs.tasks.label_scores import log_softmax, macro_auroc
from unfreeze.jobs.tasks.labelled import LOSS, RIGHT, LabelledClassification
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


class TextClassification(LabelledClassification):
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

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (
            mean_of("accuracy", RIGHT),
            self.label_counts.macro_f1(),
            self.label_counts.weighted_f1(),
            self.label_counts.matthews(),
            mean_of("loss", LOSS),
            self.bins.error(),
        )

    def statistics(self, kept: Arrays, split: "Split", units: Units, decode: Decode) -> Floats:
        logits, truth = kept["logits"], split.values["labels"][units]
        predicted, which = logits.argmax(axis=1), np.arange(len(self.labels))
        return self.scored(logits, truth, predicted[:, None] == which, truth[:, None] == which)

    def losses(self, logits: Floats, truth: np.ndarray) -> Floats:
        said = log_softmax(logits)
        result: Floats = -said[np.arange(len(truth)), truth]
        return result

    def certainty(self, logits: Floats, truth: np.ndarray) -> tuple[Floats, np.ndarray]:
        """The likeliest label is the prediction."""
        sure, right = np.exp(log_softmax(logits).max(axis=1)), logits.argmax(axis=1) == truth
        return sure[:, None], right[:, None]

    def auroc(self, logits: Floats, truth: np.ndarray) -> float:
        """Of two labels that of the second, of more the mean over "this one or another"."""
        there = truth[:, None] == np.arange(len(self.labels))
        some = slice(1, None) if len(self.labels) == 2 else slice(None)
        return macro_auroc(log_softmax(logits)[:, some], there[:, some])

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
                "probabilities": self.named_probabilities(probabilities),
            }

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
