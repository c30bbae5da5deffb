"""What a report shows of predicted tags: scores of each type, and the rows with most mistakes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unfreeze.jobs.metrics import Floats
from unfreeze.jobs.tasks.entities import TagSet
from unfreeze.jobs.tasks.task import Section, Table, Texts

WORST = 20

Prediction = Mapping[str, Any]


def entity_sections(predictions: Sequence[Prediction], judged: str, tags: TagSet) -> list[Section]:
    """A table with a line for each type, and the worst rows as texts."""
    if not predictions:
        return [Section("Entities", "No predictions to look at.")]
    guess = [tags.ids(p["predicted"]) for p in predictions]
    truth = [tags.ids(p["tags"]) for p in predictions]
    offsets = np.cumsum([0, *map(len, truth)], dtype=np.int64)
    counts = tags.counts(np.concatenate(guess), np.concatenate(truth), offsets)
    both, predicted, there = np.split(counts, 3, axis=1)
    missed, invented = (there - both).sum(axis=1), (predicted - both).sum(axis=1)
    return [
        _by_type(tags, both.sum(axis=0), predicted.sum(axis=0), there.sum(axis=0), judged),
        _worst(predictions, missed, invented, judged, tags),
    ]


def _by_type(tags: TagSet, both: Floats, predicted: Floats, there: Floats, judged: str) -> Section:
    thing = "words" if tags.scheme == "none" else "entities"
    lines = sorted(zip(tags.types, both, predicted, there, strict=True), key=lambda x: -x[3])
    if len(lines) > 1:
        lines.append(("all", both.sum(), predicted.sum(), there.sum()))
    rows = [
        (name, int(n), int(m), int(k), _percent(k, m), _percent(k, n), _percent(2 * k, n + m))
        for name, k, m, n in lines
    ]
    columns = ("type", thing, "predicted", "right", "precision", "recall", "F1")
    right = "with the right tag" if tags.scheme == "none" else "with both ends and the type right"
    note = f"Of the {thing} of the {judged} rows, how many were predicted {right}."
    title = "Tags" if tags.scheme == "none" else "Entities"
    return Section(title, note, Table(columns, rows))


def _percent(above: float, below: float) -> str:
    return f"{100 * above / below:.1f} %" if below else "-"


def _worst(
    predictions: Sequence[Prediction],
    missed: Floats,
    invented: Floats,
    judged: str,
    tags: TagSet,
) -> Section:
    title = "Worst mistakes"
    wrong = np.flatnonzero(missed + invented)
    if not len(wrong):
        return Section(title, f"None: every prediction on {judged} rows is right.")
    ranked = wrong[np.argsort(-(missed + invented)[wrong], kind="stable")][:WORST]
    items = []
    for place in ranked:
        p = predictions[place]
        said = f"{missed[place]:.0f} missed, {invented[place]:.0f} predicted that are not there"
        texts = [_bracketed(p, p["tags"], p["predicted"], tags)]
        texts.append(_bracketed(p, p["predicted"], p["tags"], tags))
        items.append((f"{said}; row {p['row']}", "\n> ".join(texts)))
    what = "words with a wrong tag" if tags.scheme == "none" else "entities"
    note = (
        f"{len(wrong):,} of {len(predictions):,} {judged} rows have a mistake. Above the {what} as "
        "they are, below as they were predicted."
    )
    return Section(title, note, Texts(items))


def _bracketed(
    prediction: Prediction, shown: Sequence[str], other: Sequence[str], tags: TagSet
) -> str:
    """The text with its entities in brackets; of plain tags those that are not in the other."""
    words = list(prediction["tokens"])
    found = tags.entities(np.array(tags.ids(shown)), np.zeros(1, np.int64))
    for start, end, type_ in zip(found.starts, found.ends, found.types, strict=True):
        if tags.scheme != "none" or shown[start] != other[start]:
            words[start] = f"[{tags.types[type_]}: {words[start]}"
            words[end - 1] += "]"
    return " ".join(words)
