"""A number for each text."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unfreeze.jobs.metrics import Floats, Metric, mean_of, ratio
from unfreeze.jobs.tasks.label_report import WORST, texts_of
from unfreeze.jobs.tasks.sequence_classification import (
    FAR,
    FAR_FROM_0,
    ROWS,
    SequenceClassification,
)
from unfreeze.jobs.tasks.task import Arrays, BadRow, Decode, Learned, Section, Table, Texts, Units

if TYPE_CHECKING:
    import torch

    from unfreeze.jobs.data.token_store import Split

_ERROR, _SQUARE, _TRUE, _SAID, _TRUE_2, _SAID_2, _BOTH = range(1, 8)
"""The statistics of a row, after 1: the size of the error and its square; the true number, the
predicted one, their squares and their product."""


def _root_mean_squared_error(sums: Floats) -> Floats:
    result: Floats = np.sqrt(ratio(sums[..., _SQUARE], sums[..., 0]))
    return result


def _r2(sums: Floats) -> Floats:
    """1 - squared errors / squared distances from the mean; nan where all numbers are the same."""
    return 1 - ratio(sums[..., _SQUARE], _spread(sums, _TRUE, _TRUE, _TRUE_2))


def _pearson(sums: Floats) -> Floats:
    """The correlation of what is said and what is true; nan where one is always the same."""
    spreads = _spread(sums, _TRUE, _TRUE, _TRUE_2) * _spread(sums, _SAID, _SAID, _SAID_2)
    return ratio(_spread(sums, _TRUE, _SAID, _BOTH), np.sqrt(spreads))


def _spread(sums: Floats, a: int, b: int, product: int) -> Floats:
    """sum (a - mean a) (b - mean b). What is left of 0 by rounding is 0."""
    whole = sums[..., product]
    centred = whole - np.nan_to_num(ratio(sums[..., a] * sums[..., b], sums[..., 0]))
    is_square = a == b
    result: Floats = np.where(is_square & (centred < 1e-12 * whole), 0.0, centred)
    return result


METRICS = (
    mean_of("mean_absolute_error", _ERROR),
    Metric("root_mean_squared_error", _root_mean_squared_error),
    Metric("r2", _r2),
    Metric("pearson", _pearson),
    mean_of("loss", _SQUARE),
)


class TextRegression(SequenceClassification):
    """A number for each text, learned as it is: what the exported model gives is the number."""

    metrics = METRICS

    def look_at_target(self, value: Any) -> tuple[tuple[str, ...], dict[str, int]]:
        if value is None or not np.isfinite(value):
            found = "none" if value is None or np.isnan(value) else "one without end"
            raise BadRow("label", f"expected a number, found {found}")
        return (), {ROWS: 1, FAR: int(abs(value) > FAR_FROM_0)}

    def learn(self, labels: Collection[str], declared: Sequence[str] | None) -> Learned:
        return {}

    def targets(self, values: Sequence[Any]) -> list[float]:
        return [float(value) for value in values]

    def configuration(self) -> dict[str, Any]:
        return {
            "problem_type": "regression",
            "num_labels": 1,
            "id2label": {0: "LABEL_0"},
            "label2id": {"LABEL_0": 0},
        }

    def loss(self, outputs: Any, batch: Mapping[str, "torch.Tensor"]) -> "torch.Tensor":
        """The squared error."""
        from torch.nn.functional import mse_loss

        said = outputs.logits.float().squeeze(1)
        return mse_loss(said, batch["labels"].to(said.dtype), reduction="sum")

    def statistics(self, kept: Arrays, split: "Split", units: Units, decode: Decode) -> Floats:
        said = kept["logits"][:, 0].astype(np.float64)
        true = split.values["labels"][units].astype(np.float64)
        off = said - true
        columns = [np.ones(len(off)), abs(off), off**2, true, said, true**2, said**2, true * said]
        return np.stack(columns, axis=1)

    def predictions(
        self,
        kept: Arrays,
        split: "Split",
        units: Units,
        decode: Decode,
    ) -> Iterator[dict[str, Any]]:
        """The number, in fp32 to six places."""
        true = split.values.get("labels")
        for unit, logits in zip(units, kept["logits"], strict=True):
            label = {} if true is None else {"label": float(true[unit])}
            yield label | {"predicted": round(float(logits[0]), 6)}

    def finish(self, kept: Arrays, split: "Split") -> tuple[Learned, dict[str, float]]:
        return {}, {}

    def sections(self, predictions: Sequence[Mapping[str, Any]], judged: str) -> list[Section]:
        """What is said of small and of large numbers, and the worst errors."""
        if not predictions:
            return [Section("Errors", "No predictions to look at.")]
        return [_fifths(predictions, judged), _worst(predictions, judged)]


def _fifths(predictions: Sequence[Mapping[str, Any]], judged: str) -> Section:
    """A model that says the middle of everything is seen here at once."""
    ranked = sorted(predictions, key=lambda p: float(p["label"]))
    rows = []
    for part in np.array_split(np.arange(len(ranked)), 5):
        some = [ranked[i] for i in part]
        if some:
            true, said = (np.array([p[key] for p in some]) for key in ("label", "predicted"))
            ends = f"{true.min():.4g} to {true.max():.4g}"
            numbers = (true.mean(), said.mean(), abs(said - true).mean())
            rows.append((ends, len(some), *(f"{number:.4g}" for number in numbers)))
    columns = ("true numbers", "rows", "mean", "mean prediction", "mean absolute error")
    note = f"The {judged} rows in five parts, from the smallest true numbers to the largest."
    return Section("Errors", note, Table(columns, rows))


def _worst(predictions: Sequence[Mapping[str, Any]], judged: str) -> Section:
    ranked = sorted(predictions, key=lambda p: (-abs(p["label"] - p["predicted"]), p["row"]))
    items = [
        (
            f"{p['label']:.4g} \u2192 {p['predicted']:.4g}; "
            f"off by {abs(p['label'] - p['predicted']):.4g}; row {p['row']}",
            texts_of(p),
        )
        for p in ranked[:WORST]
    ]
    note = f"The predictions on {judged} rows that are furthest off."
    return Section("Worst errors", note, Texts(items))
