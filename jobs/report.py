"""The report page of a job: one HTML file that needs no network.

Pure: the same result gives the same page, byte for byte. This file decides what is shown; how it
looks, charts included, is in `report.html.j2`.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from unfreeze.jobs.job_file import parse_job
from unfreeze.jobs.metrics import TRAITS
from unfreeze.jobs.page import (
    finite,
    is_share,
    percent,
    render,
    score,
    title,
)
from unfreeze.jobs.tasks import open_task
from unfreeze.jobs.tasks.task import Matrix, Section, Table, Texts
from unfreeze.jobs.verdict import Overfitting, gap, number, overfitting, records

Data = Mapping[str, Any]
Value = TypeVar("Value")

MAX_POINTS = 1500  # per line: more cannot be seen at 1,100 px


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
    task = open_task(parse_job(result["job"]).task, result["learned"])
    shown = [*_before_and_after(result), *task.sections(predictions, judged), *_attempts(result)]
    sections = [_section(section) for section in shown]
    charts = _charts(result, metrics, verdict)
    of_rows = {metric.name for metric in task.metrics if metric.column is not None}
    return render(
        Path(__file__).with_name("report.html.j2"),
        result=result,
        metric=metric,
        judged=judged,
        units=result.get("unit_name", "rows"),
        headline=_headline(result, predictions, judged, of_rows),
        verdict=verdict,
        charts=charts,
        sections=sections,
        settings=yaml.safe_dump(dict(result["job"]), sort_keys=False, allow_unicode=True),
        numbers={
            "charts": charts,
            "matrices": [s["body"] for s in sections if s["kind"] == "matrix"],
        },
    )


def wilson(share: float, rows: int) -> tuple[float, float]:
    """The 95 % interval of a share of `rows`; honest for few rows and near 0 and 1."""
    z = 1.959964
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z * math.sqrt(share * (1 - share) / rows + (z / (2 * rows)) ** 2) / (1 + z * z / rows)
    return max(0.0, middle - half), min(1.0, middle + half)


# Parts of the page


def _headline(
    result: Data, predictions: Sequence[Data], judged: str, of_rows: Collection[str]
) -> dict[str, Any]:
    """`of_rows`: metrics that are means over the rows, whose intervals follow from their number."""
    metric = result["metric"]
    split = judged if result.get(judged) else "validation"
    scores = result.get(split) or {}
    rows = int(scores.get("rows") or len(predictions))
    accuracy = scores.get("accuracy") if "accuracy" in of_rows else None
    guesses = Counter(p["label"] for p in predictions if isinstance(p.get("label"), str))
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


def _before_and_after(result: Data) -> list[Section]:
    """What training changed, on rows of the same kind and of another."""
    before = result.get("before")
    if not before:
        return []
    rows = [
        (
            split,
            title(name),
            score(value, name),
            score((result.get(split) or {}).get(name), name),
        )
        for split, scores in before.items()
        for name, value in scores.items()
        if name in TRAITS
    ]
    note = "The pretrained model, and the best checkpoint."
    if "general" in before:
        note += (
            " The general rows are of another kind: where they got worse, something is forgotten."
        )
    columns = ("rows", "metric", "before", "after")
    return [Section("Before and after", note, Table(columns, rows))]


def _attempts(result: Data) -> list[Section]:
    """Where workers were started again, if they were."""
    attempts = result.get("attempts") or []
    if len(attempts) < 2:
        return []
    rows = [
        (attempt["workers"], attempt["from_step"], attempt["to_step"], attempt["ended"])
        for attempt in attempts
    ]
    note = "Each start of the workers, and how it ended."
    return [Section("Attempts", note, Table(("workers", "from step", "to step", "ended"), rows))]


def _section(section: Section) -> dict[str, Any]:
    """A section with its kind of body by name; the shade of a matrix is the share of its row."""
    body = section.body
    found: dict[str, Any] = {"title": section.title, "note": section.note, "kind": "words"}
    if isinstance(body, Matrix):
        shares = [[n / max(1, sum(row)) for n in row] for row in body.counts]
        matrix = {"labels": list(body.labels), "counts": body.counts, "shares": shares}
        return found | {"kind": "matrix", "body": matrix}
    if isinstance(body, Table):
        return found | {"kind": "table", "columns": body.columns, "body": body.rows}
    if isinstance(body, Texts):
        return found | {"kind": "texts", "body": body.items}
    return found


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
