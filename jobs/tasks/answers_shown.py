"""What the report shows of answers."""

from collections.abc import Mapping, Sequence
from typing import Any

from unfreeze.jobs.tasks.answers import answers_of
from unfreeze.jobs.tasks.task import Section, Table, Texts

WORST = 20
AROUND = 150  # characters of the context that are shown on either side of an answer
BEGINNINGS = 8

Prediction = Mapping[str, Any]


def answers_shown(predictions: Sequence[Prediction], judged: str) -> list[Section]:
    """Of predictions on the rows of the split `judged`, whose answers are known."""
    if not predictions:
        return [Section("Answers", "No predictions to look at.")]
    return [_kinds(predictions, judged), _beginnings(predictions, judged), _worst(predictions)]


def _kinds(predictions: Sequence[Prediction], judged: str) -> Section:
    known = [p for p in predictions if answers_of(p["answers"])]
    unknown = [p for p in predictions if not answers_of(p["answers"])]
    note = f"The {judged} rows by whether their question has an answer in the context."
    rows = []
    for name, some in (("with an answer", known), ("without an answer", unknown)):
        if some:
            given = sum(bool(p["predicted"]) for p in some)
            rows.append((name, len(some), given, *_scores(some)))
    return Section("Answers", note, Table(("rows", "how many", "answered", *_SCORES), rows))


_SCORES = ("exact match", "F1")


def _scores(some: Sequence[Prediction]) -> list[str]:
    means = (sum(p[key] for p in some) / len(some) for key in ("exact_match", "f1"))
    return [f"{100 * mean:.1f} %" for mean in means]


def _beginnings(predictions: Sequence[Prediction], judged: str) -> Section:
    by_word: dict[str, list[Prediction]] = {}
    for p in predictions:
        by_word.setdefault(p["question"].split()[0].lower(), []).append(p)
    ranked = sorted(by_word.items(), key=lambda item: (-len(item[1]), item[0]))
    rows = [(word, len(some), *_scores(some)) for word, some in ranked[:BEGINNINGS]]
    note = f"The {judged} rows by the first word of their question; the commonest."
    return Section("Kinds of questions", note, Table(("begins with", "rows", *_SCORES), rows))


def _worst(predictions: Sequence[Prediction]) -> Section:
    title = "Worst mistakes"
    wrong = sorted((p for p in predictions if not p["f1"]), key=lambda p: (-p["score"], p["row"]))
    if not wrong:
        return Section(title, "None: every answer has a word of the right one.")
    note = f"{len(wrong):,} answers have no word of a right one. These were the most certain."
    return Section(title, note, Texts([_mistake(p) for p in wrong[:WORST]]))


def _mistake(p: Prediction) -> tuple[str, str]:
    texts = sorted({answer.text for answer in answers_of(p["answers"])})
    right = " / ".join(texts) or "no answer"
    said = p["predicted"] or "no answer"
    about = f"{right} \u2192 {said} with {100 * p['score']:.1f} %; row {p['row']}"
    return about, f"{p['question'].strip()}\n> {_around(p, texts)}"


def _around(p: Prediction, texts: Sequence[str]) -> str:
    """The part of the context that has what was said, or what should have been."""
    context: str = p["context"]
    begin = p["start"] if p["start"] is not None else max(0, context.find((*texts, "")[0]))
    end = p["end"] if p["end"] is not None else begin
    left, right = max(0, begin - AROUND), min(len(context), end + AROUND)
    shown = " ".join(context[left:right].split())
    return f"{'... ' if left else ''}{shown}{' ...' if right < len(context) else ''}"
