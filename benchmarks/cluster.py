# .venv/bin/python benchmarks/cluster.py [--quick] [--only restart|submit]
"""Seconds that unfreeze adds to Ray's own: after a worker was killed, and when a job is submitted.

Needs `make setup`; takes some 12 minutes, --quick 4. Leave the machine alone meanwhile.

A Ray of its own (one node, two CPUs, token, on loopback), two workers, a tiny model on the CPU. The
sides take turns, in an order that changes with each round.

- restart: from SIGKILL of a worker to the next training step that its driver's side sees. `Ray`: a
  TorchTrainer with an empty training function (a barrier and a line in a file for each step;
  cluster_peer.py). `unfreeze`: `unfreeze train`, which also opens the data, the model and the
  engine again, and takes up the newest checkpoint from its store (a folder). Each start of a side
  is killed a few times.
- submit: from the command to the first checkpoint of the job, which follows its first step. `Ray`:
  `ray job submit` of `unfreeze train --address auto` with the code as py_modules and the job's
  files as working_dir. `unfreeze`: `unfreeze submit` of the same job. Each has a name of its own.

`restart_over_ray_s` and `submit_over_ray_s` are the differences of the medians, in seconds.
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from watching import Kinds, NoStep, running, wait_for

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

RAY, OURS = "Ray", "unfreeze"
UNFREEZE = (sys.executable, "-m", "unfreeze.cli.main")
KINDS = {RAY: ("step", "started", "step"), OURS: ("checkpoint", "resumed", "train")}
"""Lines that say that a side is well under way, that it has begun again, and that it trains."""
PACKAGES = ("cli", "cluster", "jobs", "storage", "tuning")


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    restarts: int
    """Starts of each side."""
    kills: int
    """In each start."""
    submits: int


QUICK, FULL = Size(restarts=1, kills=2, submits=2), Size(restarts=3, kills=3, submits=5)

Seconds = dict[str, list[float]]
"""Side -> what was measured."""


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="four minutes, a rough number")
    parser.add_argument("--only", choices=("restart", "submit"))
    options = parser.parse_args()
    size = QUICK if options.quick else FULL
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the processes are ended
    ratios = {}
    try:
        with tempfile.TemporaryDirectory(prefix="unfreeze-cluster-") as name, ray(Path(name)) as at:
            for what, measure in (("restart", measure_restarts), ("submit", measure_submits)):
                if options.only in (None, what):
                    found = measure(Path(name), at, size)
                    ratios[f"{what}_over_ray_s"] = report(what, found)
    except KeyboardInterrupt:
        return 130
    except NoStep as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"ratios": ratios}))
    return 0


def report(what: str, found: Seconds) -> float:
    """Prints median and spread of both sides; by how much ours is longer."""
    print(f"\n{what:10}{'median s':>10} {'(lowest-highest)':>18} {'n':>4}")
    for side, seconds in found.items():
        spread = f"({min(seconds):.1f}-{max(seconds):.1f})"
        print(f"{side:10}{statistics.median(seconds):10.1f} {spread:>18} {len(seconds):4}")
    return round(statistics.median(found[OURS]) - statistics.median(found[RAY]), 2)


@dataclass(frozen=True)
class Cluster:
    """The Ray that both sides use."""

    head: Any
    address: str
    dashboard: str

    def wait_until_free(self) -> None:
        """Until no worker is left of the side before."""
        wait_for(lambda: not self.head.train_workers(), "a worker group stayed")


@contextmanager
def ray(folder: Path) -> Iterator[Cluster]:
    """One node with a token of its own."""
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    os.environ.update(
        RAY_AUTH_MODE="token",
        RAY_AUTH_TOKEN_PATH=str(token),
        UNFREEZE_HOME=str(folder / "home"),
        UNFREEZE_CACHE=str(folder / "cache"),
        HF_HUB_OFFLINE="1",
        OMP_NUM_THREADS="1",
        # Entrypoints of submitted jobs begin with `python`.
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    )
    os.environ.pop("RAY_AUTH_TOKEN", None)
    from ray_cluster import ray_head

    with ray_head(folder, 2) as (head, address):
        yield Cluster(head, address, os.environ["RAY_API_SERVER_ADDRESS"])


def measure_restarts(folder: Path, cluster: Cluster, size: Size) -> Seconds:
    """From each kill to the next step."""
    found: Seconds = {RAY: [], OURS: []}
    for number in range(size.restarts):
        for side in in_turn(number):
            steps = folder / f"restart-{side}-{number}.jsonl"
            if side == RAY:
                command = [sys.executable, str(ROOT / "benchmarks/cluster_peer.py")]
                command += [cluster.address, str(steps), str(folder / f"ray-{number}")]
                out, place = steps.with_suffix(".log"), folder
            else:
                job = endless_job(folder, f"restart-{number}")
                command = [*UNFREEZE, "train", str(job), "--json", "--address", cluster.address]
                out, place = steps, job.parent
            kinds = Kinds(steps)
            with running(command, out, place):
                for _ in range(size.kills):
                    found[side].append(restart_seconds(cluster, side, kinds))
            cluster.wait_until_free()
        print(f"restart: round {number + 1} of {size.restarts} done", flush=True)
    return found


def restart_seconds(cluster: Cluster, side: str, kinds: Kinds) -> float:
    """Kills a worker when the side is well under way; the time to the first step after that."""
    under_way, again, step = KINDS[side]
    seen = len(kinds.so_far()) + 20
    wait_for(lambda: under_way in kinds.so_far()[seen:], f"{side}: nothing to kill")
    worker = cluster.head.train_workers()[-1]
    seen = len(kinds.so_far())
    began = time.monotonic()
    worker.kill()

    def trains_again() -> bool:
        new = kinds.so_far()[seen:]
        return again in new and step in new[new.index(again) :]

    wait_for(trains_again, f"{side}: no step after a worker was killed")
    return time.monotonic() - began


def endless_job(folder: Path, name: str) -> Path:
    return job_file(
        folder,
        name,
        phases=[{"train": "all", "for": "1000000st"}],
        checkpoints={"every": "100st"},
        scale={"workers": 2, "gpus_per_worker": 0, "max_failures": 100},
    )


def measure_submits(folder: Path, cluster: Cluster, size: Size) -> Seconds:
    """From each command to the first checkpoint."""
    found: Seconds = {RAY: [], OURS: []}
    code = copy_of_the_code(folder)
    for number in range(size.submits):
        for side in in_turn(number):
            name = f"submit-{side.lower()}-{number}"
            job = job_file(folder, name, checkpoints={"every": "1st"})
            if side == RAY:
                command = plain_submit(cluster, job, code)
            else:
                command = [*UNFREEZE, "submit", str(job), "--address", cluster.dashboard, "--json"]
            run = folder / "runs" / name
            began = time.monotonic()
            with running(command, folder / f"{name}.log", job.parent):
                wait_for(partial(has, run, "checkpoints/*/manifest.json"), f"{name}: no step")
                found[side].append(time.monotonic() - began)
                wait_for(partial(has, run, "result.json"), f"{name}: no result")
            cluster.wait_until_free()
        print(f"submit: round {number + 1} of {size.submits} done", flush=True)
    return found


def has(run: Path, pattern: str) -> bool:
    return any(run.glob(pattern))


def plain_submit(cluster: Cluster, job: Path, code: Path) -> list[str]:
    """`ray job submit` of `unfreeze train`."""
    environment = {"working_dir": str(job.parent), "py_modules": [str(code)]}
    return [
        *(sys.executable, "-m", "ray.scripts.scripts", "job", "submit"),
        *("--address", cluster.dashboard, "--no-wait"),
        *("--runtime-env-json", json.dumps(environment), "--"),
        *("python", "-m", "unfreeze.cli.main", "train", job.name, "--address", "auto"),
    ]


def copy_of_the_code(folder: Path) -> Path:
    """A folder `unfreeze`, as Ray's py_modules want it."""
    code = folder / "unfreeze"
    for package in PACKAGES:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, code / package, ignore=ignore)
    return code


def job_file(folder: Path, name: str, **changes: Any) -> Path:
    """A job on the tiny model, in a folder of its own with what it reads, to be run from there."""
    import tiny
    import yaml

    place = folder / "jobs" / name
    settings = tiny.settings(place, name=name, storage={"uri": str(folder / "runs")}, **changes)
    inside = json.loads(json.dumps(settings).replace(f"{place}/", ""))
    (place / "job.yaml").write_text(yaml.safe_dump(inside))
    return place / "job.yaml"


def in_turn(number: int) -> list[str]:
    return [RAY, OURS] if number % 2 == 0 else [OURS, RAY]


if __name__ == "__main__":
    sys.exit(main())
