"""Numbers about rows, from sums over the rows.

A task writes down a few numbers for each row, its statistics: [rows, k], of which the first is 1.
A metric is a function of their sums. So it is known for any resample, share or weighting of the
rows at the price of one matrix product, which is what intervals, the choice among finalists, and
the optimism of a search are made of; and what is kept of a trial is small, whatever the task is.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

Mode = Literal["max", "min"]
Floats = NDArray[np.float64]

MOST_CELLS = 2**21  # of counts in memory at once: 16 MiB


@dataclass(frozen=True, slots=True)
class Trait:
    """What is known of a metric by its name."""

    mode: Mode = "max"
    """Whether it should be high or low."""
    is_share: bool = True
    """Between 0 and 1, said in percent."""
    title: str = ""
    """For people, where the name is not it."""


TRAITS = {
    "accuracy": Trait(),
    "f1": Trait(title="F1"),
    "weighted_f1": Trait(title="weighted F1"),
    "macro_f1": Trait(title="macro F1"),
    "micro_f1": Trait(title="micro F1"),
    "subset_accuracy": Trait(title="subset accuracy"),
    "mcc": Trait(is_share=False, title="Matthews correlation"),
    "auroc": Trait(title="AUROC"),
    "expected_calibration_error": Trait("min"),
    "scaled_calibration_error": Trait("min", title="calibration error after temperature scaling"),
    "scaled_loss": Trait("min", is_share=False, title="loss after temperature scaling"),
    "mean_absolute_error": Trait("min", is_share=False),
    "root_mean_squared_error": Trait("min", is_share=False),
    "r2": Trait(is_share=False, title="R\u00b2"),
    "pearson": Trait(is_share=False, title="Pearson correlation"),
    "precision": Trait(),
    "recall": Trait(),
    "loss": Trait("min", is_share=False),
    "perplexity": Trait("min", is_share=False),
    "bits_per_byte": Trait("min", is_share=False, title="bits per byte"),
    "exact_match": Trait(title="exact match"),
    "has_answer_f1": Trait(title="F1 where there is an answer"),
    "no_answer_accuracy": Trait(title="accuracy where there is none"),
    "rouge1": Trait(title="ROUGE-1"),
    "rouge2": Trait(title="ROUGE-2"),
    "rougeL": Trait(title="ROUGE-L"),
    "bleu": Trait(title="BLEU"),
    "chrf": Trait(title="chrF"),
    "next_token_accuracy": Trait(title="accuracy of the next token"),
}
"""Every metric of every task."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One of a task's metrics."""

    name: str
    of: Callable[[Floats], Floats]
    """Sums of the statistics, [..., k] -> the metric, [...]; nan where nothing is known."""
    column: int | None = None
    """The statistic that it is the mean of over the rows; None if it is no such mean."""
    pseudo_rows: Callable[[Floats], tuple[Floats, Floats]] | None = None
    """Sums [k] -> the statistics of an average row that is all right, and all wrong. With them a
    share that happens to be 1 has an interval; None: there is no such thing."""
    thorough: bool = False
    """It is known only of rows that were kept thoroughly, which takes its time."""

    @property
    def mode(self) -> Mode:
        """Whether it should be high or low."""
        return TRAITS[self.name].mode

    @property
    def is_share(self) -> bool:
        """Whether it lies between 0 and 1."""
        return TRAITS[self.name].is_share


def mean_of(name: str, column: int) -> Metric:
    """The metric that is the mean of a statistic over the rows."""

    def right_and_wrong(sums: Floats) -> tuple[Floats, Floats]:
        right, wrong = np.zeros_like(sums), np.zeros_like(sums)
        right[0] = wrong[0] = right[column] = 1.0
        return right, wrong

    return Metric(
        name,
        lambda sums: ratio(sums[..., column], sums[..., 0]),
        column=column,
        pseudo_rows=right_and_wrong if TRAITS[name].is_share else None,
    )


def ratio_of(name: str, above: int, below: int) -> Metric:
    """The metric that is the sum of one statistic over that of another."""

    def right_and_wrong(sums: Floats) -> tuple[Floats, Floats]:
        right, wrong = np.zeros_like(sums), np.zeros_like(sums)
        right[0] = wrong[0] = 1.0
        right[above] = right[below] = wrong[below] = sums[below] / max(1.0, sums[0])
        return right, wrong

    return Metric(
        name,
        lambda sums: ratio(sums[..., above], sums[..., below]),
        pseudo_rows=right_and_wrong if TRAITS[name].is_share else None,
    )


def ratio(above: Floats, below: Floats) -> Floats:
    """Element by element; nan where `below` is 0."""
    nothing = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    result: Floats = np.divide(above, below, out=nothing, where=below != 0)
    return result


def scores_of(metrics: Sequence[Metric], statistics: Floats) -> dict[str, float]:
    """Every metric of these rows that is known."""
    sums = statistics.sum(axis=0)
    found = {metric.name: float(metric.of(sums)) for metric in metrics}
    return {name: value for name, value in found.items() if not np.isnan(value)}


