"""SQuAD's own JSON, articles of paragraphs of questions, as a row for each question."""

import json
import re
from collections.abc import Iterator
from io import BufferedIOBase
from typing import Any

import datasets

_BEGINNING = re.compile(rb'\s*\{.*?"data"\s*:\s*\[\s*\{.*?"paragraphs"\s*:\s*\[', re.DOTALL)
_TEXT = datasets.Value("string")
FEATURES = datasets.Features(
    {
        "id": _TEXT,
        "title": _TEXT,
        "context": _TEXT,
        "question": _TEXT,
        "answers": {
            "text": datasets.List(_TEXT),
            "answer_start": datasets.List(datasets.Value("int64")),
        },
    }
)
"""Of the rows, as in the hub's `squad` and `squad_v2`."""


def is_squad(start: bytes) -> bool:
    """Whether a file begins as SQuAD's files do."""
    return _BEGINNING.match(start.removeprefix(b"\xef\xbb\xbf")) is not None


def read_questions(file: BufferedIOBase) -> Iterator[dict[str, Any]]:
    """A row for each question; without answers if it is said to be impossible. Raises ValueError
    that says which part of the file is not as it should be."""
    for a, article in enumerate(_list(json.loads(file.read().decode("utf-8-sig")), "data", "")):
        where = f"data[{a}]"
        for p, paragraph in enumerate(_list(article, "paragraphs", where)):
            where = f"data[{a}].paragraphs[{p}]"
            context = _text(paragraph, "context", where)
            for q, asked in enumerate(_list(paragraph, "qas", where)):
                where = f"data[{a}].paragraphs[{p}].qas[{q}]"
                has_none = asked.get("is_impossible") or asked.get("answers") is None
                answers = [] if has_none else _list(asked, "answers", where)
                yield {
                    "id": str(asked.get("id", "")),
                    "title": str(article.get("title", "")),
                    "context": context,
                    "question": _text(asked, "question", where),
                    "answers": {
                        "text": [_text(answer, "text", where) for answer in answers],
                        "answer_start": [answer.get("answer_start", -1) for answer in answers],
                    },
                }


def _list(whole: Any, key: str, where: str) -> list[dict[str, Any]]:
    found = whole.get(key) if isinstance(whole, dict) else None
    if not isinstance(found, list) or not all(isinstance(part, dict) for part in found):
        raise ValueError(f"{where or 'the file'}: expected {key}, a list of objects")
    return found


def _text(whole: Any, key: str, where: str) -> str:
    found = whole.get(key) if isinstance(whole, dict) else None
    if not isinstance(found, str):
        raise ValueError(f"{where}: expected {key}, a text")
    return found
