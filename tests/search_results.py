"""Results of searches that never ran, as result.json has them: for the report and the verdict."""

import math
import random
from typing import Any

from unfreeze.tuning.expected_best import expected_best

Data = dict[str, Any]

LENGTHS = ("0ep", "1ep", "2ep")
RATES = (1e-5, 3e-5, 1e-4, 3e-4)
DEPTHS = {"all": 0, "last:3": 4, "last:1": 6}
SPACE: Data = {
    "phases.0.for": {"choice": list(LENGTHS)},
    "phases.1.learning_rate": {"choice": list(RATES)},
    "phases.1.train": {"choice": list(DEPTHS)},
}
STEPS_PER_EPOCH = 40
EPOCHS_AFTER = 4  # epochs after unfreezing


def a_result(**changes: Any) -> Data:
    """A search of 36 trials: every depth, length and rate. The default, trial 0, is one of them."""
    settings: list[Data] = [
        {"phases.0.for": length, "phases.1.learning_rate": rate, "phases.1.train": depth}
        for depth in DEPTHS
        for length in LENGTHS
        for rate in RATES
    ]
    settings.insert(0, settings.pop(5))
    draw = random.Random(7)
    trials = [a_trial(n, one, draw=draw) for n, one in enumerate(settings)]
    stop_the_worse_half(trials)
    fail(trials[23], "the loss is nan at step 57")
    return a_result_of(trials, **changes)


def a_result_of(trials: list[Data], **changes: Any) -> Data:
    """What follows from the trials: finalists, winner, test and the rest."""
    mode = changes.get("mode", "max")
    finished = [t for t in trials if t["state"] == "finished" and t["best"]]
    finished.sort(key=lambda t: -t["best"]["metric"] if mode == "max" else t["best"]["metric"])
    top = finished[:3] + [t for t in finished[3:] if t["is_default"]]
    finalists = [a_finalist(trial) for trial in top]
    winner = max(finalists[:2], key=lambda f: f["frozen_share"], default=None)
    for finalist in finalists:
        finalist["is_winner"] = finalist is winner
        finalist["within_one_se"] = finalist in finalists[:2]
    apparent = finished[0]["best"]["metric"] if finished else 0.8
    best = [t["best"]["metric"] for t in trials if t["best"]]
    run = sum(t["cost"]["steps_run"] for t in trials if t["cost"])
    shared = sum(t["cost"]["steps_shared"] for t in trials if t["cost"])
    return {
        "name": "reviews-search",
        "kind": "search",
        "status": "finished",
        "metric": "accuracy",
        "mode": "max",
        "space": SPACE,
        "searcher": "grid",
        "scheduler": "asha",
        "sharing": True,
        "trials": trials,
        "finalists": finalists,
        "winner": {
            **{key: winner[key] for key in ("trial", "number", "settings")},
            "seed_of_model": 2,
            "reason": "It is the most frozen within one standard error of the best.",
        }
        if winner
        else None,
        "test": a_test(0.829, 0.811, (0.004, 0.033)),
        "optimism": {
            "apparent": apparent,
            "corrected": apparent - 0.012 if mode == "max" else apparent + 0.012,
            "optimism": 0.012,
            "interval": [apparent - 0.04, apparent + 0.036],
            "resamples": 1000,
        },
        "expected_best": [
            {"trials": k, "value": value} for k, value in enumerate(expected_best(best, mode), 1)
        ],
        "saved": {
            "steps_run": run,
            "steps_shared": shared,
            "share": shared / (run + shared) if run + shared else 0.0,
            "seconds": shared * 0.11,
            "prefixes": 4,
        },
        "lanes": {"count": 2, "workers": 1, "restarts": 0},
        "seconds": 754.2,
        "rows": {"train": 1280, "validation": 424, "test": 1061},
        "job": {"name": "reviews-search", "model": {"path": "mini-lm"}},
        "versions": {"torch": "2.13.0", "ray": "2.60.0"},
        "verdict": ["The winner is better than the default.", "A longer freeze helped."],
        **changes,
    }


def a_trial(number: int, settings: Data, *, draw: random.Random | None = None) -> Data:
    """A trial that ran its length. Long freezes overfit less; 1e-4 is the best rate."""
    draw = draw or random.Random(number)
    length = float(str(settings.get("phases.0.for", "1ep")).removesuffix("ep"))
    rate = settings.get("phases.1.learning_rate", 5e-5)
    depth = DEPTHS.get(settings.get("phases.1.train", "all"), 0)
    shared = int(length * STEPS_PER_EPOCH) if number % 4 else 0
    validations = _validations(length, rate, depth, draw)
    trial = {
        "id": f"{number:08x}",
        "number": number,
        "is_default": number == 0,
        "settings": settings,
        "state": "finished",
        "why": "ran its length",
        "freeze": {
            "epochs": length,
            "depth": depth,
            "share": (length + EPOCHS_AFTER * depth / 8) / (length + EPOCHS_AFTER),
        },
        "learning_rate": rate,
        "validations": validations,
        "cost": {
            "seconds": 4.0 + 3 * len(validations),
            "start_up_s": 0.8,
            "steps_run": len(validations) * STEPS_PER_EPOCH - shared,
            "steps_shared": shared,
            "attempts": 1,
        },
        "shared": {"from_step": shared} if shared else None,
        "lane": number % 2,
    }
    note_best(trial)
    return trial


