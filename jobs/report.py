"""The report page of a job: one HTML file that needs no network.

Pure: the same result gives the same page, byte for byte. This file decides what is shown; how it
looks, charts included, is in `report.html.j2`.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from unfreeze.jobs.page import (
    finite,
    is_share,
    percent,
    render,
    score,
    title,
)
from unfreeze.jobs.verdict import Overfitting, gap, number, overfitting, records

Data = Mapping[str, Any]
Value = TypeVar("Value")

MAX_POINTS = 1500  # per line: more cannot be seen at 1,100 px
MAX_LABELS = 20  # in the confusion matrix: smaller cells cannot be read
WORST = 20


def build_report(
    result: Data,
    metrics: Sequence[Data],
    predictions: Sequence[Data],
    *,
    judged: str = "test",
) -> str:
    """The page. `judged` names the split that `predictions` are of."""
    metric = result["metric"]
    names = [phase["name"] for phase in result["phases"]]
    verdict = overfitting(metrics, result["mode"], metric=metric, phases=names)
    classified = [p for p in predictions if "label" in p and "predicted" in p]
    wrong = [p for p in classified if p["label"] != p["predicted"]]
    labels = _labels(result, classified)
    few = len(labels) <= MAX_LABELS
    confusion = _confusion(classified, labels) if classified and few else None
    charts = _charts(result, metrics, verdict)
    return render(
        Path(__file__).with_name("report.html.j2"),
        result=result,
        metric=metric,
        judged=judged,
        headline=_headline(result, classified, judged),
        verdict=verdict,
        charts=charts,
        classified=len(classified),
        wrong=len(wrong),
        labels=labels,
        confusion=confusion,
        pairs=[] if few else _confused_pairs(classified),
        worst=_worst(wrong),
        settings=yaml.safe_dump(dict(result["job"]), sort_keys=False, allow_unicode=True),
        numbers={"charts": charts, "confusion": confusion},
    )


def wilson(share: float, rows: int) -> tuple[float, float]:
    """The 95 % interval of a share of `rows`; honest for few rows and near 0 and 1."""
    z = 1.959964
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z * math.sqrt(share * (1 - share) / rows + (z / (2 * rows)) ** 2) / (1 + z * z / rows)
    return max(0.0, middle - half), min(1.0, middle + half)


# Parts of the page


def _headline(result: Data, predictions: Sequence[Data], judged: str) -> dict[str, Any]:
    metric = result["metric"]
    split = judged if result.get(judged) else "validation"
    scores = result.get(split) or {}
    rows = int(scores.get("rows") or len(predictions))
    accuracy, guesses = scores.get("accuracy"), Counter(p["label"] for p in predictions)
    trained = [phase for phase in result["phases"] if phase["steps"]] or result["phases"]
    most = max(trained, key=lambda phase: phase["trained_parameters"], default=None)
    validation = (result.get("validation") or {}).get(metric)
    return {
        "split": split,
        "score": score(scores.get(metric), metric),
        "interval": [percent(end) for end in wilson(accuracy, rows)]
        if accuracy is not None and rows
        else None,
        "others": [(title(k), score(scores[k], k)) for k in scores if k not in (metric, "rows")],
        "rows": rows,
        "guess": percent(max(guesses.values()) / len(predictions)) if guesses else None,
        "validation": score(validation, metric),
        "trained": most,
    }


def _labels(result: Data, predictions: Sequence[Data]) -> list[str]:
    """The job's labels, then any others met."""
    met = sorted({str(p[key]) for p in predictions for key in ("label", "predicted")})
    known = [str(label) for label in result.get("labels") or []] if met else []
    return known + [label for label in met if label not in known]


