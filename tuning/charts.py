"""The numbers of a search report's charts (pure); how they look is in `report.html.j2`."""

from collections.abc import Mapping, Sequence
from typing import Any

from unfreeze.jobs.page import finite, is_share, rate, title
from unfreeze.tuning.axes import parallel_axes, setting_text
from unfreeze.tuning.grouping import (
    Data,
    best_metric,
    blocks_frozen,
    epochs_frozen,
    grouped,
    range_text,
)

MAX_POINTS = 40_000  # of all curves together
MAX_GRID = 12  # columns or rows of a map with cells: more cannot be labelled
MAX_TEXT = 60  # characters of what is shown on hovering
RAMP: tuple[list[int], ...] = (
    [],
    [4],
    [0, 4],
    [0, 2, 4],
    [0, 1, 3, 4],
    [0, 1, 2, 3, 4],
)  # colours of so many groups


def charts_of(result: Data) -> dict[str, Any]:
    """Everything that the page's script draws. Holds no number that JSON has no word for."""
    trials, mode = result["trials"], result["mode"]
    groups = grouped(trials, epochs_frozen)
    return {
        "metric": title(result["metric"]),
        "share": is_share(result["metric"]),
        "mode": mode,
        "keys": list(result["space"]),
        "trials": _trials(result, groups),
        "groups": [
            {"name": range_text(ends), "colour": colour}
            for (ends, _), colour in zip(groups, RAMP[len(groups)], strict=True)
        ],
        "finalists": _finalists(result),
        "map": _map(trials, mode),
        "axes": parallel_axes(result),
        "budget": _budget(result),
        "picked": picked_rows(result),
    }


def enough_trials(expected_best: Sequence[Data]) -> int | None:
    """The fewest trials whose expected best has 95 % of what all of them gain over one. None if
    there is no gain."""
    values = [finite(point["value"]) for point in expected_best]
    if len(values) < 2 or values[0] is None or values[-1] is None or values[0] == values[-1]:
        return None
    gain = values[-1] - values[0]
    reached = (
        int(point["trials"])
        for point, value in zip(expected_best, values, strict=True)
        if value is not None and (value - values[0]) / gain >= 0.95
    )
    return next(reached, None)


def winner_id(result: Data) -> str | None:
    return (result.get("winner") or {}).get("trial")


def picked_rows(result: Data) -> list[dict[str, Any]]:
    """From the apparent best to the test rows; only what is known."""
    optimism, test = result.get("optimism") or {}, result.get("test") or {}
    rows = [
        ("best trial, as picked", optimism.get("apparent"), None),
        ("corrected for picking", optimism.get("corrected"), optimism.get("interval")),
        *(
            (f"{side} on test rows", found.get("metric"), found.get("interval"))
            for side in ("winner", "default")
            if (found := test.get(side))
        ),
    ]
    return [
        {"name": name, "value": value, "interval": _interval(ends)}
        for name, number, ends in rows
        if (value := finite(number)) is not None
    ]


def _interval(ends: Sequence[Any] | None) -> list[float] | None:
    known = [end for x in ends or () if (end := finite(x)) is not None]
    return known if len(known) == 2 else None


def _short(value: float | None) -> float | None:
    """Six digits: a page may hold the curves of a thousand trials."""
    return None if value is None else float(f"{value:.6g}")


