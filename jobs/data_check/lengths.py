"""How long the rows are in tokens, and what max_length cuts off them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unfreeze.jobs.data_check.rows import Ints, SplitRows
from unfreeze.jobs.data_check.words import words_in
from unfreeze.jobs.tasks.task import Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WHOLE = 2**24
"""A max_length that cuts nothing."""
BATCH = 1024
BARS = 10
"""Bars of the histogram up to max_length."""
MOST_LONGER = 10
"""Bars beyond it."""
CUT_SHARES = (0.01, 0.001)
"""For these shares of rows it is said which max_length would cut off no more."""
PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of the rows that are looked at, uncut and end to end."""

    ids: NDArray[np.int32]
    offsets: Ints
    """Where each row begins, and where the last one ends."""

    @property
    def lengths(self) -> Ints:
        return np.diff(self.offsets)


@dataclass(frozen=True, slots=True)
class SplitLengths:
    """Sizes of one split; of the rows that are looked at."""

    tokens: int
    words: int
    percentiles: dict[str, int]
    """p50 .. p99 and max."""
    edges: list[int]
    """Bar i has the rows with more than edges[i] and at most edges[i + 1] tokens."""
    bars: list[int]
    """Rows in each bar."""
    longer: int
    """Rows with more tokens than max_length."""
    cut_off: int | None
    """Rows of the whole split of which something is cut off; None if it is not known."""
    examples: int | None
    """What the whole split is trained or scored by; a long row may be several. None as above."""
    cuts_no_more: dict[str, int]
    """Share of rows -> the max_length that cuts off no more."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Sizes of all splits."""

    max_length: int
    limit: int
    """The most that the model takes."""
    splits: dict[str, SplitLengths]

    @property
    def lose_nothing(self) -> bool:
        """There are rows longer than max_length, and they become several examples."""
        every = self.splits.values()
        return any(split.longer for split in every) and not any(split.cut_off for split in every)


def tokens_of(split: SplitRows, task: Task, tokenizer: "PreTrainedTokenizerBase") -> Tokens:
    """As the task encodes the rows, and nothing cut off. Raises UserMistake."""
    ids: list[NDArray[np.int32]] = [np.zeros(0, np.int32)]
    lengths: list[Ints] = [np.zeros(0, np.int64)]
    for start in range(0, len(split.looked), BATCH):
        rows = [looked.data for looked in split.looked[start : start + BATCH]]
        examples = task.encode(rows, tokenizer, WHOLE)
        parts = examples.sequences["input_ids"]
        row_of = range(len(rows)) if examples.row_of is None else examples.row_of
        ids += [np.asarray(part, np.int32) for part in parts]
        sizes = np.bincount(row_of, [len(part) for part in parts], len(rows))
        lengths.append(sizes.astype(np.int64))
    return Tokens(np.concatenate(ids), np.append(0, np.cumsum(np.concatenate(lengths))))


def rows_cut(
    split: SplitRows, task: Task, tokenizer: "PreTrainedTokenizerBase", max_length: int
) -> int:
    """Rows of which the task cuts something off. Raises UserMistake."""
    return sum(
        task.encode(
            [looked.data for looked in split.looked[start : start + BATCH]], tokenizer, max_length
        ).cut_off
        for start in range(0, len(split.looked), BATCH)
    )


def measure(
    rows: Mapping[str, SplitRows],
    tokens: Mapping[str, Tokens],
    max_length: int,
    limit: int,
    used: Mapping[str, tuple[int | None, int | None]],
) -> Lengths:
    """`used`: of each split the rows that are cut off, and the number of examples."""
    longest = {name: int(each.lengths.max(initial=0)) for name, each in tokens.items()}
    cuts = not any(cut == 0 and longest[name] > max_length for name, (cut, _) in used.items())
    splits = {}
    for name, each in tokens.items():
        cut_off, examples = used[name]
        top = max_length if cuts else longest[name]
        edges = bar_edges(top, max(longest.values()) if cuts else longest[name])
        splits[name] = _split(rows[name], each, max_length, edges, cut_off, examples)
    return Lengths(max_length, limit, splits)


def _split(
    rows: SplitRows,
    tokens: Tokens,
    max_length: int,
    edges: Sequence[int],
    cut_off: int | None,
    examples: int | None,
) -> SplitLengths:
    lengths = tokens.lengths if len(tokens.lengths) else np.zeros(1, np.int64)
    percentiles = {
        f"p{p}": int(np.percentile(lengths, p, method="inverted_cdf")) for p in PERCENTILES
    }
    # Bars are open below and closed above, so that the one of max_length ends with it.
    bars = np.histogram(tokens.lengths - 0.5, np.array(edges, np.float64))[0]
    return SplitLengths(
        tokens=int(tokens.lengths.sum()),
        words=sum(len(words_in(looked.written)) for looked in rows.looked),
        percentiles=percentiles | {"max": int(lengths.max())},
        edges=list(edges),
        bars=bars.tolist(),
        longer=int((tokens.lengths > max_length).sum()),
        cut_off=cut_off,
        examples=examples,
        cuts_no_more={
            f"{100 * share:g} %": int(np.quantile(lengths, 1 - share, method="inverted_cdf"))
            for share in CUT_SHARES
        },
    )


def bar_edges(max_length: int, longest: int) -> list[int]:
    """Edges of the bars. They are equally wide, but for one that ends at max_length and, where rows
    are longer, for the last: it has all that are left."""
    top = min(max_length, max(1, longest))
    width = -(-top // BARS)
    edges = list(range(0, top, width))
    if longest <= max_length:
        return [*edges, edges[-1] + width]
    return [*edges, *range(max_length, longest, width)[:MOST_LONGER], longest]
