"""Words as tokens, long rows of them in several windows, without losing a word."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unfreeze.jobs.errors import DataError

if TYPE_CHECKING:  # it takes seconds to import
    from transformers import PreTrainedTokenizerBase

    from unfreeze.jobs.data.token_store import Split

Ints = NDArray[np.int64]

NO_WORD = -1
WORD_OF, WORDS = "word_of", "words"
"""The sequence of a split that says what `Window.word_of` does, and the value that says how many
words the row of an example has."""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a row, as a model is shown it."""

    tokens: list[int]
    word_of: list[int]
    """Token by token: the word that begins here and is predicted in this window, else NO_WORD."""


class WordEncoder:
    """Turns rows of words into windows, and counts the rows that were cut.

    The words are joined by blanks, as one would write them; so the model sees what it sees of a
    running text, whatever the tokenizer does with blanks.
    """

    def __init__(
        self, tokenizer: "PreTrainedTokenizerBase", max_length: int, stride: int | None
    ) -> None:
        """`stride`: tokens that neighbouring windows share at most. By default a quarter of a
        window: then each word has an eighth of it on either side, for a third more work. Raises
        DataError for more than half of it: the work grows with no end."""
        self._tokenizer = tokenizer
        self._before, self._after = _special_tokens(tokenizer)
        self._room = max_length - len(self._before) - len(self._after)
        if self._room < 1:
            text = f"data.max_length: {max_length} tokens have no room for a word"
            raise DataError(text)
        if stride is not None and stride > self._room // 2:
            half = f"{self._room // 2}, half of what is left of data.max_length"
            raise DataError(f"task.stride: {stride} is more than {half}")
        self._stride = self._room // 4 if stride is None else stride
        self.cut_off = 0
        """Rows so far with a word that is longer than a window: the window has its beginning."""

    def encode(self, rows: Sequence[Sequence[str]]) -> Iterator[list[Window]]:
        """The windows of each row. Each word is predicted in one window, or, if the tokenizer
        leaves nothing of it, in none."""
        for ids, word_of in self._tokens(rows):
            words, starts = np.unique(np.array(word_of, np.int64), return_index=True)
            sizes = np.diff(np.append(starts, len(ids)))
            self.cut_off += bool((sizes > self._room).any())
            kept = np.minimum(sizes, self._room).tolist()
            tokens = [ids[start : start + size] for start, size in zip(starts, kept, strict=True)]
            spans = windows(kept, self._room, self._stride)
            home = homes(kept, spans)
            yield [
                self._window(tokens[a:b], np.where(home[a:b] == i, words[a:b], NO_WORD).tolist())
                for i, (a, b) in enumerate(spans)
            ]

    def _window(self, tokens: Sequence[list[int]], words: Sequence[int]) -> Window:
        ids, word_of = list(self._before), [NO_WORD] * len(self._before)
        for some, word in zip(tokens, words, strict=True):
            ids += some
            word_of += [word, *[NO_WORD] * (len(some) - 1)]
        ids += self._after
        word_of += [NO_WORD] * len(self._after)
        if not ids:  # no example may be empty
            nothing: Any = self._tokenizer.unk_token_id
            return Window([self._tokenizer.pad_token_id if nothing is None else nothing], [NO_WORD])
        return Window(ids, word_of)

    def _tokens(self, rows: Sequence[Sequence[str]]) -> Iterator[tuple[list[int], list[int]]]:
        """The ids of each row without special tokens, and which word each is of."""
        there = [[i for i, word in enumerate(words) if word.strip()] for words in rows]
        written = [
            [words[i].strip() for i in some] for words, some in zip(rows, there, strict=True)
        ]
        if not self._tokenizer.is_fast:  # it does not say which characters a token is of
            for words, some in zip(written, there, strict=True):
                parts = self._encode(words)["input_ids"] if words else []
                pairs = [(id_, i) for ids, i in zip(parts, some, strict=True) for id_ in ids]
                yield [id_ for id_, _ in pairs], [i for _, i in pairs]
            return
        encoded = self._encode([" ".join(words) for words in written], return_offsets_mapping=True)
        for row, (words, some) in enumerate(zip(written, there, strict=True)):
            # A blank is the end of a word: a token that begins with it is of the next one.
            ends = list(accumulate((len(word) + 1 for word in words), initial=-1))[1:]
            word_of = [
                some[min(bisect_right(ends, start), len(some) - 1)]
                for start, _ in encoded["offset_mapping"][row]
            ]
            yield encoded["input_ids"][row], word_of

    def _encode(self, texts: list[str], **options: Any) -> Any:
        return self._tokenizer(
            texts,
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,  # it would say that some are too long for the model
            **options,
        )


