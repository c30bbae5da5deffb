"""Cuts a validation or test share out of rows. Pure: it sees keys and labels, no files.

Which row goes where depends on nothing but its text, its label's other texts and the share: not on
the order of rows, a seed, or the machine. So runs with other seeds are judged by the same rows.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unfreeze.jobs.data.checks import GENERAL
from unfreeze.jobs.data.seen_rows import KEY, Keys, SeenRows, numbered
from unfreeze.jobs.data.stratify import cut_label_sets

Rows = NDArray[np.int64]


def text_key(*texts: str) -> bytes:
    """Equal for rows that count as the same text: case and white space are ignored.

    Copies of a text usually differ in just these, and an uncased model does not see them, so
    telling such rows apart would let training rows into the validation split.
    """
    same = "\0".join(" ".join(text.casefold().split()) for text in texts)
    return hashlib.blake2b(same.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Part:
    """The rows that a split takes from a source, from 0; and how many have each label."""

    source: str
    rows: NDArray[np.int64]
    labels: Counter[str]


def split_parts(scanned: Mapping[str, SeenRows], shares: Mapping[str, float]) -> dict[str, Part]:
    """The splits, in the order train, validation, test, general. Rows that do not fit are left
    out."""
    parts = {}
    for source, seen in scanned.items():
        there = np.flatnonzero(seen.fits)
        sets, groups = seen.label_sets, seen.groups
        # In the order of their names, as `cut_shares` wants them.
        order = sorted(range(len(sets)), key=lambda number: sets[number])
        strata = np.argsort(order)[seen.set_of[there]]
        cut = cut_shares(
            seen.keys[there] if len(there) < len(seen) else seen.keys,
            strata,
            shares if source == "train" else {},
            None if groups is None else groups[there],
            [sets[number] for number in order] if any(len(one) > 1 for one in sets) else None,
        )
        for split, places in cut.items():
            counts = np.bincount(strata[places], minlength=len(sets))
            labels: Counter[str] = Counter()
            for number, count in zip(order, counts.tolist(), strict=True):
                labels.update(dict.fromkeys(sets[number], count) if count else {})
            parts[source if split == "train" else split] = Part(source, there[places], labels)
    order_of_splits = ("train", "validation", "test", GENERAL)
    return {split: parts[split] for split in order_of_splits if split in parts}


def cut_shares(
    keys: Sequence[bytes] | Keys,
    labels: Sequence[str] | NDArray[np.integer],
    shares: Mapping[str, float],
    groups: Keys | None = None,
    label_sets: Sequence[tuple[str, ...]] | None = None,
) -> dict[str, Rows]:
    """Row numbers of "train" and of each share ("test", "validation"), in ascending order.

    Each label gives its share of distinct texts, rounded, and at least one if it has two; it keeps
    at least one. Rows with equal keys stay together. The test share does not depend on the
    validation share: it is taken from the low end of the keys, the other from the high end.

    `labels` may be numbers, in the order of the labels' names. With `groups` it is those that stay
    together and that are taken, as many as come closest to the share of rows; rows with equal keys
    must be of one group. With `label_sets`, of which `labels` says which each row has, it is every
    label in a set that gives its share, and not every set (`cut_label_sets`).
    """
    names = ("train", *shares)
    strata = _by_name(labels)
    together = np.asarray(keys if groups is None else groups, KEY)
    unit_of, first = numbered(together)
    stratum_of = _commonest(unit_of, strata, len(first))
    if label_sets is not None and groups is None:
        split_of_rows = cut_label_sets(stratum_of, label_sets, shares)[unit_of]
        return {name: np.flatnonzero(split_of_rows == i) for i, name in enumerate(names)}
    sizes = np.ones(len(first), np.int64) if groups is None else np.bincount(unit_of)
    split_of = np.zeros(len(first), np.int8)
    # The units are in the order of their keys, and so are those of each stratum.
    by_stratum = np.argsort(stratum_of, kind="stable")
    for units in np.split(by_stratum, np.cumsum(np.bincount(stratum_of))[:-1]):
        left = len(units) - 1
        for name in sorted(shares):  # test first; what is short is short in validation
            ordered = units if name == "test" else units[::-1]
            taken = min(left, _closest(sizes[ordered], shares[name]))
            split_of[ordered[:taken]] = names.index(name)
            left -= taken
    split_of_rows = split_of[unit_of]
    return {name: np.flatnonzero(split_of_rows == i) for i, name in enumerate(names)}


def _closest(sizes: Rows, share: float) -> int:
    """How many of the first units come closest to the share of all; one at least."""
    if not len(sizes):
        return 0
    reached = np.cumsum(sizes)
    wanted = max(1, round(share * int(reached[-1])))
    last = int(np.searchsorted(reached, wanted))
    is_too_much = last > 0 and wanted - reached[last - 1] < reached[last] - wanted
    return last if is_too_much else last + 1


def _by_name(labels: Sequence[str] | NDArray[np.integer]) -> Rows:
    if isinstance(labels, np.ndarray):
        return labels.astype(np.int64, copy=False)
    numbers = {label: i for i, label in enumerate(sorted(set(labels)))}
    return np.fromiter((numbers[label] for label in labels), np.int64, len(labels))


def _commonest(unit_of: Rows, strata: Rows, units: int) -> Rows:
    """The stratum of each unit: the one that most of its rows have, or the first of those."""
    if units == len(unit_of):  # each row is a unit
        found = np.empty(units, np.int64)
        found[unit_of] = strata
        return found
    width = int(strata.max(initial=0)) + 1
    pairs, counts = np.unique(unit_of * width + strata, return_counts=True)
    unit, stratum = np.divmod(pairs, width)
    order = np.lexsort((stratum, -counts, unit))
    firsts = np.unique(unit[order], return_index=True)[1]
    result: Rows = stratum[order][firsts]
    return result
