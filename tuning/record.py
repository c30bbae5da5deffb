"""What is kept of a trial: record.json, made of what the run noted (pure)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from unfreeze.jobs.metrics import Mode
from unfreeze.jobs.phases import Phase
from unfreeze.tuning.freezing import Freeze, epochs_since_unfreezing
from unfreeze.tuning.orders import Outcome


def gap(train: float, validation: float, mode: Mode) -> float:
    """How much better the training rows are known than the others; positive: overfitting."""
    return train - validation if mode == "max" else validation - train


def validation_lines(
    metrics: Sequence[Mapping[str, Any]],
    phases: Sequence[Phase],
    steps_per_epoch: int,
) -> list[dict[str, Any]]:
    """The validations of a trial, with the epochs since it was unfrozen."""
    return [
        {
            "step": line["step"],
            "epoch": line["epoch"],
            "phase": line["phase"],
            "since_unfreezing": epochs_since_unfreezing(
                metrics, phases, steps_per_epoch, line["step"]
            ),
            "train": line["train"],
            "validation": line["validation"],
        }
        for line in metrics
        if line["kind"] == "validation"
    ]


def best_of(validations: Sequence[Mapping[str, Any]], metric: str, mode: Mode) -> dict[str, Any]:
    """`best` and `gap` of a trial: at its first best validation; None if there is none."""
    sound = [line for line in validations if math.isfinite(line["validation"][metric])]
    if not sound:
        return {"best": None, "gap": None}
    sign = 1 if mode == "max" else -1
    best = max(sound, key=lambda line: sign * line["validation"][metric])
    train, validation = best["train"][metric], best["validation"][metric]
    return {
        "best": {
            "metric": validation,
            "train_metric": train,
            "step": best["step"],
            "epoch": best["epoch"],
        },
        "gap": gap(train, validation, mode),
    }


def make_record(
    outcome: Outcome,
    validations: Sequence[Mapping[str, Any]],
    *,
    metric: str,
    mode: Mode,
    freeze: Freeze,
    learning_rate: float,
) -> dict[str, Any]:
    """record.json: how the trial ended, what it reached, and what it took."""
    return {
        "state": outcome.state,
        "why": outcome.why,
        **best_of(validations, metric, mode),
        "freeze": asdict(freeze),
        "learning_rate": learning_rate,
        "validations": list(validations),
        **outcome.cost,
    }


def report_line(line: Mapping[str, Any], metric: str, mode: Mode) -> dict[str, Any]:
    """What the searcher and the scheduler get of a validation."""
    train, validation = line["train"][metric], line["validation"][metric]
    return {
        "step": line["step"],
        "epoch": line["epoch"],
        "since_unfreezing": line["since_unfreezing"],
        metric: validation,
        f"train_{metric}": train,
        "gap": gap(train, validation, mode),
    }
