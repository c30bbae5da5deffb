"""Question answering is learned, and what was learned is in the exported model."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_questions
import worker_tasks
from worker_pool import WorkerPool

from unfreeze.jobs.config import SourceConfig
from unfreeze.jobs.prediction.predict import predict
from unfreeze.jobs.report import build_report
from unfreeze.jobs.results import JobResult
from unfreeze.storage import open_store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("questions")


@pytest.fixture(scope="module")
def learned(one_worker: WorkerPool, questions: Path) -> dict[str, Any]:
    """A finished job; its settings."""
    settings = tiny_questions.settings(questions, storage={"uri": str(questions / "runs")})
    one_worker.run(worker_tasks.run, settings)
    return settings


def lines(settings: dict[str, Any], name: str) -> list[dict[str, Any]]:
    store = open_store(settings["storage"]["uri"]).under(settings["name"])
    return [json.loads(line) for line in store.get(f"predictions/{name}.jsonl").splitlines()]


def test_the_word_after_the_marker_is_found(learned: dict[str, Any]) -> None:
    result = worker_tasks.result(learned)
    assert result["task"] == "question-answering" and result["rows"]["test"] == 80
    validated = [m for m in worker_tasks.metrics(learned) if m["kind"] == "validation"]
    assert validated[0]["validation"]["has_answer_f1"] < 0.5  # the head alone
    assert result["test"]["f1"] > 0.8 and result["test"]["exact_match"] > 0.8  # 0.925 was seen
    assert result["test"]["has_answer_f1"] > 0.75 and result["test"]["no_answer_accuracy"] > 0.75
    assert result["test"]["loss"] < 0.5


def test_predictions_and_the_report_say_what_was_found(learned: dict[str, Any]) -> None:
    result, found = worker_tasks.result(learned), lines(learned, "test")
    mean = sum(line["f1"] for line in found) / len(found)
    assert result["test"]["f1"] == pytest.approx(mean, abs=1e-6)
    for line in found:
        said = line["context"][line["start"] : line["end"]] if line["predicted"] else ""
        assert said == line["predicted"] and 0 < line["score"] <= 1
    page = build_report(result, worker_tasks.metrics(learned), found)
    assert "Kinds of questions" in page and "without an answer" in page


def test_new_rows_are_answered_as_the_judged_ones(learned: dict[str, Any], tmp_path: Path) -> None:
    judged = lines(learned, "test")[:20]
    new = [{"question": line["question"], "context": line["context"]} for line in judged]
    file = tiny.write_rows(tmp_path / "new.jsonl", new)
    store = open_store(learned["storage"]["uri"]).under(learned["name"])
    result = JobResult(store.uri, worker_tasks.result(learned), was_finished=False)
    found = list(
        predict(store, result, SourceConfig(path=str(file)), endpoint=None, cache=tmp_path)
    )
    for line, expected in zip(found, judged, strict=True):
        assert line["predicted"] == expected["predicted"] and "f1" not in line
        assert line["score"] == pytest.approx(expected["score"], abs=2e-5)


def test_one_and_two_workers_have_the_same_losses(
    one_worker: WorkerPool, two_workers: WorkerPool, questions: Path, tmp_path: Path
) -> None:
    phases = [{"train": "head", "for": "6st"}, {"train": "all", "for": "6st"}]
    found = []
    for pool, stage in ((one_worker, 0), (two_workers, 2), (two_workers, 3)):
        settings = tiny_questions.settings(
            questions,
            phases=phases,
            storage={"uri": str(tmp_path / f"{pool.world}-{stage}")},
            deepspeed={"zero_stage": stage},
        )
        pool.run(worker_tasks.run, settings)
        found.append(worker_tasks.losses(settings))
        final = worker_tasks.result(settings)["validation"]
        assert final["loss"] == pytest.approx(
            worker_tasks.metrics(settings)[-1]["validation"]["loss"], rel=1e-4
        )
    for other in found[1:]:
        assert other.keys() == found[0].keys() and len(other) == 12
        for step, loss in other.items():
            assert loss == pytest.approx(found[0][step], rel=1e-5)
