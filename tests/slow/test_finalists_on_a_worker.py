"""A finalist is judged as a job is that was trained alone: the same scores, the same model."""

import json
from pathlib import Path
from typing import Any

import lane_tasks
import pytest
import tiny
import tiny_language
import tiny_questions
import worker_tasks
from worker_pool import WorkerPool

from unfreeze.jobs import parse_job
from unfreeze.jobs.inputs import gather_inputs
from unfreeze.jobs.metrics import from_bytes, scores_of
from unfreeze.storage import open_store
from unfreeze.tuning.files import (
    BEFORE_STATISTICS,
    GENERAL_STATISTICS,
    STATISTICS,
    TEST_STATISTICS,
)

pytestmark = pytest.mark.slow


def classification(folder: Path) -> dict[str, Any]:
    return tiny.settings(folder)


def questions(folder: Path) -> dict[str, Any]:
    """What is learned after training, the threshold for "no answer", decides its score."""
    phases = [{"train": "all", "for": "2ep", "learning_rate": 3e-3}]
    return tiny_questions.settings(folder, phases=phases)


def language(folder: Path) -> dict[str, Any]:
    """A model that cannot keep documents apart which share an example; and rows of another kind."""
    if not (folder / "bloom").exists():
        tiny_language.write_model(folder / "bloom", kind="bloom")
    phases = [{"train": "all", "for": "1ep", "learning_rate": 1e-2}]
    settings = tiny_language.settings(folder, phases=phases, data={"test": 0.1})
    return settings | {"model": {"path": str(folder / "bloom")}}


@pytest.mark.parametrize("settings_in", [classification, questions, language])
def test_a_finalist_is_judged_as_a_job_is(
    settings_in: Any, inputs: Path, tmp_path: Path, one_worker: WorkerPool
) -> None:
    settings = settings_in(inputs) | {"storage": {"uri": str(tmp_path)}}
    alone, finalist = settings | {"name": "alone"}, settings | {"name": "search"}
    one_worker.run(worker_tasks.run, alone)
    (outcomes,) = one_worker.run(lane_tasks.run_and_judge, finalist, "finalists/a-seed1")
    assert [outcome.state for outcome in outcomes] == ["finished", "finished"]
    expected, store = worker_tasks.result(alone), open_store(str(tmp_path)).under("search")
    job = parse_job(finalist)
    metrics = gather_inputs(job).task.metrics
    judged = {TEST_STATISTICS: expected["test"]}
    if expected["general"]:
        judged[GENERAL_STATISTICS] = expected["general"]
        judged[BEFORE_STATISTICS] = expected["before"]["general"]
    for file, scores in judged.items():
        found = from_bytes(store.get(f"finalists/a-seed1/{file}"))
        shared = [metric.name for metric in metrics if metric.name in scores]
        assert job.metric in shared and "loss" in shared
        assert {name: scores_of(metrics, found)[name] for name in shared} == pytest.approx(
            {name: scores[name] for name in shared}
        )
    validated = from_bytes(store.get(f"finalists/a-seed1/{STATISTICS}"))
    assert len(validated) == expected["rows"]["validation"]
    configs = [
        json.loads((tmp_path / name / "model/config.json").read_text())
        for name in ("alone", "search")
    ]
    assert configs[0] == configs[1]
    weights = [worker_tasks.exported_weights(one) for one in (alone, finalist)]
    assert weights[0].keys() == weights[1].keys()
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])
