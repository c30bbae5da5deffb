"""How much too good the best of many trials looks, because it was picked on the rows it is judged
by."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unfreeze.jobs.config import Mode
from unfreeze.jobs.resampled import draw_counts, metric_of_values, row_values


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
    metric: str,
    logits: Sequence[np.ndarray] | np.ndarray,
    label_ids: np.ndarray,
    mode: Mode,
    *,
    resamples: int = 1000,
    seed: int,
) -> Optimism:
    """Bootstrap the picking itself; no training (BBC-CV: Tsamardinos, Greasidou, Borboudakis
    2018). logits: [rows, labels] of each trial, on rows that it was not trained on.

    In each resample the trial that is best on the drawn rows is scored on the rows that were not
    drawn. The correction is for picking on these rows, not for the luck of a trial's seed, and it
    is slightly too severe: a bag holds 63 % of the rows. Of equally good trials the first counts.
    Trials with logits that are not finite are left out. Memory: [trials, rows] numbers, and 100
    MiB.

    Raises ValueError for an unknown metric, fewer than two rows, or no trial with finite logits.
    """
    if len(label_ids) < 2:
        raise ValueError("the optimism needs at least two rows")
    trials = [one for one in logits if np.isfinite(one).all()]
    if not trials:
        raise ValueError("no trial has finite logits")
    sign = 1.0 if mode == "max" else -1.0
    values = np.stack([row_values(metric, one, label_ids) for one in trials])
    every = np.ones((1, len(label_ids)))
    apparent = float((sign * metric_of_values(metric, values, label_ids, every)).max() * sign)
    found = []
    for counts in draw_counts(seed, resamples, len(label_ids)):
        bags = counts[(counts == 0).any(axis=1)]  # with very few rows a bag may hold them all
        picks = (sign * metric_of_values(metric, values, label_ids, bags)).argmax(axis=1)
        found.append(_of_the_picked(metric, values, label_ids, picks, bags == 0))
    outside = np.concatenate(found)
    if not len(outside):
        raise ValueError("too few resamples: every bag held all rows")
    corrected = float(outside.mean())
    low, high = np.percentile(outside, [2.5, 97.5])
    return Optimism(
        apparent=apparent,
        corrected=corrected,
        optimism=sign * (apparent - corrected),
        interval=(float(low), float(high)),
    )


def _of_the_picked(
    metric: str,
    values: np.ndarray,
    label_ids: np.ndarray,
    picks: np.ndarray,
    counts: np.ndarray,
) -> np.ndarray:
    """The metric of each resample's own pick: [resamples]."""
    scores = np.empty(len(picks))
    for pick in np.unique(picks):
        mine = picks == pick
        scores[mine] = metric_of_values(metric, values[pick], label_ids, counts[mine])
    return scores