def windows(sizes: Sequence[int], room: int, stride: int) -> list[tuple[int, int]]:
    """Which words each window has, [first, end). `sizes`: tokens of each word, at most `room`.

    Windows are as full as whole words make them, and share at most `stride` tokens with the one
    before: as many as leave room for the word that did not fit. One window if there are no words.
    """
    ends = list(accumulate(sizes))
    starts = [end - size for end, size in zip(ends, sizes, strict=True)]
    found, first = [], 0
    while True:
        end = bisect_right(ends, starts[first] + room) if sizes else 0
        found.append((first, end))
        if end == len(sizes):
            return found
        first = bisect_left(starts, max(starts[end] - stride, ends[end] - room))


def homes(sizes: Sequence[int], spans: Sequence[tuple[int, int]]) -> Ints:
    """The window of each word in which it has the most context; of equal ones the first.

    Its context is the smaller of the two sides, in tokens. A side that ends where the row does has
    all there is.
    """
    ends = np.cumsum(sizes, dtype=np.int64)
    starts = ends - np.array(sizes, np.int64)
    home, best = np.zeros(len(sizes), np.int64), np.full(len(sizes), -1)
    everything = int(ends[-1]) if len(ends) else 0
    for i, (a, b) in enumerate(spans):
        left = starts[a:b] - starts[a] if a else everything
        right = ends[b - 1] - ends[a:b] if b < len(sizes) else everything
        context = np.broadcast_to(np.minimum(left, right), b - a)
        better = context > best[a:b]
        home[a:b][better], best[a:b][better] = i, context[better]
    return home


@dataclass(frozen=True, slots=True)
class PlacedWords:
    """All words of some rows, end to end, and where in the examples of a split they are."""

    rows: Ints
    """The row of each example, counted from 0."""
    offsets: Ints
    """Where each row begins among the words, and where the last one ends."""
    words: Ints
    """The words that are predicted: all but those of which the tokenizer leaves nothing."""
    examples: Ints
    """For each of them the example, counted from 0 ..."""
    columns: Ints
    """... and the token."""

    def spread(self, values: NDArray[Any], otherwise: float) -> NDArray[Any]:
        """[examples, tokens] -> a value for each word."""
        found = np.full(self.offsets[-1], otherwise, values.dtype)
        found[self.words] = values[self.examples, self.columns]
        return found


def place_words(split: "Split", units: Ints) -> PlacedWords:
    """The words of these units of a split that was written from windows."""
    examples = split.examples_of(units)
    is_first = np.diff(split.units_of(examples), prepend=-1) != 0
    rows = np.cumsum(is_first) - 1
    counts = split.values[WORDS][examples[is_first]]
    offsets = np.cumsum(np.append(0, counts), dtype=np.int64)
    begins = split.offsets_of(WORD_OF)[examples]
    lengths = split.offsets_of(WORD_OF)[examples + 1] - begins
    which = np.repeat(np.arange(len(examples)), lengths)
    columns = np.arange(len(which)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    word_of = split.sequences[WORD_OF][begins[which] + columns]
    there = word_of != NO_WORD
    which, columns = which[there], columns[there]
    return PlacedWords(rows, offsets, offsets[rows[which]] + word_of[there], which, columns)


def _special_tokens(tokenizer: "PreTrainedTokenizerBase") -> tuple[list[int], list[int]]:
    """What a tokenizer puts before and behind a text."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    for place in range(len(whole) - len(bare) + 1):
        if whole[place : place + len(bare)] == bare:
            return whole[:place], whole[place + len(bare) :]
    return [], []
