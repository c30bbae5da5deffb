"""The spans of a context that answer best. Pure numpy."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from unfreeze.jobs.data.token_store import Split
from unfreeze.jobs.metrics import Floats
from unfreeze.jobs.tasks.task import Units
from unfreeze.jobs.tasks.windows import CHAR_ENDS, CHAR_STARTS, LABELS, NULLS

Span = tuple[float, int, int]
"""A score, and where it lies: the first and the last token, or characters [begin, end)."""


@dataclass(frozen=True, slots=True)
class Guess:
    """What the windows of a row say together."""

    spans: list[Span]
    """The best, with their characters of the context."""
    null: float
    """The score of there being no answer: the lowest of the windows (as in BERT's program)."""
    loss: float
    """Summed over the windows; 0 if the answers are not known."""
    windows: int

    @property
    def margin(self) -> float:
        """By how much no answer is above the best one."""
        return self.null - self.spans[0][0] if self.spans else math.inf

    def answer(self, threshold: float) -> Span | None:
        """The best span, or None for "no answer"."""
        return None if self.margin > threshold or not self.spans else self.spans[0]


def guesses(
    logits: NDArray[np.float32], split: Split, units: Units, *, longest: int, count: int
) -> Iterator[Guess]:
    """For each unit. `logits` of its examples, [examples, tokens, 2], score each token as the
    first and as the last. `longest` and `count`: see `best_spans`."""
    examples = split.examples_of(units)
    owners = split.units_of(examples)
    for _, places in groupby(range(len(examples)), owners.__getitem__):
        best: dict[tuple[int, int], float] = {}  # windows have spans in common
        nulls, loss = [], 0.0
        for place in places:
            example = int(examples[place])
            starts, ends = (split.sequence(name, example) for name in (CHAR_STARTS, CHAR_ENDS))
            given = logits[place, : len(starts)].astype(np.float64)
            allowed = np.where((ends > starts)[:, None], given, -np.inf)
            for score, first, last in best_spans(*allowed.T, longest=longest, count=count):
                span = int(starts[first]), int(ends[last])
                best[span] = max(score, best.get(span, -math.inf))
            null = split.values[NULLS][example]
            nulls.append(float(given[null].sum()))
            if LABELS in split.values:
                allowed[null] = given[null]
                loss += sum(map(cross_entropy, allowed.T, split.values[LABELS][example])) / 2
        ranked = sorted((-score, *span) for span, score in best.items())[:count]
        spans = [(-score, begin, end) for score, begin, end in ranked]
        yield Guess(spans, min(nulls), loss, len(nulls))


def best_spans(starts: Floats, ends: Floats, *, longest: int, count: int) -> list[Span]:
    """The `count` best spans of at most `longest` tokens, best first; of equal ones the earlier.

    `starts` and `ends` are the scores of each token as the first and as the last; their sum is the
    span's. Tokens that may be neither have -inf. Exact: every span is looked at.
    """
    width = min(longest, len(ends))
    later = np.append(ends, np.full(width - 1, -np.inf))
    scores = (starts[:, None] + sliding_window_view(later, width)).ravel()
    least = np.partition(scores, -count)[-count] if count < len(scores) else -np.inf
    found = np.flatnonzero((scores >= least) & np.isfinite(scores))
    ranked = found[np.argsort(-scores[found], kind="stable")][:count]
    return [
        (float(scores[place]), int(place // width), int(place // width + place % width))
        for place in ranked
    ]


def cross_entropy(logits: Floats, label: int) -> float:
    """Of one choice, of which -inf is none."""
    most = logits.max()
    return float(most + np.log(np.exp(logits - most).sum()) - logits[label])
