"""Jobs that are sent to a real Ray by its Jobs API, with a token, and lose what they run in."""

import importlib.metadata
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import searches
import tiny
import worker_tasks
import yaml
from ray_cluster import Node
from worker_pool import WorkerPool

from unfreeze.cluster.submission.jobs_api import JobsApi
from unfreeze.cluster.submission.request import Submitted
from unfreeze.storage import CheckpointStore, ObjectStore, embedded, open_store

pytestmark = [pytest.mark.slow, pytest.mark.chaos]

PATIENCE_S = 280  # a machine that does other things takes ten times as long

PHASES = [
    {"train": "head", "for": "300st", "learning_rate": 1e-2},
    {"train": "all", "for": "150st", "learning_rate": 1e-3},
]
CHANGES: dict[str, Any] = {"phases": PHASES, "checkpoints": {"every": "20st"}}


class Cluster:
    """A Ray of this file, and an S3 server that it reaches."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports = free_ports(2)
        self.dashboard = f"http://127.0.0.1:{self._ports[1]}"
        self.api = JobsApi(self.dashboard)

    def start(self) -> None:
        """A head, at the address of the one before it."""
        port, dashboard = self._ports
        self.address = f"127.0.0.1:{port}"
        self.head = Node(
            self.folder,
            *("--head", f"--port={port}", "--num-cpus=2"),
            *(f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1"),
        )
        wait_until(lambda: listens(port) and listens(dashboard))

    def job(self, inputs: Path, name: str, **changes: Any) -> Path:
        """A job file; its run goes to the S3 server."""
        storage = {"uri": "s3://submitted", "endpoint": "embedded"}
        settings = tiny.settings(inputs, name=name, storage=storage, **(CHANGES | changes))
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(settings))
        return file

    def search(self, inputs: Path, name: str, **changes: Any) -> Path:
        """The same for a search."""
        settings = searches.settings(inputs, "s3://submitted", name=name, **changes)
        settings["job"]["storage"]["endpoint"] = "embedded"
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(settings))
        return file

    def unfreeze(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "unfreeze.cli.main", *arguments]
        if arguments[0] in ("submit", "jobs"):
            command += ["--address", self.dashboard]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder
        )

    def done(self, *arguments: str, exit_code: int = 0) -> str:
        """What a command that ends by itself says on stdout."""
        out, errors = (running := self.unfreeze(*arguments)).communicate(timeout=PATIENCE_S)
        assert running.returncode == exit_code, out + errors
        assert "Traceback" not in errors
        return out

    def store(self, name: str) -> ObjectStore:
        return open_store("s3://submitted", endpoint="embedded").under(name)

    def checkpoints(self, name: str) -> CheckpointStore:
        return CheckpointStore(self.store(name))

    def newest_step(self, name: str) -> int:
        """Of the checkpoints; -1 if there are none."""
        return max((info.step for info in self.checkpoints(name).list()), default=-1)

    def metrics(self, name: str) -> list[dict[str, Any]]:
        lines = self.store(name).get("metrics.jsonl").splitlines()
        return [json.loads(line) for line in lines]

    def result(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.store(name).get("result.json"))
        return found

    def attempts(self, name: str) -> list[Submitted]:
        """What the cluster knows of a job, oldest first."""
        found = [job for job in self.api.list() if job.handle.startswith(f"{name}-")]
        return found[::-1]

    def drivers(self) -> list[psutil.Process]:
        """The processes that run a verb on the cluster."""
        return self.head.processes("unfreeze.cli.submitted --verb")


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.3)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    embedded.up()
    with pytest.MonkeyPatch.context() as patch:
        # On a node of a real cluster `python` is the one that has Ray.
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
        found = Cluster(tmp_path_factory.mktemp("cluster"))
        # Where the cleaner of Ray Train finds the cluster, on a host with several (facts page).
        patch.setenv("RAY_API_SERVER_ADDRESS", found.dashboard)
        found.start()
        yield found
        found.head.end()
    embedded.down()


@pytest.fixture(scope="module")
def undisturbed(two_workers: WorkerPool, inputs: Path, tmp_path_factory: Any) -> dict[str, Any]:
    """The settings of the job, run without Ray to its end."""
    storage = {"uri": str(tmp_path_factory.mktemp("undisturbed"))}
    settings = tiny.settings(inputs, storage=storage, **CHANGES)
    two_workers.run(worker_tasks.run, settings)
    return settings


def said(out: str) -> dict[str, dict[str, Any]]:
    """The last message of each kind."""
    return {message["kind"]: message for message in map(json.loads, out.splitlines())}


def test_a_submitted_job_gives_what_it_gives_here_and_a_second_submit_finds_it(
    cluster: Cluster, inputs: Path, undisturbed: dict[str, Any]
) -> None:
    file = str(cluster.job(inputs, "whole"))
    running = cluster.unfreeze("submit", file, "--follow", "--json")
    assert running.stdout is not None
    sent = json.loads(running.stdout.readline())
    handle = sent["handle"]
    second = said(cluster.done("submit", file, "--json"))["submitted"]
    assert (second["handle"], second["attached"], sent["attached"]) == (handle, True, False)
    assert cluster.done("submit", file, "training.seed=9", exit_code=2) == ""

    out, errors = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 0, out + errors
    assert said(out)["ended"]["status"] == "SUCCEEDED"
    assert cluster.metrics("whole") == worker_tasks.metrics(undisturbed)
    assert cluster.result("whole")["test"] == worker_tasks.result(undisturbed)["test"]

    version = cluster.result("whole")["versions"]["unfreeze"]
    assert version == sent["version"]
    assert version.startswith(f"{importlib.metadata.version('unfreeze')}+")

    log = cluster.done("jobs", "logs", "s3://submitted/whole", "--endpoint", "embedded")
    assert "phase 1: all" in log
    assert log in cluster.done("jobs", "logs", handle)
    (listed,) = json.loads(cluster.done("jobs", "list", "--json"))
    assert (listed["handle"], listed["status"], listed["exit_code"]) == (handle, "SUCCEEDED", 0)
    assert "SUCCEEDED: finished" in cluster.done("jobs", "status", handle)

    again = cluster.done("submit", file, "--follow")
    assert f"{handle[:-1]}2 sent to" in again
    assert "s3://submitted/whole is finished; nothing to do" in again


def test_a_cancelled_job_ends_in_seconds_with_a_whole_checkpoint_and_goes_on(
    cluster: Cluster, inputs: Path
) -> None:
    endless = [{"train": "all", "for": "100000st", "learning_rate": 1e-3}]
    file = str(cluster.job(inputs, "cancelled", phases=endless))
    handle = said(cluster.done("submit", file, "--json"))["submitted"]["handle"]
    wait_until(lambda: cluster.newest_step("cancelled") >= 20)
    assert cluster.head.train_workers()

    assert "was cancelled" in cluster.done("jobs", "cancel", handle)
    wait_until(lambda: not cluster.head.train_workers() and not cluster.drivers(), 15)
    run = ["s3://submitted/cancelled", "--endpoint", "embedded"]
    assert "DAMAGED" not in cluster.done("checkpoints", "verify", *run)
    log = cluster.done("jobs", "logs", *run)
    assert "checkpoint of step 20 committed" in log
    assert "Traceback" not in log
    newest = cluster.newest_step("cancelled")

    second = said(cluster.done("submit", file, "--json"))["submitted"]["handle"]
    assert second == f"{handle[:-1]}2"
    resumed = f"resumed from the checkpoint of step {newest:,}\n"
    wait_until(lambda: resumed in (cluster.api.log(second) or ""))
    assert "was cancelled" in cluster.done("jobs", "cancel", second)


def test_a_job_whose_driver_and_then_whose_head_is_lost_is_sent_again_by_who_follows_it(
    cluster: Cluster, inputs: Path, undisturbed: dict[str, Any]
) -> None:
    file = str(cluster.job(inputs, "lost"))
    running = cluster.unfreeze("submit", file, "--follow")
    wait_until(lambda: cluster.newest_step("lost") >= 20)
    for driver in cluster.drivers():
        driver.kill()
    wait_until(lambda: len(cluster.attempts("lost")) == 2)
    first, second = cluster.attempts("lost")
    assert (first.status, first.exit_code) == ("FAILED", 137)
    wait_until(lambda: "resumed from" in (cluster.api.log(second.handle) or ""))
    cluster.head.kill()
    cluster.start()

    out, errors = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 0, out + errors
    assert "its driver was killed (signal 9); sent again as lost-" in errors
    assert "asking again for up to 10 min" in errors
    assert "the cluster answers again" in errors
    assert "the cluster does not know it; sent again as lost-" in errors
    assert "-3 (2 of at most 3)" in errors
    assert cluster.metrics("lost") == worker_tasks.metrics(undisturbed)
    assert cluster.result("lost")["resumed_from"], "it began anew"
    run = ["s3://submitted/lost", "--endpoint", "embedded"]
    log_of_first = cluster.done("jobs", "logs", *run, "--submission", first.handle)
    assert "checkpoint of step 20 committed" in log_of_first
    assert "Traceback" not in out


def test_a_submitted_search_finds_what_the_same_search_finds_from_here(
    cluster: Cluster, inputs: Path
) -> None:
    space = {"phases.0.for": {"choice": ["0ep", "1ep"]}}
    file = str(cluster.search(inputs, "searched", space=space))
    cluster.done("submit", file, "--follow")
    submitted = cluster.result("searched")
    out = cluster.done("search", file, "name=here", "--address", cluster.address, "--json")
    here = json.loads(out)
    assert [trial["state"] for trial in submitted["trials"]] == ["finished"] * 2
    for one, other in zip(submitted["trials"], here["trials"], strict=True):
        assert (one["settings"], one["best"]) == (other["settings"], other["best"])
    assert submitted["winner"]["settings"] == here["winner"]["settings"]
    assert submitted["test"]["winner"]["metric"] == here["test"]["winner"]["metric"]
    assert "is finished; nothing to do" in cluster.done("submit", file, "--follow")


def test_a_mistake_that_only_the_cluster_finds_is_not_sent_again(
    cluster: Cluster, inputs: Path
) -> None:
    file = str(cluster.job(inputs, "mistaken"))
    running = cluster.unfreeze("submit", file, "phases.0.train=lair.9", "--follow")
    out, errors = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 2, errors
    assert "error: phases.0.train: " in out
    assert "sent again" not in errors


def test_without_the_token_nothing_is_sent_and_one_line_says_why(
    cluster: Cluster, inputs: Path, tmp_path: Path
) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_AUTH")}
    command = [sys.executable, "-m", "unfreeze.cli.main", "submit"]
    answer = subprocess.run(
        [*command, str(cluster.job(inputs, "token")), "--address", cluster.dashboard],
        env={**environment, "UNFREEZE_HOME": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 1
    (line,) = answer.stderr.splitlines()
    assert "asks for a token" in line
    assert "RAY_AUTH_TOKEN_PATH" in line
    assert not (tmp_path / "s3").exists(), "a server was started"
