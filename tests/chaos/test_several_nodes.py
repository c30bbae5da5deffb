"""Jobs over nodes with network addresses of their own: one is cut off, one dies, one joins.

All that the nodes share is the S3 server: model and data come from there, too.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import searches
import tiny
import worker_tasks
from flaky_proxy import running_proxy
from network import Cluster, Network, NoNetwork, network, ray_on
from worker_pool import WorkerPool

from unfreeze.jobs import parse_job, run_job
from unfreeze.storage import embedded, open_store
from unfreeze.storage.s3 import S3Client, S3Store
from unfreeze.tuning import run_search
from unfreeze.tuning.search_file import parse_search
from unfreeze.tuning.space import with_settings

pytestmark = [pytest.mark.slow, pytest.mark.chaos]

CUT_S = 30.0

CHANGES: dict[str, Any] = {
    "model": {"dropout": 0.0},
    "phases": [
        {"train": "head", "for": "120st", "learning_rate": 1e-2},
        {"train": "all", "for": "240st", "learning_rate": 1e-3},
    ],
    "checkpoints": {"every": "20st"},
}


@pytest.fixture(scope="module")
def bench(inputs: Path) -> Iterator[tuple[Cluster, str]]:
    """Two machines beside the head, and the S3 server's endpoint as all of them reach it."""
    try:
        with (
            pytest.MonkeyPatch.context() as patch,
            network() as net,
            s3_server(inputs) as loopback,
            running_proxy(loopback, net.address) as proxy,
            patient_ray_on(net, patch) as cluster,
        ):
            yield cluster, proxy.endpoint
    except NoNetwork as why:
        pytest.skip(str(why))


def patient_ray_on(net: Network, patch: pytest.MonkeyPatch) -> AbstractContextManager[Cluster]:
    """Ray's own patience, five silences, may be over after a cut of 30 s: measured, 1 of 3 runs."""
    patch.setenv("RAY_health_check_failure_threshold", "12")
    return ray_on(net, 2)


@contextmanager
def s3_server(inputs: Path) -> Iterator[str]:
    """The embedded server, with the inputs in it: its endpoint. Its keys are in the environment."""
    server = embedded.up()
    try:
        store = S3Store("nodes", client=S3Client(server.endpoint, server.keys_file))
        store.make_bucket()
        tiny.settings(inputs)  # makes them
        for file in inputs.rglob("*"):
            if file.is_file():
                store.put(f"inputs/{file.relative_to(inputs)}", file)
        keys = embedded.credentials()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ACCESS_KEY_ID", keys.access_key)
            patch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_key)
            yield server.endpoint
    finally:
        embedded.down()


