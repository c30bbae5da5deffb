"""A question with a long context, as inputs that each hold the question and a window of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unfreeze.jobs.errors import DataError

if TYPE_CHECKING:  # it takes seconds to import
    from transformers import PreTrainedTokenizerBase

USUAL_STRIDE = 128  # as in BERT's own program for SQuAD
CHAR_STARTS, CHAR_ENDS = "char_starts", "char_ends"
"""Sequences: which characters of the context a token is of, [start, end); none of a token that can
be no part of an answer."""
NULLS, LABELS = "nulls", "labels"
"""Values: the token that stands for "no answer here"; the first and the last token of the answer,
or that one twice."""


def windows(tokens: int, room: int, stride: int) -> list[tuple[int, int]]:
    """Where windows of at most `room` tokens begin and end; one if there are no tokens.

    Each shares `stride` tokens (fewer than `room`) with the one before, so that a span of up to
    stride + 1 tokens is whole in one of them.
    """
    begins = range(0, max(1, tokens - stride), room - stride)
    return [(begin, min(begin + room, tokens)) for begin in begins]


def tokens_of(
    starts: Sequence[int], ends: Sequence[int], place: tuple[int, int]
) -> tuple[int, int] | None:
    """The first and the last token with a part of the characters [begin, end), if there are any.

    `starts` and `ends` say which characters the tokens are of. A token of none is no part.
    """
    begins, stops = np.asarray(starts), np.asarray(ends)
    inside = np.flatnonzero((stops > place[0]) & (begins < place[1]) & (stops > begins))
    return (int(inside[0]), int(inside[-1])) if len(inside) else None


@dataclass(frozen=True, slots=True)
class Windowed:
    """A question with its context."""

    sequences: dict[str, list[list[int]]]
    """By name, for each window."""
    nulls: list[int]
    """The null of each window."""
    question_is_cut: bool
    spans: list[tuple[int, int]]
    """Which tokens of the context each window has, [begin, end)."""
    first: int
    """Where the context begins in each window."""
    context: tuple[list[int], list[int]]
    """`char_starts` and `char_ends` of all tokens of the context."""

    def labels(self, place: tuple[int, int] | None) -> tuple[list[tuple[int, int]], bool]:
        """The first and the last token of the answer in each window, and whether one has it whole.

        `place` is its characters, [begin, end); a window without all of them has the null twice.
        """
        tokens = tokens_of(*self.context, place) if place else None
        found = []
        for (begin, end), null in zip(self.spans, self.nulls, strict=True):
            if tokens and begin <= tokens[0] and tokens[1] < end:
                found.append((self.first + tokens[0] - begin, self.first + tokens[1] - begin))
            else:
                found.append((null, null))
        return found, any(label[0] != null for label, null in zip(found, self.nulls, strict=True))


class WindowEncoder:
    """Turns questions and contexts into ids."""

    def __init__(
        self, tokenizer: "PreTrainedTokenizerBase", max_length: int, stride: int | None
    ) -> None:
        """`stride`: tokens that a window shares with the one before; at most a third of max_length,
        as the question may take another third and a window must get on. Raises DataError.
        """
        third = max_length // 3
        if stride is not None and stride > third:
            text = f"task.stride: {stride} is more than {third}, a third of data.max_length"
            raise DataError(text)
        if not tokenizer.is_fast:
            name = type(tokenizer).__name__
            raise DataError(f"model: {name} does not say which characters its tokens are of")
        self._tokenizer, self._max_length = tokenizer, max_length
        self._stride = min(USUAL_STRIDE, third) if stride is None else stride
        self._has_types = "token_type_ids" in tokenizer.model_input_names

    def encode(self, questions: Sequence[str], contexts: Sequence[str]) -> Iterator[Windowed]:
        """The windows of each pair. A question of more than a third of max_length is cut."""
        encoded = self._tokenizer(
            list(questions),
            list(contexts),
            truncation=False,
            return_attention_mask=False,
            return_token_type_ids=self._has_types,
            return_offsets_mapping=True,
            verbose=False,  # it would say that some are too long for the model
        )
        names = ["input_ids", *(["token_type_ids"] if self._has_types else [])]
        for row, context in enumerate(contexts):
            sequences = {name: encoded[name][row] for name in names}
            sides = encoded.sequence_ids(row)
            places = [
                _trimmed(context, *place) if side == 1 else (0, 0)
                for place, side in zip(encoded["offset_mapping"][row], sides, strict=True)
            ]
            sequences[CHAR_STARTS] = [place[0] for place in places]
            sequences[CHAR_ENDS] = [place[1] for place in places]
            yield self._windowed(sequences, sides)

    def _windowed(self, sequences: dict[str, list[int]], sides: Sequence[int | None]) -> Windowed:
        question, context = _extent(sides, 0), _extent(sides, 1)
        kept = min(question[1], question[0] + max(1, self._max_length // 3))
        first = kept + context[0] - question[1]
        room = self._max_length - first - (len(sides) - context[1])
        if room < 1:
            text = f"data.max_length: {self._max_length} tokens have no room for a question and "
            raise DataError(text + "a part of its context")
        spans = windows(context[1] - context[0], room, min(self._stride, room - 1))
        cut = {
            name: [
                flat[:kept]
                + flat[question[1] : context[0]]
                + flat[context[0] + begin : context[0] + end]
                + flat[context[1] :]
                for begin, end in spans
            ]
            for name, flat in sequences.items()
        }
        return Windowed(
            sequences=cut,
            nulls=[self._null(ids) for ids in cut["input_ids"]],
            question_is_cut=kept < question[1],
            spans=spans,
            first=first,
            context=(
                sequences[CHAR_STARTS][slice(*context)],
                sequences[CHAR_ENDS][slice(*context)],
            ),
        )

    def _null(self, ids: list[int]) -> int:
        """[CLS], as in BERT; the first token where there is none, as in Hugging Face's examples."""
        cls = self._tokenizer.cls_token_id
        return ids.index(cls) if cls in ids else 0


def _extent(sides: Sequence[Any], side: int) -> tuple[int, int]:
    """Where the tokens of the question (0) or the context (1) lie, [begin, end). The question
    comes first; a side without a token is taken to be before everything, or behind it."""
    mine = [place for place, found in enumerate(sides) if found == side]
    nothing = len(sides) if side else 0
    return (mine[0], mine[-1] + 1) if mine else (nothing, nothing)


def _trimmed(context: str, begin: int, end: int) -> tuple[int, int]:
    """Without white space at either end: some tokenizers count the blank before a word to it."""
    while begin < end and context[begin].isspace():
        begin += 1
    while begin < end and context[end - 1].isspace():
        end -= 1
    return begin, end
