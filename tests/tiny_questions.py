"""Tiny questions, the answer to which is the word after a marker; and what tests make of them."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tiny

MARKER = "great"
NAMES = [*tiny.WORDS["good"][1:], *tiny.WORDS["bad"]]


def rows(
    count: int, *, seed: int = 0, unanswerable: float = 0.25, words: tuple[int, int] = (4, 30)
) -> list[dict[str, Any]]:
    """Distinct contexts of fillers and names, in the hub's form. The marker is before one name,
    or in `unanswerable` of them nowhere."""
    draw, found = random.Random(seed), {}
    while len(found) < count:
        parts = [
            draw.choice(tiny.FILLER.split() if draw.random() < 0.7 else NAMES)
            for _ in range(draw.randint(*words))
        ]
        answers: dict[str, list[Any]] = {"text": [], "answer_start": []}
        if draw.random() >= unanswerable:
            name, place = draw.choice(NAMES), draw.randint(0, len(parts))
            before = " ".join([*parts[:place], MARKER])
            parts[place:place] = [MARKER, name]
            answers = {"text": [name], "answer_start": [len(before) + 1]}
        found[" ".join(parts)] = answers
    return [
        {"question": "what was so great", "context": context, "answers": answers}
        for context, answers in found.items()
    ]


def nested(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a file in SQuAD's own form, two questions to an article."""
    paragraphs = [
        {
            "context": row["context"],
            "qas": [
                {
                    "id": str(number),
                    "question": row["question"],
                    "is_impossible": not row["answers"]["text"],
                    "answers": [
                        {"text": text, "answer_start": start}
                        for text, start in zip(*row["answers"].values(), strict=True)
                    ],
                }
            ],
        }
        for number, row in enumerate(rows)
    ]
    data = [
        {"title": f"Article {start}", "paragraphs": paragraphs[start : start + 2]}
        for start in range(0, len(paragraphs), 2)
    ]
    return json.dumps({"version": "v2.0", "data": data})


def settings(folder: Path, **changes: Any) -> dict[str, Any]:
    """A job on them that learns them, by the tiny model without dropout."""
    if not (folder / "questions").exists():
        tiny.write_model(folder / "model", dropout=0.0)
        every = rows(600 + 80 + 80)
        tiny.write_rows(folder / "questions/train.jsonl", every[:600])
        tiny.write_rows(folder / "questions/validation.jsonl", every[600:680])
        (folder / "questions/test.json").write_text(nested(every[680:]))
    return tiny.settings(
        folder,
        **{
            "task": {"name": "question-answering", "stride": 8, "max_answer_length": 4},
            "data": {
                **{
                    split: str(folder / f"questions/{split}.jsonl")
                    for split in ("train", "validation")
                },
                "test": str(folder / "questions/test.json"),
                "max_length": 32,
            },
            "phases": [
                {"train": "head", "for": "1ep", "learning_rate": 1e-2},
                {"train": "all", "for": "6ep", "learning_rate": 3e-3},
            ],
            "training": {"batch_size": 16, "precision": "fp32"},
            "checkpoints": {"every": "1ep"},
        }
        | changes,
    )
