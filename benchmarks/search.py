# .venv/bin/python benchmarks/search.py [--quick]
"""The same 36 trials four ways: CPU seconds of all processes, Ray's own included, and wall time.

Needs `make setup` and `python examples/fetch_demo.py`; takes some 45 minutes on two cores, --quick
(one learning rate instead of four) 12. Leave the machine alone meanwhile.

all-MiniLM-L6-v2 on real movie reviews (320 to train on, 96 to validate, 1 worker per trial, two
trials at a time, one thread each): freeze depth {0, 3, 5} x freeze length {0, 1, 2 epochs} x 4
learning rates, then one epoch (--epochs: more) with the rest unfrozen, validated every half epoch.

- ray: the pattern of Ray's documentation, a TorchTrainer for each trial inside Tune. What a worker
  does in a trial is the same code that the lanes run.
- unshared: `unfreeze search` with `sharing: off`.
- unfreeze: `unfreeze search`.
- asha: `unfreeze search` with `scheduler: asha`, grace half an epoch, reduction factor 3.

Each side is a process of its own that starts its own Ray, one after the other. Finalists are left
out on all sides: `finalists: {top: 1, seeds: 1}` and no test rows is the least that a search can
do, and its time counts. The metrics of the first three must be equal (checked: 2e-6 relative).
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / ".cache" / "demo"
SIDES = ("ray", "unshared", "unfreeze", "asha")
TOLERANCE = 2e-6
MARKER = "UNFREEZE_BENCHMARK_SIDE"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one learning rate")
    parser.add_argument("--epochs", type=int, default=1, help="after unfreezing")
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=SIDES)
    parser.add_argument("--keep", type=Path, help="folder for the results of the searches")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        run_side(args.side, args.folder, quick=args.quick, epochs=args.epochs)
        return
    with tempfile.TemporaryDirectory(prefix="unfreeze-search-") as folder:
        write_rows(Path(folder))
        found = {side: measure(side, Path(folder), options(args)) for side in args.sides}
        if args.keep:
            args.keep.mkdir(parents=True, exist_ok=True)
            for side in set(args.sides) - {"ray"}:
                result = Path(folder, side, "bench", "result.json").read_text()
                (args.keep / f"{side}.json").write_text(result)
    report(found)


def options(args: argparse.Namespace) -> list[str]:
    """What a side must be told."""
    return ["--epochs", str(args.epochs), *(["--quick"] if args.quick else [])]


def measure(side: str, folder: Path, options: list[str]) -> dict[str, Any]:
    """CPU seconds, wall seconds, and the metric of each trial."""
    command = [sys.executable, __file__, "--side", side, "--folder", str(folder), *options]
    environment = {**os.environ, MARKER: f"{side}-{os.getpid()}", "OMP_NUM_THREADS": "1"}
    began = time.monotonic()
    log = (folder / f"{side}.log").open("w")
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    meter = CpuMeter(environment[MARKER])
    code = process.wait()
    wall = time.monotonic() - began
    cpu = meter.stop()
    if code:
        sys.exit(f"{side}: exit code {code}\n{(folder / f'{side}.log').read_text()[-4000:]}")
    metrics = json.loads((folder / f"{side}.json").read_text())
    print(
        f"{side:9} CPU {cpu:7.0f} s, wall {wall:6.0f} s, {len(metrics['trials'])} trials",
        flush=True,
    )
    return {"cpu": cpu, "wall": wall, **metrics}


class CpuMeter:
    """Adds up the CPU time of all processes with the marker, those that end meanwhile too."""

    def __init__(self, marker: str) -> None:
        self._marker, self._seen, self._others = marker, {}, set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> float:
        self._over.set()
        self._thread.join()
        return sum(self._seen.values())

    def _watch(self) -> None:
        while not self._over.wait(0.25):
            for process in psutil.process_iter():
                try:
                    self._look_at(process)
                except psutil.Error:
                    continue

    def _look_at(self, process: psutil.Process) -> None:
        key = (process.pid, process.create_time())
        if key in self._others:
            return
        if key not in self._seen and process.environ().get(MARKER) != self._marker:
            if time.time() - key[1] > 2:  # a young one may still be its parent's copy
                self._others.add(key)
            return
        times = process.cpu_times()
        self._seen[key] = times.user + times.system


def report(found: dict[str, dict[str, Any]]) -> None:
    print(f"\n{'':9} {'CPU s':>8} {'wall s':>8} {'per trial':>10}  best")
    for side, numbers in found.items():
        trials = numbers["trials"]
        best = max(trials, key=lambda name: trials[name]["accuracy"])
        each = numbers["cpu"] / len(trials)
        print(
            f"{side:9} {numbers['cpu']:8.0f} {numbers['wall']:8.0f} {each:9.1f}s  "
            f"{trials[best]['accuracy']:.4f} {best}"
        )
    ratios = {}
    if "ray" in found:
        for side, suffix in (("unshared", "_unshared"), ("unfreeze", ""), ("asha", "_with_asha")):
            if side in found:
                for what in ("cpu", "wall"):
                    ratio = found["ray"][what] / found[side][what]
                    ratios[f"{what}_vs_ray_pattern{suffix}"] = round(ratio, 3)
    check_equal(found)
    print(json.dumps({"ratios": ratios}))


def check_equal(found: dict[str, dict[str, Any]]) -> None:
    same = [found[side]["trials"] for side in ("ray", "unshared", "unfreeze") if side in found]
    worst = 0.0
    for other in same[1:]:
        assert other.keys() == same[0].keys(), "the sides ran other trials"
        for name, scores in other.items():
            for mine, theirs in zip(scores["losses"], same[0][name]["losses"], strict=True):
                worst = max(worst, abs(mine - theirs) / abs(theirs))
    print(f"largest difference of a validation loss between sides: {worst:.1e} (relative)")
    assert worst <= TOLERANCE, "the sides did not do the same work"


def write_rows(folder: Path) -> None:
    lines = (DEMO / "reviews" / "train.jsonl").read_text().splitlines()
    lines = random.Random(0).sample(lines, 416)
    (folder / "train.jsonl").write_text("\n".join(lines[:320]) + "\n")
    (folder / "validation.jsonl").write_text("\n".join(lines[320:]) + "\n")


def search_settings(folder: Path, *, quick: bool, epochs: int, **changes: Any) -> dict[str, Any]:
    rates = [5e-5] if quick else [2e-5, 5e-5, 1e-4, 2e-4]
    return {
        "name": "bench",
        "job": {
            "model": str(DEMO / "all-MiniLM-L6-v2"),
            "task": "text-classification",
            "data": {
                "train": str(folder / "train.jsonl"),
                "validation": str(folder / "validation.jsonl"),
                "max_length": 128,
            },
            "phases": [
                {"train": "head", "for": "1ep", "learning_rate": 2e-3},
                {"train": "all", "for": f"{epochs}ep", "learning_rate": 5e-5},
            ],
            "training": {"precision": "fp32", "validate_every": "0.5ep"},
            "scale": {"workers": 1, "gpus_per_worker": 0},
        },
        "space": {
            "phases.0.for": {"choice": ["0ep", "1ep", "2ep"]},
            "phases.1.train": {"choice": ["all", "last:3", "last:1"]},
            "phases.1.learning_rate": {"choice": rates},
        },
        "searcher": "grid",
        "scheduler": "none",
        "lanes": 2,
        "finalists": {"top": 1, "seeds": 1},
        **changes,
    }


def run_side(side: str, folder: Path, *, quick: bool, epochs: int) -> None:
    place = folder / side
    place.mkdir()
    changes: dict[str, Any] = {
        "ray": {},
        "unshared": {"sharing": False},
        "unfreeze": {},
        "asha": {"scheduler": {"kind": "asha", "grace": "0.5ep", "reduction_factor": 3}},
    }[side]
    settings = search_settings(folder, quick=quick, epochs=epochs, **changes)
    settings["job"]["storage"] = {"uri": str(place)}
    trials = run_ray_pattern(settings) if side == "ray" else run_unfreeze(settings)
    (folder / f"{side}.json").write_text(json.dumps({"trials": trials}))


def run_unfreeze(settings: dict[str, Any]) -> dict[str, Any]:
    from unfreeze.tuning import run_search
    from unfreeze.tuning.search_file import parse_search

    result = run_search(parse_search(settings)).data
    return {
        name_of(entry["settings"]): {
            "accuracy": entry["best"]["metric"],
            "losses": [line["validation"]["loss"] for line in entry["validations"]],
        }
        for entry in result["trials"]
    }


def name_of(settings: dict[str, Any]) -> str:
    return " ".join(f"{key.removeprefix('phases.')}={settings[key]}" for key in sorted(settings))


def run_ray_pattern(settings: dict[str, Any]) -> dict[str, Any]:
    """Ray's documentation: a function trainable that builds a TorchTrainer and calls fit()."""
    from unfreeze.cluster import connect
    from unfreeze.tuning.search_file import parse_search
    from unfreeze.tuning.space import with_settings

    search = parse_search(settings)
    points = list(search.space.grid())
    with connect():
        from ray import tune

        storage = search.job.storage.uri
        jobs = {
            name_of(point): with_settings(search.job, point).model_copy(
                update={"name": f"trial-{i}"}
            )
            for i, point in enumerate(points)
        }
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(ray_trial, jobs=jobs), {"memory": 1}),
            param_space={"name": tune.grid_search(list(jobs))},
            tune_config=tune.TuneConfig(max_concurrent_trials=2),
            run_config=tune.RunConfig(
                name="ray",
                storage_path=storage,
                verbose=0,
            ),
        )
        results = tuner.fit()
        assert not results.errors, results.errors
    return {name: scores_of(Path(storage) / job.name) for name, job in jobs.items()}