def _trials(result: Data, groups: Sequence[Any]) -> list[dict[str, Any]]:
    group_of = {t["id"]: i for i, (_, members) in enumerate(groups) for t in members}
    most = max(10, MAX_POINTS // max(1, len(result["trials"])))
    return [
        {
            "number": trial["number"],
            "default": bool(trial["is_default"]),
            "winner": trial["id"] == winner_id(result),
            "state": trial["state"],
            "why": setting_text(str(trial["why"]), MAX_TEXT),
            "settings": [
                setting_text(trial["settings"][key], MAX_TEXT) if key in trial["settings"] else None
                for key in result["space"]
            ],
            "best": _short(best_metric(trial)),
            "gap": _short(finite(trial.get("gap"))),
            "epochs": epochs_frozen(trial),
            "depth": blocks_frozen(trial),
            "rate": _short(_rate(trial)),
            "group": group_of.get(trial["id"]),
            "curve": _curve(trial, result["metric"], most),
            "run": int((trial.get("cost") or {}).get("steps_run", 0)),
            "shared": int((trial.get("cost") or {}).get("steps_shared", 0)),
        }
        for trial in result["trials"]
    ]


def _rate(trial: Data) -> float | None:
    """None where a logarithmic axis has no place for it."""
    value = finite(trial.get("learning_rate"))
    return value if value is not None and value > 0 else None


def _curve(trial: Data, metric: str, most: int) -> dict[str, list[float | None]]:
    """The validations; `aligned` counts epochs since unfreezing and is negative before it."""
    lines = trial.get("validations") or []
    every = -(-len(lines) // most) or 1
    lines = lines[::-1][::every][::-1]
    frozen = epochs_frozen(trial) or 0.0

    def aligned(line: Data) -> float | None:
        epoch, since = finite(line.get("epoch")), finite(line.get("since_unfreezing"))
        return since if since or epoch is None else min(0.0, epoch - frozen)

    return {
        "epoch": [_short(finite(line.get("epoch"))) for line in lines],
        "aligned": [_short(aligned(line)) for line in lines],
        "metric": [_short(finite(line["validation"].get(metric))) for line in lines],
    }


def _finalists(result: Data) -> list[dict[str, Any]]:
    return [
        {
            "name": f"trial {f['number']}",
            "mean": mean,
            "se": finite(f.get("se")),
            "interval": _interval(f.get("interval")),
            "seeds": [finite(value) for value in f.get("validation") or ()],
            "winner": bool(f["is_winner"]),
            "default": bool(f["is_default"]),
        }
        for f in result["finalists"]
        if (mean := finite(f.get("mean"))) is not None
    ]


def _map(trials: Sequence[Data], mode: str) -> dict[str, Any]:
    """Freeze length by learning rate, for all depths together and for each.

    Cells if both take few values and most pairs of them were tried; else the trials alone.
    """
    placed = [t for t in trials if epochs_frozen(t) is not None and _rate(t) is not None]
    lengths = sorted({x for t in placed if (x := epochs_frozen(t)) is not None})
    rates = sorted({y for t in placed if (y := _short(_rate(t))) is not None})
    depths = sorted({d for t in placed if (d := blocks_frozen(t)) is not None})
    tried = {(epochs_frozen(t), _short(_rate(t))) for t in placed}
    most = max(len(lengths), len(rates))
    cells = len(placed) >= 4 and most <= MAX_GRID and 2 * len(tried) > len(lengths) * len(rates)
    names = [(None, "all"), *((d, f"{d:g}") for d in depths if len(depths) > 1)]
    return {
        "empty": not placed,
        "cells": cells,
        "lengths": lengths,
        "rates": rates,
        "length_names": [f"{x:.3g}" for x in lengths],
        "rate_names": [rate(y) for y in rates],
        "views": [
            {"depth": depth, "name": name, **_cells(placed, depth, mode, lengths, rates)}
            if cells
            else {"depth": depth, "name": name}
            for depth, name in names
        ],
    }


def _cells(
    placed: Sequence[Data],
    depth: float | None,
    mode: str,
    lengths: Sequence[float],
    rates: Sequence[float],
) -> dict[str, Any]:
    """Metric and gap of the best trial of each cell, rates by lengths; None where there is none."""
    sign = 1 if mode == "max" else -1
    best: dict[tuple[float | None, float | None], Data] = {}
    for trial in placed:
        metric = best_metric(trial)
        if metric is None or depth not in (None, blocks_frozen(trial)):
            continue
        cell = epochs_frozen(trial), _short(_rate(trial))
        before = best_metric(best[cell]) if cell in best else None
        if before is None or sign * (metric - before) > 0:
            best[cell] = trial

    def table(number: Any) -> list[list[float | None]]:
        return [[number(best[x, y]) if (x, y) in best else None for x in lengths] for y in rates]

    return {
        "metric": table(best_metric),
        "gap": table(lambda trial: finite(trial.get("gap"))),
    }


def _budget(result: Data) -> Mapping[str, Any]:
    points = result.get("expected_best") or []
    default = next((t for t in result["trials"] if t["is_default"]), None)
    return {
        "trials": [int(point["trials"]) for point in points],
        "value": [_short(finite(point["value"])) for point in points],
        "enough": enough_trials(points),
        "default": best_metric(default) if default else None,
    }
