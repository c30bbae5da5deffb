# .venv/bin/python benchmarks/search_scale.py [--trials 1000] [--quick]
"""Many trials of a job that takes no time: does the machinery slow down, or grow?

Everything is real but the job: Ray Tune, the searcher (random), ASHA, the broker, two lanes of one
worker each, and a store (a folder) with a plan and a record for each trial. Prints, for each tenth
of the trials, the time per trial and the memory of the driver, of the broker, of the lanes' workers
and of Tune's trial processes. Takes some minutes; --quick runs 200 trials.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help="200 trials")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="unfreeze-scale-") as folder:
        seen = run(Path(folder), 200 if args.quick else args.trials)
    report(seen)


def run(folder: Path, trials: int) -> list[dict[str, float]]:
    """What was seen each time another tenth of the trials was over."""
    import search_tasks
    import tiny

    from unfreeze.cluster import cluster_resources, connect
    from unfreeze.jobs.inputs import gather_inputs
    from unfreeze.tuning.broker_actor import BrokerHandle
    from unfreeze.tuning.files import root_of
    from unfreeze.tuning.lanes import Lanes, workers_of_lane
    from unfreeze.tuning.proposers import RandomProposer
    from unfreeze.tuning.search_file import parse_search
    from unfreeze.tuning.trials import Forks, Trials

    job = tiny.settings(
        folder, storage={"uri": str(folder / "runs")}, scale={"workers": 1, "gpus_per_worker": 0}
    )
    search = parse_search(
        {
            "name": "scale",
            "job": job,
            "space": {"phases.1.learning_rate": {"loguniform": [1e-6, 1e-3]}},
            "trials": trials,
            "scheduler": {"kind": "asha", "grace": "1ep", "reduction_factor": 2},
        }
    )
    inputs = gather_inputs(search.job)
    root = root_of(search.job)
    with connect():
        from ray import cloudpickle

        from unfreeze.tuning.tune import run_trials

        cloudpickle.register_pickle_by_value(search_tasks)
        broker = BrokerHandle.start(max_failures=3, known_prefixes=[])
        lanes = Lanes(
            broker,
            workers_of_lane(search.job, cluster_resources()),
            wanted=2,
            folder=str(folder / "ray"),
            every_s=60,
            carry_out=search_tasks.in_no_time,
        )
        proposer = RandomProposer(search.space, 0)
        known = Trials(search, Forks(search, inputs), root, proposer, broker)
        look, seen = watcher(known, trials)
        run_trials(
            search,
            known,
            broker,
            ahead=6,
            steps_per_epoch=inputs.steps_per_epoch,
            each_turn=look,
        )
        lanes.end()
    assert len(known.ended) == trials
    return seen


def watcher(trials: Any, total: int) -> tuple[Callable[[], None], list[dict[str, float]]]:
    seen: list[dict[str, float]] = []

    def look() -> None:
        trials.take_news()
        done = len(trials.ended)
        if done >= (len(seen) + 1) * total / 10:
            seen.append({"trials": done, "at": time.monotonic(), **memory_mb()})

    return look, seen


def memory_mb() -> dict[str, float]:
    driver = psutil.Process()
    found = {"driver": driver.memory_info().rss / 1e6, "broker": 0.0, "lanes": 0.0, "tune": 0.0}
    kinds = {"_BrokerActor": "broker", "RayTrainWorker": "lanes", "LaneTrial": "tune"}
    for process in driver.children(recursive=True):
        try:
            name, size = " ".join(process.cmdline()), process.memory_info().rss / 1e6
        except psutil.Error:
            continue
        for sign, kind in kinds.items():
            if sign in name:
                found[kind] += size
    return found


def report(seen: list[dict[str, float]]) -> None:
    columns = ("driver", "broker", "lanes", "tune")
    print(f"{'trials':>7} {'ms each':>8} " + " ".join(f"{name + ' MB':>10}" for name in columns))
    each = []
    for before, after in pairwise(seen):
        each.append((after["at"] - before["at"]) / (after["trials"] - before["trials"]))
        sizes = " ".join(f"{after[name]:10.0f}" for name in columns)
        print(f"{after['trials']:7.0f} {1000 * each[-1]:8.1f} {sizes}")
    growth = {name: round(seen[-1][name] - seen[1][name], 1) for name in columns}
    third = max(1, len(each) // 3)
    slower = (sum(each[-third:]) / third) / (sum(each[:third]) / third)
    ratios = {"time_per_trial_late_vs_early": round(slower, 3)}
    print(json.dumps({"ratios": ratios, "growth_mb": growth}))


if __name__ == "__main__":
    main()
