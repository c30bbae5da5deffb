"""A job that grows when a node joins, and goes on with fewer workers when one dies."""

from pathlib import Path
from typing import Any

import pytest
import ray_tasks
import tiny
import worker_tasks
from ray_nodes import Nodes, ray_nodes
from worker_pool import WorkerPool

pytestmark = [pytest.mark.slow, pytest.mark.chaos]

CHANGES: dict[str, Any] = {
    "model": {"dropout": 0.0},  # then the losses do not depend on how many workers there are
    "phases": [
        {"train": "head", "for": "100st", "learning_rate": 1e-2},
        {"train": "all", "for": "200st", "learning_rate": 1e-4},
    ],
    "training": {"validate_every": "100st"},
    "checkpoints": {"every": "20st"},
}


class Weather:
    """Has a node join after the first checkpoint, and kills it when two workers have trained."""

    def __init__(self, nodes: Nodes, hold: Path) -> None:
        self._nodes, self._hold = nodes, hold
        self._joined = self._killed = ""
        self.messages: list[dict[str, Any]] = []

    def __call__(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        if message["kind"] != "checkpoint":
            return
        if not self._joined:
            self._hold.touch()  # until the node is there, the job must not come to its end
            self._joined = self._nodes.join()
        elif self.of("resized") and not self._killed:
            self._hold.unlink()
            self._killed = self._joined
            self._nodes.kill(self._killed)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["kind"] == kind]


def test_a_job_grows_with_a_node_that_joins_and_shrinks_when_it_dies(
    one_worker: WorkerPool,
    inputs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = tiny.settings(inputs, storage={"uri": str(tmp_path / "whole")}, **CHANGES)
    one_worker.run(worker_tasks.run, whole)
    monkeypatch.setenv("UNFREEZE_WATCH_EVERY_S", "1")
    monkeypatch.setattr(ray_tasks, "hold", str(tmp_path / "hold"))
    storage, scale = {"uri": str(tmp_path / "elastic")}, {"workers": [1, 2], "max_failures": 0}
    elastic = tiny.settings(inputs, storage=storage, scale=scale, **CHANGES)
    with ray_nodes(tmp_path, 0) as nodes:
        weather = Weather(nodes, tmp_path / "hold")
        ended = ray_tasks.run(elastic, nodes.address, weather, ray_tasks.train_slowly)

    assert [(m["before"], m["workers"]) for m in weather.of("resized")] == [(1, 2), (2, 1)]
    (leaving,) = weather.of("leaving")
    assert leaving["asked"] and leaving["kept"]
    grown, shrunk = weather.of("resumed")
    assert grown["step"] == leaving["step"], "nothing is lost by growing"
    assert [attempt["workers"] for attempt in ended] == [1, 2, 2, 1]
    assert 0 <= ended[1]["to_step"] - shrunk["step"] <= 20, "what came after the last checkpoint"
    expected, found = worker_tasks.losses(whole), worker_tasks.losses(elastic)
    assert expected.keys() == found.keys()
    assert max(abs(expected[s] - found[s]) / abs(expected[s]) for s in expected) <= 1e-4
