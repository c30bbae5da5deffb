"""Rows that stand more than once, exactly or nearly, within a split and across splits."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from unfreeze.jobs.data.seen_rows import numbered
from unfreeze.jobs.data_check.near import near_pairs, pieces_for
from unfreeze.jobs.data_check.rows import Ints, Looked, Shown, SplitRows

SHOWN = 3
"""Pairs that are shown of each two splits."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rows with the same text, or nearly."""

    first: Shown
    second: Shown
    similarity: float
    """Jaccard of their pieces; 1 of exact duplicates."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Rows of `split` that repeat one of `other`; of the split itself: an earlier one."""

    split: str
    other: str
    rows: int
    other_label: int
    """Those of them whose twin has another label."""
    pairs: list[Pair]
    """A few to be shown, those with another label first."""


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Where there is none, there is no entry."""

    exact: list[Overlap]
    """The same but for case and white space; of all rows."""
    near: list[Overlap]
    """Without the exact ones; of the rows that are looked at."""
    pieces: str
    """What texts are compared by, in words."""


def find_duplicates(splits: Mapping[str, SplitRows]) -> Duplicates:
    near, pieces = _near(splits)
    return Duplicates(_exact(splits), near, pieces)


def _exact(splits: Mapping[str, SplitRows]) -> list[Overlap]:
    found = []
    for other, split in combinations_with_replacement(splits.values(), 2):
        first, again = _twins(other, split)
        if len(first):
            found.append(_overlap(other, split, first, again))
    return found


def _twins(other: SplitRows, split: SplitRows) -> tuple[Ints, Ints]:
    """Places of rows in `other`, and of those in `split` that repeat them."""
    if other is split:
        number, first_of = numbered(split.keys)
        earlier = first_of[number]
        again = np.flatnonzero(earlier != np.arange(len(split)))
        return earlier[again], again
    number, first_of = numbered(np.concatenate([other.keys, split.keys]))
    earlier = first_of[number[len(other) :]]
    again = np.flatnonzero(earlier < len(other))
    return earlier[again], again


def _overlap(other: SplitRows, split: SplitRows, first: Ints, again: Ints) -> Overlap:
    torn = _set_numbers(other, split)[other.set_of[first]] != split.set_of[again]
    places = [{looked.place: looked for looked in each.looked} for each in (other, split)]
    is_looked = [
        np.isin(them, np.fromiter(looked, np.int64, len(looked)))
        for them, looked in zip((first, again), places, strict=True)
    ]
    there = np.flatnonzero(is_looked[0] & is_looked[1])
    shown = there[np.argsort(~torn[there], kind="stable")][:SHOWN]
    pairs = [
        Pair(places[0][a].shown(), places[1][b].shown(), 1.0)
        for a, b in zip(first[shown].tolist(), again[shown].tolist(), strict=True)
    ]
    return Overlap(split.name, other.name, len(again), int(torn.sum()), pairs)


def _set_numbers(other: SplitRows, split: SplitRows) -> Ints:
    """Which of the label sets of `split` each of `other` is; -1: none."""
    known = {labels: number for number, labels in enumerate(split.label_sets)}
    return np.array([known.get(labels, -1) for labels in other.label_sets], np.int64)


def _near(splits: Mapping[str, SplitRows]) -> tuple[list[Overlap], str]:
    order = list(splits)
    distinct: dict[bytes, Looked] = {}
    for split in splits.values():
        for looked in split.looked:
            distinct.setdefault(split.keys[looked.place], looked)
    copies = Counter(
        (split.name, split.keys[looked.place])
        for split in splits.values()
        for looked in split.looked
    )
    items, keys = list(distinct.values()), list(distinct)
    texts = ["\n".join(item.texts) for item in items]
    pieces, in_words = pieces_for(
        [text for text, item in zip(texts, items, strict=True) if item.split == "train"]
    )
    groups = [order.index(item.split) for item in items]
    found: defaultdict[tuple[str, str], list[Pair]] = defaultdict(list)
    count: Counter[tuple[str, str]] = Counter()
    torn: Counter[tuple[str, str]] = Counter()
    for a, b, similarity in near_pairs(texts, groups, pieces):
        where = items[a].split, items[b].split
        differs = items[a].labels != items[b].labels
        rows = copies[items[b].split, keys[b]]
        count[where] += rows
        torn[where] += rows * differs
        if len(found[where]) < SHOWN or (differs and torn[where] <= SHOWN):
            found[where].append(Pair(items[a].shown(), items[b].shown(), similarity))
    return [
        Overlap(split, other, count[other, split], torn[other, split], _first(pairs))
        for (other, split), pairs in sorted(
            found.items(), key=lambda each: [order.index(name) for name in each[0]]
        )
    ], in_words


def _first(pairs: list[Pair]) -> list[Pair]:
    return sorted(pairs, key=lambda pair: pair.first.labels == pair.second.labels)[:SHOWN]
