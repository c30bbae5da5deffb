"""Tiny texts with several labels, or with a number, that a tiny model can learn."""

import random
from pathlib import Path
from typing import Any

import tiny

GROUPS = {**tiny.WORDS, "place": ["plot", "cast", "scene"]}
"""A text has a label if it has words of its group."""


def label_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Texts with any number of the three labels, none among them."""
    draw = random.Random(seed)

    def row() -> dict[str, Any]:
        labels = [label for label in sorted(GROUPS) if draw.random() < 0.4]
        words = [word for label in labels for word in draw.choices(GROUPS[label], k=3)]
        return {"text": _text(draw, words, 9), "label": labels}

    return _distinct(count, row)


def number_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Texts of ten words, and half of how many more good ones there are than bad ones."""
    draw = random.Random(seed)

    def row() -> dict[str, Any]:
        good, bad = draw.randint(0, 4), draw.randint(0, 4)
        words = draw.choices(GROUPS["good"], k=good) + draw.choices(GROUPS["bad"], k=bad)
        return {"text": _text(draw, words, 10), "label": (good - bad) / 2}

    return _distinct(count, row)


def _distinct(count: int, row: Any) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    while len(found) < count:
        one = row()
        found.setdefault(one["text"], one)
    return list(found.values())


def _text(draw: random.Random, words: list[str], length: int) -> str:
    others = [word for word in tiny.FILLER.split() if word not in GROUPS["place"]]
    words = words + draw.choices(others, k=length - len(words))
    draw.shuffle(words)
    return " ".join(words)


def settings(folder: Path, problem_type: str, **changes: Any) -> dict[str, Any]:
    """A job on the tiny model, a file of train rows and one of test rows: 15 steps per epoch."""
    rows_of = {"multi_label": label_rows, "regression": number_rows}[problem_type]
    epochs = {"multi_label": 20, "regression": 14}[problem_type]
    every = rows_of(340)
    for name, some in (("train", every[:280]), ("test", every[280:])):
        tiny.write_rows(folder / f"{problem_type}-{name}.jsonl", some)
    job: dict[str, Any] = {
        "name": problem_type.replace("_", "-"),
        "task": {"name": "text-classification", "problem_type": problem_type},
        "data": {
            "train": str(folder / f"{problem_type}-train.jsonl"),
            "validation": 0.15,
            "test": str(folder / f"{problem_type}-test.jsonl"),
        },
        "phases": [
            {"train": "head", "for": "1ep", "learning_rate": 1e-2},
            {"train": "all", "for": f"{epochs}ep", "learning_rate": 3e-3},
        ],
        "training": {"batch_size": 16, "precision": "fp32", "validate_every": "5ep"},
        "checkpoints": {"every": "15ep"},
    }
    return tiny.settings(folder, **(job | changes))
