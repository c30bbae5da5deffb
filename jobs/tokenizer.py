"""The model's tokenizer, made ready for training."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from unfreeze.jobs.config import ModelConfig
from unfreeze.jobs.errors import ModelError


def load_tokenizer(located: str, model: ModelConfig) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder or under a hub id. Raises ModelError.

    Always pads on the right: absolute positions and the boundary cache rest on it. Models without
    a pad token (GPT-2, Llama) pad with their end token, which the attention mask hides.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            located, revision=model.revision, trust_remote_code=model.trust_remote_code
        )
    except (OSError, ValueError, KeyError, ImportError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"model: {model.path}: its tokenizer cannot be loaded: {reason}"
        ) from error
    # transformers makes an empty tokenizer from a folder that holds a config.json only.
    if len(tokenizer) <= len(set(tokenizer.all_special_tokens)):
        raise ModelError(f"model: {model.path}: there are no tokenizer files (tokenizer.json ..)")
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token is None:
        raise ModelError(
            f"model: {model.path}: its tokenizer has no token to pad with (pad, eos or unk)"
        )
    return tokenizer


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """Equal for tokenizers that give the same ids for every text."""
    described: dict[str, Any] = {
        "pad": tokenizer.pad_token_id,
        "special": {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        "inputs": list(tokenizer.model_input_names),
    }
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_truncation()  # Left over from the last call, and set anew by the next one.
        backend.no_padding()
        described["backend"] = backend.to_str()
    else:
        described["class"] = type(tokenizer).__name__
        described["vocabulary"] = tokenizer.get_vocab()
        described["settings"] = {k: repr(v) for k, v in tokenizer.init_kwargs.items()}
    text = json.dumps(described, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Encoder:
    """Turns texts into ids, and counts the rows that were cut."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        self._tokenizer = tokenizer
        self._max_length = max_length
        self.cut_off = 0
        """Rows so far that were longer than max_length."""

    def encode(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None
    ) -> tuple[list[list[int]], list[list[int]] | None]:
        """Ids of each row, and for pairs which text each is of, if the model wants to know.

        A text of which the tokenizer leaves nothing becomes one token, so that no row is empty.
        """
        types = pairs is not None and "token_type_ids" in self._tokenizer.model_input_names
        encoded = self._tokenizer(
            list(texts),
            None if pairs is None else list(pairs),
            truncation=True,
            max_length=self._max_length,
            return_attention_mask=False,
            return_token_type_ids=types,
        )
        self.cut_off += self._count_cut(encoded, texts, pairs)
        nothing = self._tokenizer.unk_token_id
        if nothing is None:
            nothing = self._tokenizer.pad_token_id
        ids: list[list[int]] = [row or [nothing] for row in encoded["input_ids"]]
        return ids, [row or [0] for row in encoded["token_type_ids"]] if types else None

    def _count_cut(self, encoded: Any, texts: Sequence[str], pairs: Sequence[str] | None) -> int:
        if encoded.encodings is not None:
            return sum(bool(encoding.overflowing) for encoding in encoded.encodings)
        # Tokenizers written in Python do not say; those that fill max_length are measured again.
        full = [i for i, ids in enumerate(encoded["input_ids"]) if len(ids) >= self._max_length]
        whole = (
            self._tokenizer(texts[i], pairs[i] if pairs else None, verbose=False) for i in full
        )
        return sum(len(row["input_ids"]) > self._max_length for row in whole)