def ray_trial(config: dict[str, Any], jobs: dict[str, Any]) -> None:
    import ray.tune
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    job = jobs[config["name"]]
    TorchTrainer(
        ray_worker,
        train_loop_config={"job": job},
        scaling_config=ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1}),
        run_config=RunConfig(
            name=f"train-{ray.tune.get_context().get_trial_id()}",
            storage_path=job.storage.uri,
            callbacks=[TuneReportCallback()],
        ),
    ).fit()


def ray_worker(config: dict[str, Any]) -> None:
    """What a lane does in a trial, without lanes, prefixes, or a checkpoint."""
    import ray.train
    import torch

    from unfreeze.jobs.checkpointing import BackgroundWriter
    from unfreeze.jobs.companion import Signals
    from unfreeze.jobs.inputs import gather_inputs
    from unfreeze.jobs.progress import Progress
    from unfreeze.jobs.worker import open_run, train_to_the_end
    from unfreeze.storage import open_store

    torch.set_num_threads(1)
    job = config["job"]

    class NoCheckpoints:
        keeps_last = False

        def signals(self, *, is_best: bool, is_due: bool) -> Signals:
            return Signals(stop=False, checkpoint=False)

        def forks_at(self, progress: Progress) -> list[Any]:
            return []

    def tell(kind: str, **fields: Any) -> None:
        if kind == "validation":
            ray.train.report(fields["validation"])

    store = open_store(job.storage.uri).under(job.name)
    run = open_run(gather_inputs(job), tell, store, BackgroundWriter(), NoCheckpoints())
    train_to_the_end(run, Progress())
    store.put("metrics.jsonl", run.metrics_bytes())


def scores_of(place: Path) -> dict[str, Any]:
    lines = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
    scored = [line["validation"] for line in lines if line["kind"] == "validation"]
    return {
        "accuracy": max(scores["accuracy"] for scores in scored),
        "losses": [scores["loss"] for scores in scored],
    }


if __name__ == "__main__":
    main()
