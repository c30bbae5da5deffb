"""What the report shows of texts that a model wrote, next to what they should have been."""

from collections.abc import Mapping, Sequence
from statistics import mean, median
from typing import Any

from unfreeze.jobs.tasks.overlap_metrics import rouge_reads
from unfreeze.jobs.tasks.task import Section, Table, Texts

SHOWN = 10

Prediction = Mapping[str, Any]


def written_texts(predictions: Sequence[Prediction], judged: str) -> list[Section]:
    """Lengths, the worst texts, and the middle ones, by ROUGE-L, on rows of the split `judged`."""
    if not predictions:
        return [Section("Texts", "No predictions to look at.")]
    ranked = sorted(predictions, key=lambda p: (p["rougeL"], p["row"]))
    first = max(0, (len(ranked) - SHOWN) // 2)
    unread = sum(not rouge_reads(p["target"]) for p in predictions)
    note = (
        f" ROUGE reads no letters but a to z: {unread:,} targets have none of them and count as 0. "
        "Look at chrF instead."
        if unread
        else ""
    )
    worst = f"The {judged} rows with the lowest ROUGE-L.{note}"
    middle = f"The {judged} rows around the median ROUGE-L: what to expect."
    return [
        _lengths(predictions, judged),
        Section("Worst texts", worst, _shown(ranked[:SHOWN])),
        Section("Usual texts", middle, _shown(ranked[first : first + SHOWN])),
    ]


def _lengths(predictions: Sequence[Prediction], judged: str) -> Section:
    cut = sum(p["cut_off"] for p in predictions)
    note = "In tokens. Every text ended by itself."
    if cut:
        limit = max(p["predicted_tokens"] for p in predictions)
        share = f"{100 * cut / len(predictions):.1f} %"
        note = (
            f"In tokens. {cut:,} of {len(predictions):,} {judged} rows ({share}) ran into the "
            f"limit of {limit:,} tokens (task.decoding.new_tokens)."
        )
    rows = []
    for name, key in (("target", "target_tokens"), ("predicted", "predicted_tokens")):
        tokens = [p[key] for p in predictions]
        rows.append((name, min(tokens), round(median(tokens)), round(mean(tokens), 1), max(tokens)))
    return Section("Lengths", note, Table(("", "shortest", "median", "mean", "longest"), rows))


def _shown(predictions: Sequence[Prediction]) -> Texts:
    items = []
    for p in predictions:
        said = f"ROUGE-L {100 * p['rougeL']:.1f} %; row {p['row']}"
        target, predicted = (" ".join(p[key].split()) for key in ("target", "predicted"))
        text = f"{p['source']}\n> target: {target}\n> predicted: {predicted}"
        items.append((said, text))
    return Texts(items)
