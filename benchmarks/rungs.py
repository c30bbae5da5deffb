# .venv/bin/python benchmarks/rungs.py RESULT.json [--orders 2000]
"""Do rungs at equal epochs drop good long freezes? ASHA is replayed on curves that ran to the end.

RESULT.json is that of a search without scheduler (`benchmarks/search.py --keep FOLDER` leaves one).
Ray Tune's own ASHAScheduler decides, once with rungs that count epochs, once with rungs that count
epochs since unfreezing; two lanes, every trial's curve as it was measured, in many random orders.
A trial takes as long as its epochs; a prefix that was computed costs nothing again.

Printed for each: how often the best trial ran to its end, the mean metric of the best that did, the
share of trials of each freeze length that did, and the epochs that were trained.
"""

import argparse
import heapq
import json
import random
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GRACE, FACTOR = 0.5, 3


@dataclass
class Curve:
    """A trial that ran to its end."""

    trial_id: str
    freeze: float
    lines: list[dict[str, Any]]
    metric: float
    """Its best."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", type=Path)
    parser.add_argument("--orders", type=int, default=2000)
    args = parser.parse_args()
    result = json.loads(args.result.read_text())
    curves = curves_of(result)
    print(f"{len(curves)} trials, {args.orders} orders, metric {result['metric']}")
    ratios = {}
    for time_attr in ("epoch", "since_unfreezing"):
        found = [replay(curves, result, time_attr, random.Random(i)) for i in range(args.orders)]
        ratios[f"best_survives_{time_attr}"] = describe(time_attr, curves, found)
    print(json.dumps({"ratios": ratios}))


def curves_of(result: dict[str, Any]) -> list[Curve]:
    return [
        Curve(entry["id"], entry["freeze"]["epochs"], entry["validations"], entry["best"]["metric"])
        for entry in result["trials"]
        if entry["state"] == "finished"
    ]


def replay(
    curves: list[Curve], result: dict[str, Any], time_attr: str, draw: random.Random
) -> tuple[set[str], float]:
    """The trials that ran to their end, and the epochs that were trained."""
    from ray.tune.schedulers import ASHAScheduler, TrialScheduler

    metric = result["metric"]
    longest = max(curve.lines[-1][time_attr] for curve in curves)
    asha: Any = ASHAScheduler(
        time_attr=time_attr,
        metric=metric,
        mode=result["mode"],
        grace_period=GRACE,
        max_t=longest,
        reduction_factor=FACTOR,
        stop_last_trials=False,
    )
    waiting = draw.sample(curves, len(curves))
    running: list[tuple[float, int, Curve, int]] = []
    finished, epochs, known = set(), 0.0, 0.0
    clock, count = 0.0, 0
    while waiting or running:
        while waiting and len(running) < 2:
            curve = waiting.pop(0)
            asha.on_trial_add(None, curve)
            count += 1
            heapq.heappush(running, (clock + curve.lines[0]["epoch"], count, curve, 0))
        clock, number, curve, i = heapq.heappop(running)
        line = curve.lines[i]
        before = curve.lines[i - 1]["epoch"] if i else 0.0
        # What is frozen is shared: it is trained once, by whoever comes first.
        head = min(line["epoch"], curve.freeze)
        epochs += max(0.0, head - max(before, known)) + max(0.0, line["epoch"] - max(before, head))
        known = max(known, head)
        values = {metric: line["validation"][metric], time_attr: line[time_attr]}
        if asha.on_trial_result(None, curve, values) == TrialScheduler.STOP:
            continue
        if i + 1 == len(curve.lines):
            finished.add(curve.trial_id)
        else:
            until = clock + curve.lines[i + 1]["epoch"] - line["epoch"]
            heapq.heappush(running, (until, number, curve, i + 1))
    return finished, epochs


def describe(time_attr: str, curves: list[Curve], found: list[tuple[set[str], float]]) -> float:
    best = max(curves, key=lambda curve: curve.metric)
    survives = statistics.mean(best.trial_id in finished for finished, _ in found)
    reached = statistics.mean(
        max((c.metric for c in curves if c.trial_id in finished), default=0.0)
        for finished, _ in found
    )
    print(f"\nrungs count {time_attr}")
    name = f"{best.metric:.4f}, freeze {best.freeze:g}"
    print(f"  the best trial ({name}) ran to its end: {survives:.1%}")
    print(f"  mean of the best that ran to its end: {reached:.4f}")
    for length in sorted({curve.freeze for curve in curves}):
        group = [curve.trial_id for curve in curves if curve.freeze == length]
        share = statistics.mean(id in finished for finished, _ in found for id in group)
        print(f"  freeze {length:g}: {share:.1%} of {len(group)} trials ran to their end")
    print(f"  epochs trained: {statistics.mean(epochs for _, epochs in found):.1f}")
    return round(survives, 3)


if __name__ == "__main__":
    main()
