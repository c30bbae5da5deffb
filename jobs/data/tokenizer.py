"""The model's tokenizer, made ready for training."""

import hashlib
import json
from collections.abc import Callable, Sequence
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


def decoder(tokenizer: PreTrainedTokenizerBase) -> Callable[[Sequence[int]], str]:
    """Turns ids into text, without the special tokens."""

    def decode(ids: Sequence[int]) -> str:
        return str(tokenizer.decode(list(ids), skip_special_tokens=True))

    return decode


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """Equal for tokenizers that give the same ids for every text."""
    described: dict[str, Any] = {
        "pad": tokenizer.pad_token_id,
        "special": {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        "inputs": list(tokenizer.model_input_names),
    }
    if template := getattr(tokenizer, "chat_template", None):
        described["chat"] = template
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
