"""What a report shows of predicted labels: which were taken for which, and the worst mistakes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unfreeze.jobs.tasks.task import Matrix, Section, Table, Texts

MAX_LABELS = 20  # in the confusion matrix: smaller cells cannot be read
WORST = 20

Prediction = Mapping[str, Any]


def confusion_sections(
    predictions: Sequence[Prediction], labels: Sequence[str], judged: str
) -> list[Section]:
    """The confusion matrix; of many labels the pairs that were confused most."""
    if not predictions:
        return []
    wrong = sum(p["label"] != p["predicted"] for p in predictions)
    share = f"{100 * wrong / len(predictions):.1f} %"
    note = f"{wrong:,} of {len(predictions):,} {judged} rows are wrong ({share})."
    pairs = Counter((p["label"], p["predicted"]) for p in predictions)
    if len(labels) <= MAX_LABELS:
        counts = [[pairs[label, other] for other in labels] for label in labels]
        note += " Cells count rows; the shade is the share of the true label."
        return [Section("Confusion", note, Matrix(labels, counts))]
    of_label = Counter(p["label"] for p in predictions)
    ranked = sorted(((n, p) for p, n in pairs.items() if p[0] != p[1]), reverse=True)[:WORST]
    rows = [(*pair, n, f"{100 * n / of_label[pair[0]]:.1f} %") for n, pair in ranked]
    columns = ("true label", "predicted", "rows", "of the label")
    return [Section("Most confused labels", note, Table(columns, rows))]


def worst_section(predictions: Sequence[Prediction], judged: str) -> Section:
    """The wrong predictions that the model was most certain of."""
    title = "Worst mistakes"
    if not predictions:
        return Section(title, "No predictions to look at.")
    wrong = [p for p in predictions if p["label"] != p["predicted"]]
    if not wrong:
        return Section(title, f"None: every prediction on {judged} rows is right.")

    def probability(prediction: Prediction, key: str) -> float:
        return float((prediction.get("probabilities") or {}).get(prediction[key], 0.0))

    ranked = sorted(wrong, key=lambda p: (-probability(p, "predicted"), p["row"]))
    items = []
    for p in ranked[:WORST]:
        said = f"{p['label']} \u2192 {p['predicted']}"
        if sure := probability(p, "predicted"):
            said += (
                f" with {100 * sure:.1f} %; {p['label']} got {100 * probability(p, 'label'):.1f} %"
            )
        items.append((f"{said}; row {p['row']}", texts_of(p)))
    note = f"The wrong predictions on {judged} rows that the model was most certain of."
    return Section(title, note, Texts(items))


def texts_of(prediction: Prediction) -> str:
    """The text, and below it the one that it is paired with."""
    return "\n> ".join(prediction[key] for key in ("text", "text_pair") if key in prediction)


def per_label_section(
    predictions: Sequence[Prediction], labels: Sequence[str], judged: str
) -> Section:
    """Precision, recall and F1 of each label, where a row may have several."""
    truth, guess = (
        np.array([[label in p[key] for label in labels] for p in predictions])
        for key in ("label", "predicted")
    )
    both = (truth & guess).sum(axis=0)
    sums = [(*x,) for x in zip(labels, truth.sum(axis=0), guess.sum(axis=0), both, strict=True)]
    lines = sorted(sums, key=lambda line: -line[1])
    if len(lines) > 1:
        lines.append(("all", truth.sum(), guess.sum(), both.sum()))
    rows = [
        (name, int(n), int(m), int(k), _share(k, m), _share(k, n), _share(2 * k, n + m))
        for name, n, m, k in lines
    ]
    exact = int((truth == guess).all(axis=1).sum())
    note = f"{exact:,} of {len(predictions):,} {judged} rows have all their labels and no other."
    columns = ("label", "rows", "predicted", "right", "precision", "recall", "F1")
    return Section("Labels", note, Table(columns, rows))


def worst_sets_section(predictions: Sequence[Prediction], judged: str) -> Section:
    """The rows with several labels that have most wrong ones, and least likely ones of these."""
    title = "Worst mistakes"
    ranked = []
    for p in predictions:
        missed = [label for label in p["label"] if label not in p["predicted"]]
        extra = [label for label in p["predicted"] if label not in p["label"]]
        if missed or extra:
            sure = [1 - p["probabilities"][label] for label in missed]
            sure += [p["probabilities"][label] for label in extra]
            ranked.append((-sum(sure), p["row"], missed, extra, p))
    if not ranked:
        return Section(title, f"None: every prediction on {judged} rows is right.")
    items = []
    for _, row, missed, extra, p in sorted(ranked, key=lambda one: one[:2])[:WORST]:
        parts = [f"missed {', '.join(missed)}"] * bool(missed)
        parts += [f"not there: {', '.join(extra)}"] * bool(extra)
        items.append((f"{', '.join(parts)}; row {row}", texts_of(p)))
    note = (
        f"{len(ranked):,} of {len(predictions):,} {judged} rows have a label too many or too few."
    )
    return Section(title, note + " Those that the model was most certain of.", Texts(items))


def _share(above: float, below: float) -> str:
    return f"{100 * above / below:.1f} %" if below else "-"
