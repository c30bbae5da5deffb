"""Workers of a real Ray Train job are killed; the job goes on by itself, to the same losses."""

import re
import signal
from pathlib import Path
from typing import Any

import pytest
import tiny
import worker_tasks
from ray_cluster import Node
from worker_pool import WorkerPool

from unfreeze.jobs import LossNotFinite, parse_job, run_job

pytestmark = [pytest.mark.slow, pytest.mark.chaos]


class Killer:
    """Watches a job, and kills a worker when it has come to certain places."""

    def __init__(self, node: Node, *places: Any) -> None:
        self._node, self._places = node, list(places)
        self.messages: list[dict[str, Any]] = []

    def __call__(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        if self._places and self._places[0](message):
            self._places.pop(0)
            self._node.train_workers()[-1].send_signal(signal.SIGKILL)

    @property
    def kills_left(self) -> int:
        return len(self._places)

    def steps_of(self, kind: str) -> list[int]:
        return [message["step"] for message in self.messages if message["kind"] == kind]


def test_a_worker_killed_in_a_phase_and_one_at_a_boundary_do_not_change_a_loss(
    two_workers: WorkerPool, inputs: Path, tmp_path: Path, ray_node: tuple[Node, str]
) -> None:
    node, address = ray_node
    phases = [
        {"train": "head", "for": "120st", "learning_rate": 1e-2},
        {"train": "all", "for": "60st", "learning_rate": 1e-3},
    ]
    changes = {"phases": phases, "checkpoints": {"every": "20st"}}
    whole = tiny.settings(inputs, storage={"uri": str(tmp_path / "whole")}, **changes)
    two_workers.run(worker_tasks.run, whole)

    killed = tiny.settings(inputs, storage={"uri": str(tmp_path / "killed")}, **changes)
    killer = Killer(
        node,
        lambda m: m["kind"] == "checkpoint" and m["step"] == 40,
        lambda m: m["kind"] == "phase" and m["index"] == 1,
    )
    result = run_job(parse_job(killed), address=address, show=killer)

    assert killer.kills_left == 0
    resumed = killer.steps_of("resumed")
    assert len(resumed) == 2
    assert 40 <= resumed[0] < 120
    assert 120 <= resumed[1] < 180
    assert worker_tasks.metrics(killed) == worker_tasks.metrics(whole)
    assert result.data["resumed_from"] == resumed
    *died, last = result.data["attempts"]
    assert [attempt["from_step"] for attempt in [*died, last]] == [0, *resumed]
    for attempt in died:
        assert re.fullmatch(r"the process of rank [01] died", attempt["ended"])
    assert last["ended"] == "finished"
    assert result.test == worker_tasks.result(whole)["test"]
    for name in ("report.html", "job.yaml", "model/model.safetensors", "predictions/test.jsonl"):
        assert (tmp_path / "killed/tiny" / name).stat().st_size > 0


def test_a_loss_that_is_not_finite_ends_the_job_at_once_without_another_attempt(
    inputs: Path, tmp_path: Path, ray_node: tuple[Node, str]
) -> None:
    node, address = ray_node
    phases = [{"train": "all", "for": "1ep", "learning_rate": 1e30}]
    settings = tiny.settings(inputs, phases=phases, storage={"uri": str(tmp_path)})
    killer = Killer(node)
    with pytest.raises(LossNotFinite, match="at step 1 "):
        run_job(parse_job(settings), address=address, show=killer)
    assert len(killer.steps_of("phase")) == 1
