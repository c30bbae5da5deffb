"""result.json of a search, put together from what trials and finalists left (pure)."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from unfreeze.jobs.estimate import difference, estimate
from unfreeze.jobs.metrics import Floats, Metric, scores_of
from unfreeze.tuning.expected_best import expected_best
from unfreeze.tuning.finalists import Contender, best_seed
from unfreeze.tuning.optimism import optimism
from unfreeze.tuning.search_file import Search
from unfreeze.tuning.selection import Choice
from unfreeze.tuning.trials import Trial


def trial_entries(
    trials: Mapping[str, Trial], records: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """`trials` of result.json, by number."""
    return [
        {
            "id": trial.id,
            "number": trial.number,
            "is_default": trial.is_default,
            "settings": trial.settings,
            **records[trial.id],
        }
        for trial in sorted(trials.values(), key=lambda trial: trial.number)
        if trial.id in records
    ]


def finalist_entries(
    contenders: Sequence[Contender], choice: Choice, mode: str
) -> list[dict[str, Any]]:
    """`finalists` of result.json, the best mean first."""
    sign = -1 if mode == "max" else 1
    return [
        {
            "trial": contender.trial.id,
            "number": contender.trial.number,
            "settings": contender.trial.settings,
            "is_default": contender.trial.is_default,
            "is_winner": contender.trial.id == choice.winner,
            "within_one_se": contender.trial.id in choice.within_one_se,
            "seeds": list(contender.seeds),
            "validation": list(contender.estimate.per_seed),
            "mean": contender.estimate.mean,
            "se": contender.estimate.se,
            "interval": list(contender.estimate.interval),
            "frozen_share": contender.frozen_share,
        }
        for contender in sorted(contenders, key=lambda c: sign * c.estimate.mean)
    ]


def winner_entry(winner: Contender, choice: Choice, search: Search) -> dict[str, Any]:
    """`winner` of result.json."""
    return {
        "trial": winner.trial.id,
        "number": winner.trial.number,
        "settings": winner.trial.settings,
        "seed_of_model": winner.seeds[best_seed(winner, search.mode)],
        "reason": choice.reason,
    }


def test_entry(
    metric: Metric,
    winner: Floats,
    default: Floats | None,
    metrics: Sequence[Metric],
    touches: int,
) -> dict[str, Any]:
    """`test` of result.json. `winner` and `default`: statistics [seeds, rows, k] of the test rows.

    `metrics`: all that the task has. `default` is None if the default failed.
    """
    side = partial(_side, metric, metrics)
    entry: dict[str, Any] = {"rows": winner.shape[1], "touches": touches, "winner": side(winner)}
    if default is None:
        return entry | {"default": None, "difference": None}
    if default is winner:
        return entry | {"default": side(winner), "difference": {"metric": 0.0, "interval": [0, 0]}}
    gain = difference(metric, winner, default, seed=0)
    return entry | {
        "default": side(default),
        "difference": {"metric": gain.mean, "interval": list(gain.interval)},
    }


def general_entry(
    metric: Metric,
    before: Floats,
    winner: Floats,
    default: Floats | None,
    metrics: Sequence[Metric],
) -> dict[str, Any]:
    """`general` of result.json: rows of another kind, which show what was forgotten.

    As in `test_entry`; `before` is of the pretrained model, [rows, k].
    """
    return {
        "rows": len(before),
        "before": _side(metric, metrics, before[None]),
        "winner": _side(metric, metrics, winner),
        "default": None if default is None else _side(metric, metrics, default),
    }


def _side(metric: Metric, metrics: Sequence[Metric], statistics: Floats) -> dict[str, Any]:
    found = estimate(metric, statistics, seed=0)
    every = [scores_of(metrics, part) for part in statistics]
    known = [name for name in every[0] if all(name in scores for scores in every)]
    return {
        "metric": found.mean,
        "interval": list(found.interval),
        "per_seed": list(found.per_seed),
        "scores": {name: float(np.mean([s[name] for s in every])) for name in known},
    }


def optimism_entry(metric: Metric, trials: Iterable[Floats]) -> dict[str, Any]:
    """`optimism` of result.json, from the validation statistics of every finished trial."""
    resamples = 1000
    found = optimism(metric, trials, resamples=resamples, seed=0)
    return {
        "apparent": found.apparent,
        "corrected": found.corrected,
        "optimism": found.optimism,
        "interval": list(found.interval),
        "resamples": resamples,
    }


def expected_best_entry(
    records: Mapping[str, Mapping[str, Any]], search: Search
) -> list[dict[str, Any]]:
    """`expected_best` of result.json, over the trials that were not failures."""
    sound = [r for r in records.values() if r["state"] != "failed" and r["best"]]
    values = [r["best"]["metric"] for r in sound]
    return [
        {"trials": i, "value": value}
        for i, value in enumerate(expected_best(values, search.mode), 1)
    ]


def saved_entry(records: Mapping[str, Mapping[str, Any]], prefixes: int) -> dict[str, Any]:
    """`saved` of result.json: what was not computed again.

    The seconds are what those steps took where they were trained, without their validations.
    """
    costs = [record["cost"] for record in records.values() if record["cost"]]
    run = sum(cost["steps_run"] for cost in costs)
    shared = sum(cost["steps_shared"] for cost in costs)
    seconds = sum(cost["seconds_shared"] for cost in costs)
    return {
        "steps_run": run,
        "steps_shared": shared,
        "share": shared / (run + shared) if run + shared else 0.0,
        "seconds": seconds,
        "prefixes": prefixes,
    }
