"""What labels and numbers for texts have in common: the options, the texts, and the model."""

import math
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from unfreeze.jobs.data.batches import padded
from unfreeze.jobs.data.label_names import label_name, sorted_labels
from unfreeze.jobs.data.token_store import Examples
from unfreeze.jobs.encoder import Encoder
from unfreeze.jobs.errors import DataError
from unfreeze.jobs.metrics import Floats
from unfreeze.jobs.tasks.calibration import TEMPERATURE
from unfreeze.jobs.tasks.task import (
    Arrays,
    BadRow,
    Learned,
    Probe,
    Role,
    RoleKind,
    Row,
    Seen,
    Task,
    TaskOptions,
    Units,
)

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedTokenizerBase

    from unfreeze.jobs.data.token_store import Split

ROWS, LABEL, FAR = "rows", "label ", "far"
"""What is counted over a source: its rows, those with each label, and numbers far from 0."""
FAR_FROM_0 = 10
_KIND_OF: dict[str, RoleKind] = {
    "single_label": "label",
    "multi_label": "labels",
    "regression": "number",
}


def _read_weights(value: Any) -> Any:
    """Words, or weights by the names of labels, which YAML may take for numbers."""
    if value is None or value in ("none", "balanced"):
        return value or "none"
    if not isinstance(value, dict):
        raise ValueError("expected balanced, none, or a weight for each label ({label: weight})")
    named = {str(label_name(label)): weight for label, weight in value.items()}
    for label, weight in named.items():
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not is_number or not 0 < weight < math.inf:
            raise ValueError(f"expected a weight above 0 for the label {label}, got {weight!r}")
    return named


class TextClassificationOptions(TaskOptions):
    """A label, several labels, or a number for each text."""

    name: Literal["text-classification"] = "text-classification"
    """Which task."""
    problem_type: Literal["single_label", "multi_label", "regression"] = "single_label"
    """What a row has: one label, a list of labels (it may be empty), or a number."""
    class_weights: Annotated[
        Literal["none", "balanced"] | dict[str, float], BeforeValidator(_read_weights)
    ] = "none"
    """How much a label counts in the loss: none (all the same), balanced (rare ones count more), or
    {label: weight}; labels that are not named weigh 1."""

    @model_validator(mode="after")
    def _numbers_have_no_classes(self) -> "TextClassificationOptions":
        if self.problem_type == "regression" and self.class_weights != "none":
            raise ValueError("class_weights: there are no classes in a regression")
        return self

    @property
    def roles(self) -> tuple[Role, ...]:
        return (
            Role("text", column="text"),
            Role("text_pair"),
            Role("label", _KIND_OF[self.problem_type], column="label", is_target=True),
        )

    @property
    def metric_names(self) -> tuple[str, ...]:
        if self.problem_type == "regression":
            return "mean_absolute_error", "root_mean_squared_error", "r2", "pearson", "loss"
        if self.problem_type == "multi_label":
            return "micro_f1", "macro_f1", "weighted_f1", "subset_accuracy", "loss"
        return "accuracy", "f1", "weighted_f1", "mcc", "loss"

    def conclude(self, counts: Mapping[str, int]) -> tuple[Learned, list[str]]:
        """Balanced weights; and whether numbers are of another size than what a head gives."""
        rows = counts.get(ROWS, 0)
        if counts.get(FAR, 0) > rows / 10:
            return {}, [
                f"{counts[FAR]} of {rows} numbers are beyond {FAR_FROM_0} or -{FAR_FROM_0}, and a "
                "new head begins near 0: it learns sooner if they are divided first"
            ]
        if self.class_weights != "balanced" or not rows:
            return {}, []
        of_label = {
            name.removeprefix(LABEL): count
            for name, count in counts.items()
            if name.startswith(LABEL)
        }
        return {"class_weights": self._balanced(of_label, rows)}, []

    def _balanced(self, of_label: Mapping[str, int], rows: int) -> dict[str, float]:
        """A label's rows weigh as much as those of any other; or, where a row has several labels,
        as much as the rows without it."""
        if self.problem_type == "multi_label":
            return {label: max(1, rows - count) / count for label, count in of_label.items()}
        return {label: rows / (len(of_label) * count) for label, count in of_label.items()}