def to_bytes(statistics: Floats) -> bytes:
    """Statistics as a safetensors file. Columns of small counts, which most are, take an eighth."""
    with np.errstate(invalid="ignore"):  # what is not finite is no count
        counts = statistics.astype(np.uint8)
    small = (counts == statistics).all(axis=0)
    parts = {"statistics": statistics[:, ~small], "counts": counts[:, small]}
    found = {name: np.ascontiguousarray(part) for name, part in parts.items()}
    return safetensors.numpy.save(found | {"is_count": small})


def from_bytes(file: bytes) -> Floats:
    """What `to_bytes` made a file of."""
    parts = safetensors.numpy.load(file)
    statistics: Floats = parts["statistics"]
    if "is_count" not in parts:  # a file of before there were any
        return statistics
    small = parts["is_count"]
    whole = np.empty((len(statistics), len(small)))
    whole[:, small], whole[:, ~small] = parts["counts"], statistics
    return whole


def draw_counts(seed: int, resamples: int, rows: int) -> Iterator[Floats]:
    """The counts of `resamples` bootstrap resamples, a few at a time: [some, rows].

    A resample is a count for each row: how often the row is in it. Which counts are drawn does not
    depend on how many come at a time.
    """
    draw = np.random.default_rng(seed)
    at_once = max(1, MOST_CELLS // rows)
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        picks = draw.integers(0, rows, size=(size, rows))
        picks += rows * np.arange(size)[:, None]
        counts = np.bincount(picks.ravel(), minlength=size * rows)
        yield counts.reshape(size, rows).astype(np.float64)


class LabelCounts:
    """For each label: how often it was found, predicted, and the truth. Three statistics each."""

    def __init__(self, first: int, labels: int) -> None:
        """`first`: the column where these statistics begin."""
        self._first, self._labels = first, labels

    @property
    def columns(self) -> int:
        """How many statistics these are."""
        return 3 * self._labels

    def of_rows(self, predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Floats:
        """[rows, columns] from whether each label is predicted and true, [rows, labels] each."""
        return np.concatenate([predicted & truth, predicted, truth], axis=1).astype(np.float64)

    def _parts(self, sums: Floats) -> tuple[Floats, Floats, Floats]:
        mine = sums[..., self._first : self._first + self.columns]
        both, predicted, truth = np.split(mine, 3, axis=-1)
        return both, predicted, truth

    def macro_f1(self, name: str = "f1") -> Metric:
        """The mean of each label's F1 over the labels that are there, as the truth or predicted
        (scikit-learn's "macro")."""

        def of(sums: Floats) -> Floats:
            both, predicted, truth = self._parts(sums)
            result: Floats = _mean_over_known(ratio(2 * both, predicted + truth))
            return result

        return Metric(name, of, pseudo_rows=self._right_and_wrong)

    def weighted_f1(self, name: str = "weighted_f1") -> Metric:
        """The mean of each label's F1, weighted by how often it is the truth."""

        def of(sums: Floats) -> Floats:
            both, predicted, truth = self._parts(sums)
            f1 = np.nan_to_num(ratio(2 * both, predicted + truth))
            return ratio((f1 * truth).sum(axis=-1), truth.sum(axis=-1))

        return Metric(name, of, pseudo_rows=self._right_and_wrong)

    def micro_f1(self, name: str = "micro_f1") -> Metric:
        """F1 of all labels of all rows together, as if they were one."""

        def of(sums: Floats) -> Floats:
            both, predicted, truth = (part.sum(axis=-1) for part in self._parts(sums))
            return ratio(2 * both, predicted + truth)

        return Metric(name, of, pseudo_rows=self._right_and_wrong)

    def matthews(self, name: str = "mcc") -> Metric:
        """Matthews' correlation of the predicted label and the true one, for any number of labels
        (Gorodkin 2004, R_K); 0 where all rows have one label, or are given one. Each row must have
        one."""

        def of(sums: Floats) -> Floats:
            both, predicted, truth = self._parts(sums)
            rows = sums[..., 0]
            covariance = both.sum(axis=-1) * rows - (predicted * truth).sum(axis=-1)
            spreads = [rows**2 - (part**2).sum(axis=-1) for part in (predicted, truth)]
            # What is left of a spread of 0 by rounding is no spread.
            vary = np.minimum(*spreads) > 1e-9 * rows**2
            result: Floats = np.where(
                (rows > 0) & ~vary,
                0.0,
                ratio(covariance, np.sqrt(np.maximum(0, np.prod(spreads, axis=0)))),
            )
            return result

        return Metric(name, of, pseudo_rows=self._right_and_wrong)

    def _right_and_wrong(self, sums: Floats) -> tuple[Floats, Floats]:
        """A row of each label that is there; they weigh one together. What is wrong is taken for
        its neighbour among them."""
        there = self._parts(sums)[2] > 0
        truth = there / max(1, there.sum())
        neighbours = truth if there.sum() > 1 else np.roll(truth, 1)
        right, wrong = np.zeros_like(sums), np.zeros_like(sums)
        right[0] = wrong[0] = 1.0
        mine = slice(self._first, self._first + self.columns)
        right[mine] = np.concatenate([truth, truth, truth])
        wrong[mine] = np.concatenate([np.zeros_like(truth), neighbours, truth])
        return right, wrong


def _mean_over_known(values: Floats) -> Floats:
    known = ~np.isnan(values)
    return ratio(np.nan_to_num(values).sum(axis=-1), known.sum(axis=-1).astype(np.float64))
