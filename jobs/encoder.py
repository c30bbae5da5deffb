"""Texts to ids."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # it takes seconds to import
    from transformers import PreTrainedTokenizerBase


class Encoder:
    """Turns texts into ids, and counts the rows that were cut."""

    def __init__(
        self, tokenizer: "PreTrainedTokenizerBase", max_length: int, *, targets: bool = False
    ) -> None:
        """`targets`: the texts are what a decoder is to write, which some tokenizers treat in
        another way (another language), and end with the end token."""
        self._tokenizer = tokenizer
        self._texts = "text_target" if targets else "text"
        end = tokenizer.eos_token_id if targets else None
        self._end = [] if end is None or end in self._ids([""])[0] else [end]
        self._max_length = max_length - len(self._end)
        self.was_cut: list[bool] = []
        """For each row so far, whether it was longer than max_length."""

    @property
    def cut_off(self) -> int:
        """Rows so far that were longer than max_length."""
        return sum(self.was_cut)

    def encode(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None
    ) -> tuple[list[list[int]], list[list[int]] | None]:
        """Ids of each row, and for pairs which text each is of, if the model wants to know.

        A text of which the tokenizer leaves nothing becomes one token, so that no row is empty.
        """
        types = pairs is not None and "token_type_ids" in self._tokenizer.model_input_names
        encoded = self._tokenizer(
            **{self._texts: list(texts)},
            text_pair=None if pairs is None else list(pairs),
            truncation=True,
            max_length=self._max_length,
            return_attention_mask=False,
            return_token_type_ids=types,
        )
        self.was_cut += self._which_were_cut(encoded, texts, pairs)
        nothing = self._tokenizer.unk_token_id
        if nothing is None:
            nothing = self._tokenizer.pad_token_id
        ids: list[list[int]] = [(row + self._end) or [nothing] for row in encoded["input_ids"]]
        return ids, [row or [0] for row in encoded["token_type_ids"]] if types else None

    def _which_were_cut(
        self, encoded: Any, texts: Sequence[str], pairs: Sequence[str] | None
    ) -> list[bool]:
        if encoded.encodings is not None:
            return [bool(encoding.overflowing) for encoding in encoded.encodings]
        # Tokenizers written in Python do not say; those that fill max_length are measured again.
        return [
            len(ids) >= self._max_length
            and len(self._ids([texts[i]], [pairs[i]] if pairs else None)[0]) > self._max_length
            for i, ids in enumerate(encoded["input_ids"])
        ]

    def _ids(self, texts: list[str], pairs: list[str] | None = None) -> list[list[int]]:
        found = self._tokenizer(**{self._texts: texts}, text_pair=pairs, verbose=False)
        ids: list[list[int]] = found["input_ids"]
        return ids
