"""Which training rows the candidates are judged by. Pure: the same for equal rows."""

import numpy as np
from numpy.typing import NDArray

from unfreeze.jobs.data.token_store import Split
from unfreeze.jobs.tasks.task import Probe, Task, Units

MOST_PIECES = 256
"""Examples of a running text: they are as long as the model takes, and each is many predictions."""
DRAWN_FIRST = 10
"""Of so many times the rows that are wanted, labels are looked at."""


def choose_units(
    task: Task, split: Split, most_rows: int, most_places: int
) -> tuple[Units, Probe | None]:
    """Units of the split in ascending order, and what a linear model is asked about them.

    Labels have their shares in what is chosen, where a row has one.
    """
    if split.rows_begin is not None:
        most_rows = min(most_rows, MOST_PIECES)
    drawn = np.random.default_rng(0).permutation(split.units)
    units = drawn[:most_rows]
    first = np.sort(drawn[: DRAWN_FIRST * most_rows])
    probe = task.probe(split, first)
    if probe is None:
        return np.sort(units), None
    if probe.at is None and probe.kind == "class":
        units = first[stratified(probe.truth, most_rows)]
    probe = task.probe(split, np.sort(units))
    if probe is not None and (places := len(probe.truth)) > most_places:
        units = units[: max(1, len(units) * most_places // places)]
        probe = task.probe(split, np.sort(units))
    return np.sort(units), probe


def stratified(classes: NDArray[np.integer], wanted: int) -> NDArray[np.int64]:
    """Places of `wanted` of these, every class with its share: the first of an order in which each
    class is spread evenly over the whole."""
    order = np.random.default_rng(1).permutation(len(classes))
    by_class = order[np.argsort(classes[order], kind="stable")]
    _, starts, counts = np.unique(classes[by_class], return_index=True, return_counts=True)
    rank = np.arange(len(classes)) - np.repeat(starts, counts)
    position = (rank + 0.5) / np.repeat(counts, counts)
    chosen: NDArray[np.int64] = by_class[np.argsort(position, kind="stable")][:wanted]
    return chosen
