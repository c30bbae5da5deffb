"""Whether probabilities mean what they say: of what is said with 80 %, 80 % should be right.

The expected calibration error and temperature scaling are those of Guo et al., "On Calibration of
Modern Neural Networks" (2017).
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from unfreeze.jobs.metrics import Floats, Metric, ratio
from unfreeze.jobs.tasks.task import Section, Table

TEMPERATURE = "unfreeze_temperature"
"""Its name in the exported model's config.json."""
BINS = 15  # Guo et al.
MOST = math.log(20)
"""Of the logarithm of a temperature. What wants more, or less, wants no temperature."""

Bools = NDArray[np.bool_]


def bin_of(confidence: Floats) -> NDArray[np.int64]:
    """In which of BINS equal parts of (0, 1] these lie, from 0; what is 0 is in the first."""
    bins = np.ceil(np.nan_to_num(confidence) * BINS).astype(np.int64) - 1
    return np.clip(bins, 0, BINS - 1)


class CalibrationBins:
    """One statistic for each bin: by how much what is in it is right more often than it says."""

    columns = BINS

    def __init__(self, first: int) -> None:
        """`first`: the column where these statistics begin."""
        self._first = first

    def of_rows(self, confidence: Floats, right: Bools) -> Floats:
        """[rows, BINS] of decisions, [rows, decisions] each. A row's decisions weigh one
        together."""
        rows, decisions = confidence.shape
        place = bin_of(confidence) + BINS * np.arange(rows)[:, None]
        surplus = (right - confidence) / decisions
        sums: Floats = np.bincount(place.ravel(), surplus.ravel(), rows * BINS).astype(np.float64)
        return sums.reshape(rows, BINS)

    def error(self, name: str = "expected_calibration_error") -> Metric:
        """The sum over the bins of |share that is right - mean confidence|, each weighted by its
        share of the decisions: what cancels out within a bin, and only there, is no error."""

        def of(sums: Floats) -> Floats:
            mine = sums[..., self._first : self._first + BINS]
            return ratio(np.abs(mine).sum(axis=-1), sums[..., 0])

        return Metric(name, of)


def calibration_error(confidence: Floats, right: Bools) -> float:
    """The expected calibration error of decisions, [rows, decisions] each."""
    surplus = CalibrationBins(0).of_rows(confidence, right).sum(axis=0)
    return float(np.abs(surplus).sum() / len(confidence))


def best_temperature(loss: Callable[[float], float]) -> float | None:
    """The temperature with the lowest loss; `loss` takes what logits are multiplied by.

    The log-likelihood is concave in that factor, so there is one best. None if it lies at no
    sensible temperature, as where every row is right and more is always better.
    """
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log_temperature: loss(math.exp(-log_temperature)),
        bounds=(-MOST, MOST),
        method="bounded",
        options={"xatol": 1e-6},
    )
    ends = min(loss(math.exp(MOST)), loss(math.exp(-MOST)))
    return float(math.exp(found.x)) if found.fun < ends - 1e-6 else None


def reliability_section(
    before: Floats, after: Floats, right: Bools, temperature: float | None, said: str
) -> Section:
    """Bins of decisions, [rows, decisions] each, by their confidence before and after temperature
    scaling. `said`: what is said with that confidence and may be right, in words."""
    note = f"How many of {said} with so much confidence are right. "
    note += f"The expected calibration error is {_percent(calibration_error(before, right))}"
    sides = [before]
    if temperature is not None:
        error = _percent(calibration_error(after, right))
        note += f"; with the temperature {temperature:.3f}, which was chosen on the validation "
        note += f"rows, it is {error}"
        sides.append(after)
    columns = ["confidence", "said", "mean confidence", "right"]
    if temperature is not None:
        columns += [f"{name}, scaled" for name in columns[1:]]
    parts = [_bins(side, right) for side in sides]
    rows = [
        (f"{100 * b / BINS:.0f}-{100 * (b + 1) / BINS:.0f} %", *(x for p in parts for x in p[b]))
        for b in range(BINS)
        if any(p[b][0] for p in parts)
    ]
    return Section("Reliability", note + ".", Table(columns, rows))


def _bins(confidence: Floats, right: Bools) -> list[tuple[int, str, str]]:
    counts, sums, hits = (
        np.bincount(bin_of(confidence).ravel(), of.ravel(), BINS).astype(np.float64)
        for of in (np.ones_like(confidence), confidence, right)
    )
    means, shares = ratio(sums, counts), ratio(hits, counts)
    return [
        (int(n), _percent(mean), _percent(share))
        for n, mean, share in zip(counts, means, shares, strict=True)
    ]


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f} %"
