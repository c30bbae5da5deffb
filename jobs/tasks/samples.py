"""What a model wrote, as numbers about it and as a part of the report. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from unfreeze.jobs.tasks.generation import distinct, repetition
from unfreeze.jobs.tasks.task import Section, Table, Texts

MEASURES = {
    "repetition": "repeated 4-grams",
    "distinct_1": "distinct tokens",
    "distinct_2": "distinct 2-grams",
}


def measures(tokens: Sequence[int]) -> dict[str, float | None]:
    """Repetition and distinct-n of what was written, to six places; None where it is too short."""
    found = {
        "repetition": repetition(tokens),
        "distinct_1": distinct(tokens, 1),
        "distinct_2": distinct(tokens, 2),
    }
    return {name: None if share is None else round(share, 6) for name, share in found.items()}


def sections(predictions: Sequence[Mapping[str, Any]], judged: str) -> list[Section]:
    """Samples to read, after training and before it, and how much they repeat themselves."""
    samples = [p for p in predictions if "continuation" in p]
    if not samples:
        return []
    note = (
        f"How the model goes on with {len(samples)} {judged} rows. Greedy text "
        "takes the likeliest token each time; drawn text is drawn by the tokens' probabilities."
    )
    items = [(_said(sample), _text(sample)) for sample in samples]
    return [_table(samples), Section("Samples", note, Texts(items))]


def _writings(sample: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Each text of a sample by who wrote it."""
    found: list[tuple[str, Mapping[str, Any]]] = []
    for when, said in (("after training", sample), ("before", sample.get("before") or {})):
        if "continuation" in said:
            found.append((f"{when}, greedy", said))
            found.append((f"{when}, drawn", said["drawn"]))
    return found


def _table(samples: Sequence[Mapping[str, Any]]) -> Section:
    by_writer: dict[str, list[Mapping[str, Any]]] = {}
    for sample in samples:
        for writer, said in _writings(sample):
            by_writer.setdefault(writer, []).append(said)
    rows = [
        (writer, *(_mean([text[name] for text in texts]) for name in MEASURES))
        for writer, texts in by_writer.items()
    ]
    note = (
        "Means over the samples, in tokens. A model that has collapsed repeats itself: many "
        "repeated 4-grams, few distinct ones."
    )
    return Section("Repetition", note, Table(("text", *MEASURES.values()), rows))


def _mean(shares: Sequence[float | None]) -> str:
    known = [share for share in shares if share is not None]
    return f"{100 * sum(known) / len(known):.0f} %" if known else "not known"


def _said(sample: Mapping[str, Any]) -> str:
    share = sample["repetition"]
    repeated = "" if share is None else f"; {100 * share:.0f} % of the 4-grams are repeated"
    return f"row {sample['row']}{repeated}"


def _text(sample: Mapping[str, Any]) -> str:
    parts = [f"> {sample['prompt']}"]
    parts += [f"{writer}:\n{said['continuation']}" for writer, said in _writings(sample)]
    return "\n\n".join(parts)
