"""How much too good the best of many trials looks, because it was picked on the rows it is judged
by."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unfreeze.jobs.metrics import Floats, Metric, draw_counts

Counts = NDArray[np.uint8]
"""How often a row is in a resample. It is once on average, and never 256 times."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Optimism:
    """The best trial's metric, before and after the correction for its being picked."""

    apparent: float
    """The best of the trials' metrics on all rows."""
    corrected: float
    """What the way of picking gives on rows that it did not pick on."""
    optimism: float
    """How much better `apparent` is than `corrected`; positive is too good, for a loss as well."""
    interval: tuple[float, float]
    """The middle 95 % of the out-of-bag metrics that `corrected` is the mean of. About 37 % of
    the rows are out of a bag, so this is wider than a confidence interval of `corrected` on all
    rows would be."""


def optimism(
    metric: Metric, trials: Iterable[Floats], *, resamples: int = 1000, seed: int
) -> Optimism:
    """Bootstrap the picking itself; no training (BBC-CV: Tsamardinos, Greasidou, Borboudakis
    2018). trials: statistics [rows, k] of each, on rows that it was not trained on, read one by
    one.

    In each resample the trial that is best on the drawn rows is scored on the rows that were not
    drawn. The correction is for picking on these rows, not for the luck of a trial's seed, and it
    is slightly too severe: a bag holds 63 % of the rows. Of equally good trials the first counts.
    Trials with statistics that are not finite, or whose metric is not known, are left out; a
    resample counts if the metric is known in the bag and outside it. Memory: two numbers for each
    trial and resample, a byte for each row and resample, and 50 MiB.

    Raises ValueError for fewer than two rows, no such trial, or no such resample.
    """
    sign = 1.0 if metric.mode == "max" else -1.0
    bags: list[Counts] = []
    whole: list[float] = []
    inside: list[Floats] = []
    outside: list[Floats] = []
    for statistics in trials:
        on_all_rows = sign * float(metric.of(statistics.sum(axis=0)))
        if not np.isfinite(statistics).all() or np.isnan(on_all_rows):
            continue
        bags = bags or _bags(seed, resamples, len(statistics))
        whole.append(on_all_rows)
        inside.append(sign * np.concatenate([metric.of(bag @ statistics) for bag in bags]))
        outside.append(np.concatenate([metric.of((bag == 0) @ statistics) for bag in bags]))
    if not whole:
        raise ValueError("no trial has finite statistics and a metric")
    apparent = sign * max(whole)
    found = _of_the_picked(np.array(inside), np.array(outside))
    if not len(found):
        raise ValueError("too few resamples: none has rows outside it of which a metric is known")
    corrected = float(found.mean())
    low, high = np.percentile(found, [2.5, 97.5])
    return Optimism(
        apparent=apparent,
        corrected=corrected,
        optimism=sign * (apparent - corrected),
        interval=(float(low), float(high)),
    )


def _bags(seed: int, resamples: int, rows: int) -> list[Counts]:
    """The resamples that leave out a row, [some, rows] each."""
    if rows < 2:
        raise ValueError("the optimism needs at least two rows")
    return [
        counts[(counts == 0).any(axis=1)].astype(np.uint8)
        for counts in draw_counts(seed, resamples, rows)
    ]


def _of_the_picked(inside: Floats, outside: Floats) -> Floats:
    """The metric of each resample's pick, of which more is better inside: [trials, resamples]
    each -> [resamples of which it is known]."""
    picks = np.where(np.isnan(inside), -np.inf, inside).argmax(axis=0)
    found: Floats = outside[picks, np.arange(len(picks))]
    return found[~(np.isnan(inside).all(axis=0) | np.isnan(found))]