class SequenceClassification(Task):
    """Texts, or pairs of texts, and a model with a head of one number for each label."""

    auto_model = "AutoModelForSequenceClassification"

    def __init__(self, options: TextClassificationOptions, learned: Learned) -> None:
        self.options: TextClassificationOptions = options
        self.learned = learned

    @property
    def labels(self) -> list[str]:
        """Names of the label ids."""
        names: list[str] = self.learned["labels"]
        return names

    @property
    def temperature(self) -> float:
        """What logits are divided by where they become probabilities."""
        return float(self.learned.get("temperature", 1.0))

    def weights_of(self, labels: Sequence[str]) -> list[float]:
        """What these labels weigh in the loss."""
        given = self.options.class_weights
        weights = given if isinstance(given, dict) else self.learned.get("class_weights", {})
        return [float(weights.get(label, 1.0)) for label in labels]

    # What each kind of problem has for itself, beside what the protocol asks for

    @abstractmethod
    def look_at_target(self, value: Any) -> tuple[tuple[str, ...], dict[str, int]]:
        """The labels in the label column, and what is counted. Raises BadRow."""

    @abstractmethod
    def targets(self, values: Sequence[Any]) -> Sequence[Any]:
        """Of what the label column holds, the number or vector that is learned."""

    def example_weights(self, values: Sequence[Any]) -> list[float] | None:
        """How many terms of the loss each row has."""
        return None

    # Rows and examples

    def look(self, row: Row) -> Seen:
        texts = [row["text"], *([row["text_pair"]] if "text_pair" in row else [])]
        for role, text in zip(("text", "text_pair"), texts, strict=False):
            if not (text or "").strip():
                raise BadRow(role, "expected text, found none")
        if "label" not in row:
            return Seen(tuple(texts))
        return Seen(tuple(texts), *self.look_at_target(row["label"]))

    def count_labels(self, labels: Sequence[str]) -> dict[str, int]:
        """For `conclude`, if it needs them."""
        if self.options.class_weights != "balanced":
            return {}
        return {ROWS: 1} | {LABEL + label: 1 for label in labels}

    def learn(self, labels: Collection[str], declared: Sequence[str] | None) -> Learned:
        """Raises DataError if there are weights for labels that are not there."""
        names = list(declared) if declared else sorted_labels(labels)
        weights = self.options.class_weights
        if isinstance(weights, dict) and (strange := sorted(weights.keys() - set(names))):
            there = ", ".join(names)
            text = f"task.class_weights: no row has the label {', '.join(strange)}; there are: "
            raise DataError([text + there])
        return {"labels": names}

    def encode(
        self, rows: Sequence[Row], tokenizer: "PreTrainedTokenizerBase", max_length: int
    ) -> Examples:
        encoder = Encoder(tokenizer, max_length)
        pairs = [row["text_pair"] for row in rows] if "text_pair" in rows[0] else None
        tokens, token_types = encoder.encode([row["text"] for row in rows], pairs)
        sequences: dict[str, Sequence[Sequence[int]]] = {"input_ids": tokens}
        if token_types is not None:
            sequences["token_type_ids"] = token_types
        if "label" not in rows[0]:
            return Examples(sequences, cut_off=encoder.cut_off)
        given = [row["label"] for row in rows]
        values, weights = {"labels": self.targets(given)}, self.example_weights(given)
        return Examples(sequences, values, weights=weights, cut_off=encoder.cut_off)

    def pack(self, max_length: int) -> int | None:
        return None

    # The model

    def configuration(self) -> dict[str, Any]:
        if not self.learned:
            return {}
        found = {
            "problem_type": f"{self.options.problem_type}_classification",
            "num_labels": len(self.labels),
            "id2label": dict(enumerate(self.labels)),
            "label2id": {label: i for i, label in enumerate(self.labels)},
        }
        if "temperature" in self.learned:
            found[TEMPERATURE] = self.temperature
        return found

    def collate(self, split: "Split", examples: Units, pad_id: int) -> Arrays:
        return padded(split, examples, {"input_ids": pad_id, "token_type_ids": 0})

    def model_inputs(
        self, model: "nn.Module", batch: Mapping[str, "torch.Tensor"]
    ) -> dict[str, Any]:
        return {name: tensor for name, tensor in batch.items() if name not in ("labels", "weights")}

    def keep(
        self, model: "nn.Module", batch: Mapping[str, "torch.Tensor"], *, thorough: bool
    ) -> dict[str, "torch.Tensor"]:
        return {"logits": model(**self.model_inputs(model, batch)).logits.float()}

    # Comparing pretrained models

    def probe(self, split: "Split", units: Units) -> Probe | None:
        truth = split.values["labels"][units]
        if self.options.problem_type == "regression":
            return Probe("number", truth)
        kind: Literal["class", "labels"] = "class" if truth.ndim == 1 else "labels"
        return Probe(kind, truth, len(self.labels))

    def keep_probed(self, logits: Floats, split: "Split", units: Units) -> Arrays:
        return {"logits": logits}
