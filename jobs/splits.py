"""Cuts a validation or test share out of rows. Pure: it sees keys and labels, no files.

Which row goes where depends on nothing but its text, its label's other texts and the share: not on
the order of rows, a seed, or the machine. So runs with other seeds are judged by the same rows.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def text_key(*texts: str) -> bytes:
    """Equal for rows that count as the same text: case and white space are ignored.

    Copies of a text usually differ in just these, and an uncased model does not see them, so
    telling such rows apart would let training rows into the validation split.
    """
    same = "\0".join(" ".join(text.casefold().split()) for text in texts)
    return hashlib.blake2b(same.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def cut_shares(
    keys: Sequence[bytes], labels: Sequence[str], shares: Mapping[str, float]
) -> dict[str, Rows]:
    """Row numbers of "train" and of each share ("test", "validation"), in ascending order.

    Each label gives its share of distinct texts, rounded, and at least one if it has two; it keeps
    at least one. Rows with equal keys stay together. The test share does not depend on the
    validation share: it is taken from the low end of the keys, the other from the high end.
    """
    split_of: dict[bytes, str] = {}
    for group in _by_label(keys, labels).values():
        counts = _counts(len(group), shares)
        test, validation = counts.get("test", 0), counts.get("validation", 0)
        split_of |= dict.fromkeys(group[:test], "test")
        split_of |= dict.fromkeys(group[len(group) - validation :], "validation")
    found: dict[str, list[int]] = {"train": [], **{name: [] for name in shares}}
    for row, key in enumerate(keys):
        found[split_of.get(key, "train")].append(row)
    return {name: np.array(rows, np.int64) for name, rows in found.items()}


def _counts(texts: int, shares: Mapping[str, float]) -> dict[str, int]:
    """How many of a label's texts each share gets. What is short is short in validation."""
    left, counts = texts - 1, {}
    for name in sorted(shares):  # test first
        counts[name] = min(left, max(1, round(shares[name] * texts)))
        left -= counts[name]
    return counts


def _by_label(keys: Sequence[bytes], labels: Sequence[str]) -> dict[str, list[bytes]]:
    """Each label's distinct keys, sorted. A key with several labels counts for its commonest."""
    votes: defaultdict[bytes, Counter[str]] = defaultdict(Counter)
    for key, label in zip(keys, labels, strict=True):
        votes[key][label] += 1
    groups: defaultdict[str, list[bytes]] = defaultdict(list)
    for key, counted in votes.items():
        groups[min(counted, key=lambda label: (-counted[label], label))].append(key)
    return {label: sorted(group) for label, group in groups.items()}
