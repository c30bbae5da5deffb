"""How well each row fits the training rows: the surprise of its tokens, in bits per token.

A bigram model of the training rows, interpolated with a smoothed unigram model (Jelinek-Mercer),
says how likely each token is after the one before it. From the model that judges a training row
the row's own counts are taken out, so that it does not vouch for itself.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unfreeze.jobs.data_check.lengths import Tokens
from unfreeze.jobs.data_check.rows import Ints, Shown, SplitRows

Floats = NDArray[np.float64]

SHOWN = 5
SHOWN_OF_OTHERS = 3
FEW_TOKENS = 8
"""Rows with fewer are not compared: their surprise is a matter of chance."""
BIGRAM = 0.5
"""Weight of the bigram model."""
SMOOTHING = 0.1
"""Put to the count of each token of the vocabulary."""
ODD_SHARE = 0.05
"""Of the training rows, this share is called odd; so many are to be expected in other splits."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A row with its surprise."""

    row: Shown
    bits: float


@dataclass(frozen=True, slots=True)
class SplitFit:
    """How well the rows of one split fit the training rows; of the rows that are looked at."""

    median_bits: float
    odd: float
    """Share of rows with more bits than all but ODD_SHARE of the training rows."""
    most: list[Scored]
    """The most fitting rows; of the train split only."""
    least: list[Scored]
    """The least fitting."""


def fit(
    splits: Mapping[str, SplitRows],
    tokens: Mapping[str, Tokens],
    special: Collection[int],
    vocabulary: int,
) -> dict[str, SplitFit]:
    """`special`: tokens that are no part of a text, and are left out. Splits of which no row is
    long enough are left out too."""
    bare = {name: without(each, special) for name, each in tokens.items()}
    model = _Bigrams(bare["train"], vocabulary)
    found: dict[str, SplitFit] = {}
    limit = float("inf")
    for name, each in bare.items():
        bits = model.surprise(each, own=name == "train")
        long = np.flatnonzero(each.lengths >= FEW_TOKENS)
        if not len(long):
            continue
        if name == "train":
            limit = float(np.quantile(bits[long], 1 - ODD_SHARE))
        order = long[np.argsort(bits[long], kind="stable")].tolist()
        is_train = name == "train"
        found[name] = SplitFit(
            round(float(np.median(bits[long])), 3),
            float((bits[long] > limit).mean()),
            _first(splits[name], order, bits, SHOWN if is_train else 0),
            _first(splits[name], order[::-1], bits, SHOWN if is_train else SHOWN_OF_OTHERS),
        )
    return found


def _first(split: SplitRows, order: Sequence[int], bits: Floats, most: int) -> list[Scored]:
    """The first different texts in this order."""
    found: dict[bytes, Scored] = {}
    for i in order:
        if len(found) == most:
            break
        row = split.looked[i]
        found.setdefault(split.keys[row.place], Scored(row.shown(), round(float(bits[i]), 3)))
    return list(found.values())


def without(tokens: Tokens, special: Collection[int]) -> Tokens:
    """The same rows without these tokens."""
    kept = ~np.isin(tokens.ids, list(special))
    places = np.append(0, np.cumsum(kept, dtype=np.int64))
    return Tokens(tokens.ids[kept], places[tokens.offsets])


class _Bigrams:
    """Counts of the training rows."""

    def __init__(self, train: Tokens, vocabulary: int) -> None:
        self._vocabulary = vocabulary
        self._counts = np.bincount(train.ids, minlength=vocabulary)
        inside = _has_one_before(train)
        self._pairs, self._pair_counts = np.unique(
            self._pair_keys(train)[inside], return_counts=True
        )
        before = np.roll(train.ids, 1)[inside]
        self._before = np.bincount(before, minlength=vocabulary)

    def surprise(self, rows: Tokens, *, own: bool) -> Floats:
        """Bits per token of each row. `own`: they are those that were counted."""
        ids, inside = rows.ids.astype(np.int64), _has_one_before(rows)
        row_of = np.repeat(np.arange(len(rows.lengths)), rows.lengths)
        before = np.where(inside, np.roll(ids, 1), 0)
        pair, pair_count = self._looked_up(self._pair_keys(rows))
        counts, total = self._counts[ids], np.full(len(ids), self._counts.sum())
        begun = self._before[before]
        if own:
            counts = counts - _within(row_of, ids)
            total = total - rows.lengths[row_of]
            pair_count = pair_count - np.where(
                inside, _within(row_of, np.where(inside, pair, -1)), 0
            )
            begun = begun - _within(row_of, np.where(inside, before, -1))
        alone = (counts + SMOOTHING) / (total + SMOOTHING * self._vocabulary)
        known = inside & (begun > 0)
        after = np.where(known, pair_count / np.maximum(begun, 1), alone)
        likely = BIGRAM * after + (1 - BIGRAM) * alone
        bits = np.bincount(row_of, -np.log2(likely), len(rows.lengths))
        result: Floats = bits / np.maximum(rows.lengths, 1)
        return result

    def _pair_keys(self, rows: Tokens) -> Ints:
        """Of each token: it and the one before it, as one number."""
        ids = rows.ids.astype(np.int64)
        return np.roll(ids, 1) * self._vocabulary + ids

    def _looked_up(self, keys: Ints) -> tuple[Ints, Ints]:
        """The place of each pair among those of the training rows, and its count."""
        if not len(self._pairs):
            return np.zeros(len(keys), np.int64), np.zeros(len(keys), np.int64)
        places = np.minimum(np.searchsorted(self._pairs, keys), len(self._pairs) - 1)
        return places, np.where(self._pairs[places] == keys, self._pair_counts[places], 0)


def _has_one_before(rows: Tokens) -> NDArray[np.bool_]:
    """Of each token, whether it is not the first of its row."""
    found = np.ones(len(rows.ids), np.bool_)
    starts = rows.offsets[:-1]
    found[starts[starts < len(rows.ids)]] = False
    return found


def _within(row_of: Ints, values: Ints) -> Ints:
    """How often each value stands in its own row. Values are from -1 on."""
    keys = row_of * (int(values.max(initial=0)) + 2) + values + 1
    _, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
    result: Ints = counts[places]
    return result