def _worst(wrong: Sequence[Data]) -> list[dict[str, Any]]:
    """The wrong predictions that were most certain."""

    def sure(prediction: Data, label: str) -> float:
        return float((prediction.get("probabilities") or {}).get(label, 0.0))

    ranked = sorted(wrong, key=lambda p: (-sure(p, p["predicted"]), p["row"]))[:WORST]
    return [{**p, "sure": sure(p, p["predicted"]), "right": sure(p, p["label"])} for p in ranked]


def _confused_pairs(predictions: Sequence[Data]) -> list[dict[str, Any]]:
    of_label = Counter(p["label"] for p in predictions)
    pairs = Counter((p["label"], p["predicted"]) for p in predictions)
    ranked = sorted(((n, pair) for pair, n in pairs.items() if pair[0] != pair[1]), reverse=True)
    return [
        {
            "label": label,
            "predicted": predicted,
            "count": n,
            "share": percent(n / of_label[label]),
        }
        for n, (label, predicted) in ranked[:WORST]
    ]


def _confusion(predictions: Sequence[Data], labels: Sequence[str]) -> dict[str, Any]:
    """Counts with a row for each true label, and their shares of the row."""
    pairs = Counter((str(p["label"]), str(p["predicted"])) for p in predictions)
    counts = [[pairs[label, predicted] for predicted in labels] for label in labels]
    shares = [[n / max(1, sum(row)) for n in row] for row in counts]
    return {"labels": list(labels), "counts": counts, "shares": shares}


def _charts(result: Data, metrics: Sequence[Data], verdict: Overfitting) -> dict[str, Any]:
    """The numbers of the charts over steps; how they look is the template's business."""
    metric, mode = result["metric"], result["mode"]
    train, validated = records(metrics, "train"), records(metrics, "validation")
    scored = [number(row, "validation", metric) for row in validated]
    last = max((int(row["step"]) for row in (*train, *validated)), default=0)
    return {
        "last": last,
        "best": verdict.best_step,
        "set_in": verdict.set_in_step,
        "metric": title(metric)
        if metric != "loss" and any(y is not None for y in scored)
        else None,
        "share": is_share(metric),
        "phases": _spans(result["phases"], last),
        "train": {
            "step": _thin([int(row["step"]) for row in train]),
            "loss": _thin(losses := [finite(row.get("loss")) for row in train]),
            "smooth": _thin(_smooth(losses)),
            "rate": _thin([finite(row.get("learning_rate")) for row in train]),
        },
        "validated": {
            "step": [int(row["step"]) for row in validated],
            "epoch": [row.get("epoch") for row in validated],
            "loss": [number(row, "validation", "loss") for row in validated],
            "train_loss": [number(row, "train", "loss") for row in validated],
            "metric": scored,
            "train_metric": [number(row, "train", metric) for row in validated],
            "gap_loss": [gap(row, "loss", "min") for row in validated],
            "gap_metric": [gap(row, metric, mode) for row in validated],
        },
    }


def _spans(phases: Sequence[Data], last: int) -> list[dict[str, Any]]:
    """Where each phase lies. The last one ends with the metrics: it may not have finished."""
    spans = [(p["from_step"], p["from_step"] + p["steps"], p) for p in phases if p["steps"]]
    return [
        {
            "from": begin,
            "to": last if p is phases[-1] else end,
            "index": p["index"],
            "name": p["name"],
        }
        for begin, end, p in spans
    ]


def _smooth(values: Sequence[float | None]) -> list[float | None]:
    """A running mean over ten steps, or a fortieth of the run if that is more."""
    weight = 2 / (max(10.0, len(values) / 40) + 1)
    mean: float | None = None
    smooth: list[float | None] = []
    for value in values:
        if value is not None:
            mean = value if mean is None else mean + weight * (value - mean)
        smooth.append(mean)
    return smooth


def _thin(values: Sequence[Value]) -> list[Value]:
    """At most MAX_POINTS values, evenly spread, the last one among them."""
    every = -(-len(values) // MAX_POINTS) or 1
    return list(values[::-1][::every][::-1])