@pytest.fixture(scope="module")
def undisturbed(
    two_workers: WorkerPool, inputs: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The settings of the same job, run by two processes on this machine."""
    uri = str(tmp_path_factory.mktemp("undisturbed"))
    settings = tiny.settings(inputs, storage={"uri": uri}, **CHANGES)
    two_workers.run(worker_tasks.run, settings)
    return settings


class Watch:
    """Watches a job, and acts when it has come to certain places, one after the other."""

    def __init__(self, *acts: tuple[Callable[[dict[str, Any]], bool], Callable[[], None]]) -> None:
        self._acts = list(acts)
        self.messages: list[dict[str, Any]] = []
        self.told_at: list[float] = []

    def __call__(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        self.told_at.append(time.monotonic())
        if self._acts and self._acts[0][0](message):
            self._acts.pop(0)[1]()

    @property
    def acts_left(self) -> int:
        return len(self._acts)

    def of(self, kind: str, what: str) -> list[Any]:
        return [message[what] for message in self.messages if message["kind"] == kind]

    def longest_silence_s(self) -> float:
        return max(after - before for before, after in pairwise(self.told_at))


def at_checkpoint(message: dict[str, Any]) -> bool:
    """Where it has trained for a while, and has long to go."""
    return bool(message["kind"] == "checkpoint" and message["step"] >= 40)


def from_store(inputs: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings, with what they read in the store."""
    text = json.dumps(settings).replace(f'"{inputs}/', '"s3://nodes/inputs/')
    found: dict[str, Any] = json.loads(text)
    return found


def run(
    inputs: Path, bench: tuple[Cluster, str], name: str, watch: Watch, **changes: Any
) -> list[dict[str, Any]]:
    """Runs the job on the cluster; its metrics.jsonl."""
    cluster, endpoint = bench
    storage = {"uri": "s3://nodes", "endpoint": endpoint}
    settings = tiny.settings(inputs, name=name, storage=storage, **{**CHANGES, **changes})
    run_job(parse_job(from_store(inputs, settings)), address=cluster.address, show=watch)
    assert not watch.acts_left
    lines = open_store("s3://nodes", endpoint=endpoint).under(name).get("metrics.jsonl")
    return [json.loads(line) for line in lines.splitlines()]


def test_a_node_cut_off_from_head_and_store_for_half_a_minute_changes_no_loss(
    inputs: Path, bench: tuple[Cluster, str], undisturbed: dict[str, Any]
) -> None:
    cluster, _ = bench
    seen: list[list[int]] = []
    host = cluster.machines[-1].host
    healer = threading.Timer(CUT_S, host.reconnect)

    def cut() -> None:
        seen.append(cluster.workers())
        host.cut_off()
        healer.start()

    watch = Watch((at_checkpoint, cut))
    try:
        metrics = run(inputs, bench, "cut-off", watch)
    finally:
        healer.cancel()
        host.reconnect()
    assert seen == [[1, 1]], "one worker on each machine"
    assert watch.longest_silence_s() > CUT_S - 5, "nobody noticed the cut"
    assert metrics == worker_tasks.metrics(undisturbed)


def test_a_node_that_joins_takes_the_place_of_one_that_died(
    inputs: Path, bench: tuple[Cluster, str], undisturbed: dict[str, Any]
) -> None:
    cluster, _ = bench
    dead = cluster.machines[-1]
    seen: list[list[int]] = []

    def replace() -> None:
        seen.append(cluster.workers())
        cluster.kill(dead)
        cluster.join()

    watch = Watch((at_checkpoint, replace))
    metrics = run(inputs, bench, "replaced", watch)
    assert seen == [[1, 1]], "one worker on each machine"
    [resumed] = watch.of("resumed", "step")
    assert 40 <= resumed < 360
    assert dead.host.address not in cluster.nodes()
    assert metrics == worker_tasks.metrics(undisturbed)


def test_a_search_goes_on_when_a_node_dies_and_another_joins(
    one_worker: WorkerPool, inputs: Path, bench: tuple[Cluster, str], tmp_path: Path
) -> None:
    cluster, endpoint = bench
    dead = cluster.machines[-1]

    def replace() -> None:
        cluster.kill(dead)
        cluster.join()

    # Trials of many seconds: the lane that dies has begun one, and there are others left.
    phases = [{"train": "head", "for": "1ep"}, {"train": "all", "for": "40ep"}]
    changes = {"model": {"dropout": 0.0}, "phases": phases, "training": {"validate_every": "10ep"}}
    settings = searches.settings(
        inputs, "s3://nodes", checkpoint_every_s=2, job=changes, space=searches.SMALL_SPACE
    )
    job = parse_search(settings).job
    settings["job"]["storage"]["endpoint"] = endpoint
    watch = Watch((lambda m: m["kind"] == "trial" and m["state"] == "finished", replace))
    search = parse_search(from_store(inputs, settings))
    result = run_search(search, address=cluster.address, show=watch)
    assert not watch.acts_left
    assert [trial["state"] for trial in result.data["trials"]] == ["finished"] * 6
    again = [trial for trial in result.data["trials"] if trial["cost"]["attempts"] > 1]
    assert again, "the node that died had no trial"
    trial = again[0]
    store = open_store("s3://nodes", endpoint=endpoint).under(f"tiny-search/trials/{trial['id']}")
    found = [json.loads(line) for line in store.get("metrics.jsonl").splitlines()]
    alone = with_settings(job, trial["settings"]).to_data() | {"storage": {"uri": str(tmp_path)}}
    one_worker.run(worker_tasks.run, alone)
    assert {line["step"]: line["loss"] for line in found if line["kind"] == "train"} == (
        pytest.approx(worker_tasks.losses(alone), rel=2e-6)
    )
