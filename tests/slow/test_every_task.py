"""What holds for every task: it is learned, freezes right, resumes to the same losses, and its
exported model says the same by transformers alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import exported_models
import pytest
import torch
import worker_tasks
from tiny_tasks import TINY_JOBS, TinyJob, short
from worker_pool import WorkerPool

from unfreeze.jobs.prediction.exported import fetch_model
from unfreeze.jobs.results import find_run, read_jsonl
from unfreeze.jobs.tasks import TASKS

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Case:
    """A task with its tiny job."""

    task: str
    tiny: TinyJob
    inputs: Path

    def settings(self, uri: Path) -> dict[str, Any]:
        return self.tiny.settings(self.inputs) | {"storage": {"uri": str(uri)}}


@pytest.fixture(scope="module", params=TASKS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    task: str = request.param
    return Case(task, TINY_JOBS[task], tmp_path_factory.mktemp(task))


@pytest.fixture(scope="module")
def learned(one_worker: WorkerPool, case: Case) -> dict[str, Any]:
    """A job that has run its length; its settings."""
    settings = case.settings(case.inputs / "runs")
    one_worker.run(worker_tasks.run, settings)
    return settings


def test_it_is_learned(one_worker: WorkerPool, case: Case, learned: dict[str, Any]) -> None:
    [before] = one_worker.run(worker_tasks.untrained_scores, learned)
    result = worker_tasks.result(learned)
    assert result["task"] == case.task
    assert result["validation"][case.tiny.metric] >= case.tiny.least
    assert before[case.tiny.metric] <= case.tiny.least - 0.3
    assert result["validation"]["loss"] < before["loss"] / 2


def test_the_exported_model_says_the_same_outside(
    case: Case, learned: dict[str, Any], tmp_path: Path
) -> None:
    runs = find_run(f"{learned['storage']['uri']}/{learned['name']}")
    lines = read_jsonl(runs, "predictions/validation.jsonl")
    assert lines
    exported_models.CHECKS[case.task](fetch_model(runs, tmp_path), lines)


def test_the_first_phase_changes_its_own_weights_alone(one_worker: WorkerPool, case: Case) -> None:
    settings = short(case.settings(case.inputs / "runs"), 3, 3)
    [[before, first, second]] = one_worker.run(worker_tasks.weights_after_phases, settings)
    assert any(name.startswith(case.tiny.first) for name in before)
    for name in before:
        assert torch.equal(before[name], first[name]) != name.startswith(case.tiny.first), name
        assert not torch.equal(first[name], second[name]), name


def test_a_resumed_run_repeats_the_uninterrupted_one(
    one_worker: WorkerPool, case: Case, tmp_path: Path
) -> None:
    often = {"checkpoints": {"every": "2st"}}
    whole, broken = (
        short(case.settings(tmp_path / name), 4, 5) | often for name in ("whole", "broken")
    )
    one_worker.run(worker_tasks.run, whole)
    one_worker.run(worker_tasks.run, broken, 7)
    [told] = one_worker.run(worker_tasks.run, broken)
    [step] = [line["step"] for line in told if line["kind"] == "resumed"]
    assert 4 <= step <= 7, "the newest checkpoint that was written when it was stopped"
    assert worker_tasks.metrics(whole) == worker_tasks.metrics(broken)
    scores = [worker_tasks.result(each)["validation"] for each in (whole, broken)]
    assert scores[0] == scores[1]
