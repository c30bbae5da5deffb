"""Splits for the data check, made of texts."""

import random
from collections.abc import Sequence

import tiny

from unfreeze.jobs.data.splits import text_key
from unfreeze.jobs.data_check.rows import Looked, SplitRows


def split(name: str, texts: Sequence[str], labels: Sequence[str] | None = None) -> SplitRows:
    """Rows numbered from 1, each with one label or none."""
    each = [(label,) for label in labels] if labels else [()] * len(texts)
    looked = [
        Looked(name, place + 1, place, (text,), text, label, {"text": text})
        for place, (text, label) in enumerate(zip(texts, each, strict=True))
    ]
    keys = [text_key(text) for text in texts]
    return SplitRows(name, name, range(1, len(texts) + 1), keys, each, looked)


def sentences(count: int, *, seed: int = 0, words: int = 12) -> list[str]:
    """Texts of words that the tiny tokenizer knows, no two of them alike."""
    draw = random.Random(seed)
    known = [*tiny.FILLER.split(), *tiny.WORDS["good"], *tiny.WORDS["bad"]]
    return [" ".join(draw.choices(known, k=words)) for _ in range(count)]
