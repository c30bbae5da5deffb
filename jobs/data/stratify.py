"""Shares of rows that have several labels each, so that every label gives its part. Pure.

Where each row has one label, its rows are cut by themselves (`splits.cut_shares`). Combinations of
labels cannot be: many are there once, and none of those would ever be taken. So most rows of a
common combination are dealt out in proportion, and the others by iterative stratification:
Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-Label Data" (2011), algorithm 1.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

RESERVE = 50
"""Rows of a combination, on either side, that are not dealt out in proportion: with them its labels
can make up for those that come with rarer ones."""

Ints = NDArray[np.int64]
LabelSets = Sequence[tuple[str, ...]]


def cut_label_sets(
    set_of: NDArray[np.integer], label_sets: LabelSets, shares: Mapping[str, float]
) -> NDArray[np.int8]:
    """For each row 0 if it stays, or the number of its share in `shares`, from 1.

    set_of: which of `label_sets` each row has. Rows should come in an order that says nothing about
    them, such as that of their keys: of equal sets the test share takes the first rows, another the
    last. Each label gives at least one row to a share if it can, and keeps one. Test is cut first,
    so it does not depend on the others.
    """
    sizes = np.bincount(set_of, minlength=len(label_sets))
    by_set = np.argsort(set_of, kind="stable")
    rows_of = np.split(by_set, np.cumsum(sizes)[:-1])
    split_of, left = np.zeros(len(set_of), np.int8), sizes.copy()
    for name in sorted(shares):
        # The row that each set would give next.
        place = 0 if name == "test" else -1
        turns = [int(rows[place]) if len(rows) else -1 for rows in rows_of]
        cut = _Cut(label_sets, left, np.asarray(shares[name] * sizes, np.float64))
        cut.deal_out_in_proportion()
        cut.share_out_the_rest(turns)
        for number, count in enumerate(cut.taken.tolist()):
            rows, at = rows_of[number], count if name == "test" else left[number] - count
            parts = rows[:at], rows[at:]
            gone, rows_of[number] = parts if name == "test" else parts[::-1]
            split_of[gone] = list(shares).index(name) + 1
        left -= cut.taken
    return split_of


@dataclass
class _Cut:
    """One share, as it is cut."""

    label_sets: LabelSets
    left: Ints
    """[sets]: rows of each that are there to be taken."""
    wanted: NDArray[np.float64]
    """[sets]: rows of each that the share should have."""
    taken: Ints = field(init=False)
    """[sets]: rows of each that it has."""
    _kept: Counter[str | None] = field(init=False)
    """Rows with each label that are not taken yet."""

    def __post_init__(self) -> None:
        self.taken, self._kept = np.zeros_like(self.left), Counter()
        for labels, count in zip(self.label_sets, self.left.tolist(), strict=True):
            self._kept.update(dict.fromkeys(labels, count))

    def deal_out_in_proportion(self) -> None:
        """All rows that each side has a right to, but for the reserve."""
        sure = np.maximum(0, self.wanted.astype(np.int64) - RESERVE)
        for number in np.flatnonzero(sure).tolist():
            self._take(number, int(sure[number]))

    def _take(self, number: int, count: int) -> int:
        """Takes as many rows of a set, or as many as leave one to each label."""
        labels = self.label_sets[number]
        spare = [self._kept[label] - 1 for label in labels]
        count = max(0, min(count, int(self.left[number] - self.taken[number]), *spare))
        self.taken[number] += count
        self._kept.subtract(dict.fromkeys(labels, count))
        return count

    def share_out_the_rest(self, turns: Sequence[int]) -> None:
        """Row by row: the label of fewest rows first. Each of its rows goes to whoever still wants
        more of this label, or more in all. `turns`: the order of the sets."""
        keeps_for_sure = np.maximum(0, (self.left - self.wanted).astype(np.int64) - RESERVE)
        rest = np.maximum(0, self.left - self.taken - keeps_for_sure)
        due = np.clip(self.wanted - self.taken, 0, rest)
        wants, keeps = _Desire(), _Desire()
        waiting: dict[str | None, list[int]] = {}
        for number in np.flatnonzero(rest).tolist():
            labels = self.label_sets[number]
            wants.add(labels, float(due[number]))
            keeps.add(labels, float(rest[number] - due[number]))
            for label in labels or (None,):
                waiting.setdefault(label, []).append(number)
        self._want_one_of_each(wants)
        while waiting:
            rows_of = {one: int(rest[sets].sum()) for one, sets in waiting.items()}
            label = min(waiting, key=lambda one: (one is None, rows_of[one], self._kept[one], one))
            # The rows of a set are spread over those of the others.
            queue = [
                ((i + 0.5) / rest[number], turns[number], number)
                for number in waiting.pop(label)
                for i in range(rest[number])
            ]
            for _, _, number in sorted(queue):
                gets_it = wants.of(label) > keeps.of(label) and self._take(number, 1)
                (wants if gets_it else keeps).add(self.label_sets[number], -1)
                rest[number] = 0

    def _want_one_of_each(self, wants: "_Desire") -> None:
        has = {
            label
            for labels, count in zip(self.label_sets, self.taken.tolist(), strict=True)
            if count
            for label in labels
        }
        for label in wants.of_label:
            if label not in has and self._kept[label] > 1:
                wants.of_label[label] = max(1.0, wants.of_label[label])


@dataclass
class _Desire:
    """How many more rows one side should get."""

    of_label: dict[str, float] = field(default_factory=dict)
    in_all: float = 0.0

    def add(self, labels: Sequence[str], rows: float) -> None:
        self.in_all += rows
        for label in labels:
            self.of_label[label] = self.of_label.get(label, 0.0) + rows

    def of(self, label: str | None) -> tuple[float, float]:
        """Of the label first; of all where that is equal."""
        # Sums of parts that are equal but for rounding are equal.
        own = 0.0 if label is None else round(self.of_label[label], 9)
        return own, round(self.in_all, 9)
