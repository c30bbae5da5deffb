"""Tiny causal language models, and text with a pattern that they can learn."""

import json
import random
from pathlib import Path
from typing import Any

import tiny

COLOURS = {"apple": "red", "sky": "blue", "grass": "green", "coal": "black", "snow": "white"}
CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
MARKED_CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' %}{% generation %}"
    "{{ m.content }}<|end|>\n{% endgeneration %}{% else %}{{ m.content }}<|end|>\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def texts(count: int, *, seed: int = 0, lines: int = 6) -> list[str]:
    """Distinct documents of sentences whose last word is sure."""
    draw = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        things = draw.choices(sorted(COLOURS), k=draw.randint(2, lines))
        found.setdefault(" ".join(f"The {thing} is {COLOURS[thing]}." for thing in things))
    return list(found)


def write_tokenizer(folder: Path, *, chat_template: str | None = None) -> Any:
    """A byte-level BPE tokenizer as GPT-2 has one, of some 300 words."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|end of text|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(50, seed=9), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=special[0], additional_special_tokens=special[1:]
    )
    fast.chat_template = chat_template
    fast.save_pretrained(folder)
    return fast


def read_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model folder, as a job opens it."""
    from unfreeze.jobs.config import ModelConfig
    from unfreeze.jobs.tokenizer import load_tokenizer

    return load_tokenizer(str(folder), ModelConfig(path=str(folder)))


def write_model(
    folder: Path, *, kind: str = "gpt2", chat_template: str | None = None, **changes: Any
) -> Path:
    """A tiny model with random weights; GPT-2's embeddings are tied, Llama's are not."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = write_tokenizer(folder, chat_template=chat_template)
    sizes: dict[str, Any] = {
        "gpt2": {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64},
        "llama": {
            "hidden_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "intermediate_size": 64,
            "max_position_embeddings": 64,
        },
        "mistral": {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "intermediate_size": 64,
            "max_position_embeddings": 64,
            "sliding_window": 8,
        },
        "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
        "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8},
    }
    torch.manual_seed(1)
    end = tokenizer.eos_token_id
    ends = {"eos_token_id": end, "bos_token_id": end}
    config = AutoConfig.for_model(
        kind, vocab_size=len(tokenizer), **ends, **(sizes[kind] | changes)
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def settings(folder: Path, **changes: Any) -> dict[str, Any]:
    """A job on the tiny GPT-2 in `folder`: two phases on patterned text, and foreign text."""
    if not (folder / "language").exists():
        write_model(folder / "language")
        every = [{"text": text} for text in texts(140)]
        write_lines(folder / "patterned.jsonl", every[:120])
        write_lines(folder / "held_out.jsonl", every[120:])
        foreign = [{"text": row["text"]} for row in tiny.rows(20)]
        write_lines(folder / "foreign.jsonl", foreign)
    job: dict[str, Any] = {
        "name": "tiny-language",
        "model": {"path": str(folder / "language"), "dropout": 0.0},
        "task": {"name": "text-generation", "samples": 2, "prompt_tokens": 6},
        "data": {
            "train": str(folder / "patterned.jsonl"),
            "validation": str(folder / "held_out.jsonl"),
            "general": str(folder / "foreign.jsonl"),
            "max_length": 48,
        },
        "phases": [
            {"train": "last:2", "for": "1ep", "learning_rate": 1e-2},
            {"train": "all", "for": "3ep", "learning_rate": 1e-2},
        ],
        "training": {"batch_size": 8, "precision": "fp32"},
        "deepspeed": {"zero_stage": 2},
        "scale": {"workers": 2, "gpus_per_worker": 0},
        "checkpoints": {"every": "100ep"},
        "storage": {"uri": str(folder / "runs")},
    }
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(job.get(key), dict):
            job[key] = job[key] | value
        else:
            job[key] = value
    return job
