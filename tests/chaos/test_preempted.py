"""Machines that are about to go away: the job leaves them with a checkpoint of its last step."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray_tasks
import searches
import tiny
import worker_tasks
from ray_cluster import Node
from ray_nodes import ray_nodes
from worker_pool import WorkerPool

from unfreeze.storage import CheckpointStore, open_store
from unfreeze.tuning import run_search
from unfreeze.tuning.search_file import parse_search

pytestmark = [pytest.mark.slow, pytest.mark.chaos]

DEADLINE_S = 60.0
CHANGES: dict[str, Any] = {
    "phases": [
        {"train": "head", "for": "60st", "learning_rate": 1e-2},
        {"train": "all", "for": "120st", "learning_rate": 1e-3},
    ],
    "training": {"validate_every": "60st"},
    "checkpoints": {"every": "20st"},
    "scale": {"max_failures": 0},
}


class Notice:
    """Watches a job, and gives notice once when the first checkpoint is told."""

    def __init__(self, give: Callable[[], None]) -> None:
        self._give = give
        self.messages: list[dict[str, Any]] = []
        self.given_at = self.left_at = 0.0

    def __call__(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        if message["kind"] == "leaving":
            self.left_at = time.monotonic()
        if message["kind"] == "checkpoint" and not self.given_at:
            self.given_at = time.monotonic()
            self._give()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["kind"] == kind]


@pytest.fixture(scope="module")
def undisturbed(
    two_workers: WorkerPool, inputs: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The settings of the same job, run without any notice."""
    uri = str(tmp_path_factory.mktemp("undisturbed"))
    settings = tiny.settings(inputs, storage={"uri": uri}, **CHANGES)
    two_workers.run(worker_tasks.run, settings)
    return settings


def check(notice: Notice, ended: list[dict[str, Any]]) -> None:
    """Nothing was lost, and it was no failure."""
    (leaving,), (resumed,) = notice.of("leaving"), notice.of("resumed")
    assert leaving["kept"] and not leaving["asked"]
    assert resumed["step"] == leaving["step"] > 20
    first, second = ended
    assert first["ended"] == "the workers left before a machine went away"
    assert (first["from_step"], second["from_step"]) == (0, leaving["step"])
    assert second["ended"] == "finished"
    assert not notice.of("again")


def test_a_node_that_drains_is_left_before_its_deadline_with_nothing_lost(
    inputs: Path, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    settings = tiny.settings(inputs, storage={"uri": str(tmp_path / "runs")}, **CHANGES)
    drained: list[str] = []
    at_the_end: list[str] = []

    with ray_nodes(tmp_path, 2) as nodes:

        def drain() -> None:
            drained.append(nodes.at_work()[-1])
            nodes.drain(drained[0], DEADLINE_S)

        def show(message: dict[str, Any]) -> None:
            notice(message)
            if message["kind"] == "finished":
                at_the_end.extend(nodes.at_work())

        notice = Notice(drain)
        ended = ray_tasks.run(settings, nodes.address, show, ray_tasks.train_slowly)
    check(notice, ended)
    assert notice.left_at - notice.given_at < DEADLINE_S
    assert drained[0] not in at_the_end
    assert worker_tasks.metrics(settings) == worker_tasks.metrics(undisturbed)


def test_a_worker_that_is_sent_a_sigterm_leaves_with_nothing_lost(
    inputs: Path, tmp_path: Path, ray_node: tuple[Node, str], undisturbed: dict[str, Any]
) -> None:
    node, address = ray_node
    settings = tiny.settings(inputs, storage={"uri": str(tmp_path / "runs")}, **CHANGES)
    notice = Notice(lambda: node.train_workers()[-1].send_signal(signal.SIGTERM))
    ended = ray_tasks.run(settings, address, notice, ray_tasks.train_slowly)
    check(notice, ended)
    assert worker_tasks.metrics(settings) == worker_tasks.metrics(undisturbed)


def test_a_lane_whose_worker_is_sent_a_sigterm_gives_back_its_trial_with_nothing_lost(
    inputs: Path, tmp_path: Path, ray_node: tuple[Node, str]
) -> None:
    node, address = ray_node
    uri = str(tmp_path / "runs")
    phases = [{"train": "head", "for": "1ep"}, {"train": "all", "for": "30ep"}]
    settings = searches.settings(
        inputs,
        uri,
        job={"phases": phases, "training": {"validate_every": "5ep"}},
        space={"phases.1.learning_rate": {"choice": [1e-3, 5e-3]}},
        lanes=1,
        checkpoint_every_s=10_000,  # none but that of the notice
    )
    root = open_store(uri).under("tiny-search")
    given: list[tuple[str, int]] = []
    kept: set[int] = set()

    def show(message: dict[str, Any]) -> None:
        if message["kind"] != "status":
            return
        for lane in message["lanes"].values():
            if lane["trial"] and not given and 50 <= lane["step"] <= 250:
                given.append((lane["trial"], lane["step"]))
                node.train_workers()[-1].send_signal(signal.SIGTERM)
        for trial, _ in given:
            found = CheckpointStore(root.under(f"trials/{trial}")).list()
            kept.update(info.step for info in found)

    result = run_search(parse_search(settings), address=address, show=show)
    ((trial, step),) = given
    (at,) = kept
    assert at >= step
    assert [entry["state"] for entry in result.data["trials"]] == ["finished"] * 2
    cost = {entry["id"]: entry["cost"] for entry in result.data["trials"]}
    assert cost[trial]["attempts"] == 2
    assert [cost[other]["attempts"] for other in cost if other != trial] == [1]