def _validations(length: float, rate: float, depth: int, draw: random.Random) -> list[Data]:
    lines = []
    fit = math.exp(-((math.log10(rate / 1e-4)) ** 2))
    luck = draw.gauss(0, 0.006)
    for epoch in range(1, int(length) + EPOCHS_AFTER + 1):
        since = max(0.0, epoch - length)
        head = 0.72 + 0.012 * min(epoch, length)
        learned = fit * 0.11 * (1 - math.exp(-since)) * (1 - 0.05 * depth)
        lost = 0.011 * max(0.0, since - 2) * (2.4 - 0.7 * length) * fit * (1 - depth / 9)
        validation = head + learned - lost + luck + draw.gauss(0, 0.004)
        train = min(0.995, head + 0.01 + learned + 0.035 * since * fit * (1 - depth / 12))
        lines.append(
            {
                "step": epoch * STEPS_PER_EPOCH,
                "epoch": float(epoch),
                "phase": int(epoch > length),
                "since_unfreezing": since,
                "train": {"loss": 1.2 - train, "accuracy": train, "f1": train},
                "validation": {"loss": 1.2 - validation, "accuracy": validation, "f1": validation},
            }
        )
    return lines


def note_best(trial: Data, metric: str = "accuracy", mode: str = "max") -> None:
    """`best` and `gap` from the validations."""
    lines = [v for v in trial["validations"] if not math.isnan(v["validation"][metric])]
    trial["best"], trial["gap"] = None, None
    if lines:
        sign = 1 if mode == "max" else -1
        best = max(lines, key=lambda line: sign * line["validation"][metric])
        train, validation = best["train"][metric], best["validation"][metric]
        where = {"step": best["step"], "epoch": best["epoch"]}
        trial["best"] = {"metric": validation, "train_metric": train, **where}
        trial["gap"] = sign * (train - validation)


def stop_the_worse_half(trials: list[Data]) -> None:
    """At one epoch after unfreezing, as ASHA does; the default runs to its end."""
    ranked = sorted(trials, key=lambda trial: trial["best"]["metric"])
    for trial in ranked[: len(trials) // 2]:
        if not trial["is_default"]:
            kept = [v for v in trial["validations"] if v["since_unfreezing"] <= 1]
            trial |= {"state": "stopped", "why": "stopped by the scheduler", "validations": kept}
            trial["cost"]["steps_run"] = kept[-1]["step"] - trial["cost"]["steps_shared"]
            note_best(trial)


def fail(trial: Data, why: str, *, at_once: bool = False) -> None:
    """Leaves no metric; `at_once`: as a trial whose settings no job can have, with no run."""
    trial |= {"state": "failed", "why": why, "best": None, "gap": None, "validations": []}
    trial["shared"] = None
    if at_once:
        trial["cost"] = None
        for key in ("freeze", "learning_rate", "lane"):
            trial.pop(key, None)


def a_finalist(trial: Data) -> Data:
    mean, se = trial["best"]["metric"] - 0.008, 0.009
    return {
        "trial": trial["id"],
        "number": trial["number"],
        "settings": trial["settings"],
        "is_default": trial["is_default"],
        "is_winner": False,
        "within_one_se": False,
        "seeds": [1, 2, 3],
        "validation": [mean - 0.007, mean, mean + 0.007],
        "mean": mean,
        "se": se,
        "interval": [mean - 2.2 * se, mean + 2 * se],
        "frozen_share": trial["freeze"]["share"],
    }


def a_test(winner: float, default: float, interval: tuple[float, float]) -> Data:
    def side(metric: float) -> Data:
        return {
            "metric": metric,
            "interval": [metric - 0.021, metric + 0.02],
            "per_seed": [metric - 0.004, metric, metric + 0.004],
            "scores": {"accuracy": metric, "loss": 1.2 - metric, "f1": metric - 0.01},
        }

    return {
        "rows": 1061,
        "touches": 1,
        "winner": side(winner),
        "default": side(default),
        "difference": {"metric": winner - default, "interval": list(interval)},
    }


def of_loss(result: Data) -> Data:
    """The same trials judged by their loss, of which less is better."""
    trials = result["trials"]
    for trial in trials:
        note_best(trial, "loss", "min")
    test = {**a_test(0.371, 0.389, (-0.033, -0.004))}
    return a_result_of(trials, metric="loss", mode="min", test=test)


def many_trials(count: int = 1000) -> Data:
    """Drawn at random, as `loguniform` does it."""
    draw = random.Random(3)
    space = {
        "phases.0.for": {"uniform": [0.0, 3.0], "unit": "ep"},
        "phases.1.learning_rate": {"loguniform": [1e-5, 1e-3]},
        "phases.1.train": {"choice": list(DEPTHS)},
        "training.weight_decay": {"uniform": [0.0, 0.1]},
        "training.batch_size": {"choice": [16, 32, 64]},
        "training.warmup": {"uniform": [0.0, 0.2], "when": {"phases.1.train": ["all"]}},
    }
    trials = []
    for number in range(count):
        depth = draw.choice(list(DEPTHS))
        settings = {
            "phases.0.for": f"{round(draw.uniform(0, 3), 2):g}ep",
            "phases.1.learning_rate": 10 ** draw.uniform(-5, -3),
            "phases.1.train": depth,
            "training.weight_decay": draw.uniform(0, 0.1),
            "training.batch_size": draw.choice([16, 32, 64]),
            **({"training.warmup": draw.uniform(0, 0.2)} if depth == "all" else {}),
        }
        trials.append(a_trial(number, settings, draw=draw))
    stop_the_worse_half(trials)
    return a_result_of(trials, space=space, searcher="random")
