"""Documents, completions and chats as examples of a causal language model.

Each token comes with the bytes of text that it stands for (`token_bytes`), and in completions and
chats with whether it is to be learned (`is_target`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from unfreeze.jobs.data.token_store import Examples
from unfreeze.jobs.errors import ConfigError, DataError
from unfreeze.jobs.tasks.chats import Message, assistant_spans

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NO_TEMPLATE = (
    "task.form: chat needs a chat template, and the model's tokenizer has none; take a chat model, "
    "put a chat_template.jinja into the model's folder, or give prompt and completion instead "
    "(form: completion)"
)

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")  # what marks it in a template


@dataclass(frozen=True, slots=True)
class _Tokens:
    """A text, or a part of one."""

    ids: list[int]
    sizes: list[int]
    """UTF-8 bytes that each stands for. Special tokens stand for none, spaces that the tokenizer
    drops belong to the token behind them, and the sum is right for split characters too."""
    starts: list[int]
    """The character where each begins; empty if the tokenizer does not say."""


@dataclass(frozen=True, slots=True)
class _Example:
    ids: list[int]
    sizes: list[int]
    is_target: list[bool]

    @property
    def prompt_tokens(self) -> int:
        """What comes before the last run of targets: all if there is none."""
        begins = [i for i, (a, b) in enumerate(pairwise([False, *self.is_target])) if b and not a]
        return begins[-1] if begins else len(self.ids)


class CausalEncoder:
    """Texts to examples of a causal language model."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", max_length: int) -> None:
        self._tokenizer: Any = tokenizer
        self._max_length = max_length
        self._begin, self._end = _frame(tokenizer)
        added = tokenizer.added_tokens_decoder.items()
        special = {*tokenizer.all_special_ids, *(id for id, token in added if token.special)}
        self._special = np.array(sorted(special - {tokenizer.unk_token_id}), np.int64)

    def documents(self, texts: Sequence[str]) -> Examples:
        """Whole documents, each between the tokens that begin and end a text. None is cut."""
        found = [self._framed(tokens, self._end) for tokens in self._tokens(texts)]
        return Examples(
            {"input_ids": [ids for ids, _ in found], "token_bytes": [s for _, s in found]}
        )

    def prompts(self, texts: Sequence[str]) -> Examples:
        """Texts to go on with."""
        found = []
        for tokens in self._tokens(texts):
            ids, sizes = self._framed(tokens, [])
            ids = (
                ids or self._end or [self._tokenizer.pad_token_id]
            )  # no model goes on from nothing
            found.append(_Example(ids, sizes or [0], [False] * len(ids)))
        return self._examples(found)

    def completions(self, prompts: Sequence[str], completions: Sequence[str]) -> Examples:
        """Prompts with what is to be learned: the completion and the token that ends a text."""
        both = [a + b for a, b in zip(prompts, completions, strict=True)]
        found = []
        for prompt, whole, alone in zip(
            self._tokens(prompts), self._tokens(both), self._tokens(completions), strict=True
        ):
            cut = len(prompt.ids)
            if whole.ids[:cut] != prompt.ids:
                # A token would reach over the border; a prompt that stands alone has none such.
                whole = _Tokens(prompt.ids + alone.ids, prompt.sizes + alone.sizes, [])
            ids, sizes = self._framed(whole, self._end)
            cut += len(self._begin)
            found.append(_Example(ids, sizes, [i >= cut for i in range(len(ids))]))
        return self._examples(found)

    def chats(self, rows: Sequence[Mapping[str, Any]], *, new: bool) -> Examples:
        """Rows with `messages`: what the assistant says is to be learned. Raises ConfigError and
        DataError. Of `new` rows it is what the assistant is to say next; an answer at their end is
        left out."""
        if not self._tokenizer.chat_template:
            raise ConfigError(NO_TEMPLATE)
        return self._examples([self._chat(row, new=new) for row in rows])

    def _chat(self, row: Mapping[str, Any], *, new: bool) -> _Example:
        from jinja2.exceptions import TemplateError

        messages = row["messages"]
        if new and messages[-1]["role"] == "assistant":
            messages = messages[:-1]
        try:
            text = self._render(messages, prompts=new)
            targets = [] if new else self._targets(messages, text)
        except (TemplateError, ValueError, TypeError) as error:
            problem = " ".join(str(error).split())
            raise DataError(
                f"row {row['row']}: the model's chat template refuses the messages: {problem}"
            ) from error
        (tokens,) = self._tokens([text])
        if new:
            return _Example(tokens.ids, tokens.sizes, [False] * len(tokens.ids))
        if not any(targets):
            raise DataError(
                f"row {row['row']}: what the assistant says cannot be found in what the model's "
                "chat template makes of it; mark it there with {% generation %}"
            )
        return _Example(tokens.ids, tokens.sizes, targets)

    def _render(self, messages: Sequence[Message], *, prompts: bool) -> str:
        text: str = self._tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=prompts
        )
        return text

    def _targets(self, messages: Sequence[Message], text: str) -> list[bool]:
        """Of each token of the text, whether the assistant says it."""
        if _GENERATION.search(self._tokenizer.get_chat_template()):
            encoded = self._tokenizer.apply_chat_template(
                list(messages), return_dict=True, return_assistant_tokens_mask=True
            )
            return [bool(mark) for mark in encoded["assistant_masks"]]
        (tokens,) = self._tokens([text])
        if not tokens.starts:
            raise ValueError(
                "it needs {% generation %}, for the tokenizer does not say where it is"
            )
        spans = assistant_spans(lambda some, ask: self._render(some, prompts=ask), messages)
        return [any(a <= start < b for a, b in spans) for start in tokens.starts]

    def _examples(self, found: Sequence[_Example]) -> Examples:
        cut = [self._cut(example) for example in found]
        return Examples(
            {
                "input_ids": [example.ids for example in cut],
                "token_bytes": [example.sizes for example in cut],
                "is_target": [example.is_target for example in cut],
            },
            {"prompt_tokens": [example.prompt_tokens for example in cut]},
            weights=[float(sum(example.is_target[1:])) for example in cut],
            cut_off=sum(len(example.ids) > self._max_length for example in found),
        )

    def _cut(self, example: _Example) -> _Example:
        """At most max_length tokens: the oldest go first, then the end of the last answer."""
        too_many = len(example.ids) - self._max_length
        if too_many <= 0:
            return example
        kept = len(self._begin) if example.ids[: len(self._begin)] == self._begin else 0
        start = min(too_many, max(0, example.prompt_tokens - max(1, kept)))
        places = [*range(kept), *range(start + kept, start + self._max_length)]
        return _Example(
            [example.ids[i] for i in places],
            [example.sizes[i] for i in places],
            [example.is_target[i] for i in places],
        )

    def _framed(self, tokens: _Tokens, end: Sequence[int]) -> tuple[list[int], list[int]]:
        nothing = [0] * len(self._begin), [0] * len(end)
        return [*self._begin, *tokens.ids, *end], [*nothing[0], *tokens.sizes, *nothing[1]]

    def _tokens(self, texts: Sequence[str]) -> list[_Tokens]:
        tells = self._tokenizer.is_fast
        encoded = self._tokenizer(
            list(texts),
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            return_offsets_mapping=tells,
            verbose=False,  # about texts that are longer than the model's limit
        )
        found = []
        for i, (text, ids) in enumerate(zip(texts, encoded["input_ids"], strict=True)):
            if tells:
                offsets = np.array(encoded["offset_mapping"][i], np.int64).reshape(-1, 2)
                sizes = _sizes(text, offsets[:, 1])
                sizes[np.isin(ids, self._special)] = 0
                found.append(_Tokens(list(ids), sizes.tolist(), offsets[:, 0].tolist()))
            else:  # as many for each, so that the sum is right
                ends = np.linspace(0, len(text.encode("utf-8", "surrogatepass")), len(ids) + 1)
                found.append(_Tokens(list(ids), np.diff(ends.astype(np.int64)).tolist(), []))
        return found


def _sizes(text: str, ends: np.ndarray) -> np.ndarray:
    """Bytes that come with each token, from the characters where they end."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    widths = 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
    places = np.concatenate([[0], np.cumsum(widths)])[ends]
    result: np.ndarray = np.diff(np.maximum.accumulate(places), prepend=0)
    return result


def _frame(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Tokens that begin and that end a text. The end is the tokenizer's eos, if it has one."""
    bare, whole = (
        list(tokenizer("a", add_special_tokens=special)["input_ids"]) for special in (False, True)
    )
    found = (i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
    begin = whole[: next(found, 0)] if bare else []
    own_end = whole[len(begin) + len(bare) :]
    return begin, own_end if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
