"""A tiny model learns to find entities, for real. What holds for every task: test_every_task.py."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_entities
import worker_tasks
from seqeval.metrics import f1_score
from worker_pool import WorkerPool

from unfreeze.jobs.config import SourceConfig
from unfreeze.jobs.prediction.predict import predict
from unfreeze.jobs.results import find_result, find_run, read_jsonl, write_report
from unfreeze.storage import open_store

pytestmark = pytest.mark.slow


def job(inputs: Path, tmp_path: Path, **changes: Any) -> dict[str, Any]:
    return tiny_entities.settings(inputs, storage={"uri": str(tmp_path / "runs")}, **changes)


def test_what_a_job_leaves_has_the_score_that_it_says_it_has(
    one_worker: WorkerPool, inputs: Path, tmp_path: Path
) -> None:
    settings = job(inputs, tmp_path)
    one_worker.run(worker_tasks.run, settings)
    runs = find_run(f"{settings['storage']['uri']}/{settings['name']}")
    result = find_result(runs)
    assert result.test is not None and result.test["f1"] >= 0.9
    validated = [m for m in worker_tasks.metrics(settings) if m["kind"] == "validation"]
    assert validated[0]["validation"]["f1"] < validated[-1]["validation"]["f1"]

    # Its predictions have the score that it says it has.
    said = read_jsonl(runs, "predictions/test.jsonl")
    tags = [[row[name] for row in said] for name in ("tags", "predicted")]
    assert result.test["f1"] == pytest.approx(f1_score(*tags))

    # New rows, some of several windows.
    rows = [{"tokens": row["tokens"]} for row in tiny_entities.rows(60, seed=8)]
    new = tmp_path / "new.conll"
    new.write_text("\n".join("".join(f"{word}\n" for word in row["tokens"]) for row in rows))
    source, cache = SourceConfig(path=str(new)), tmp_path / "cache"
    predicted = list(predict(runs, result, source, endpoint=None, cache=cache))
    assert [row["tokens"] for row in predicted] == [row["tokens"] for row in rows]

    write_report(runs, result.data)
    page = runs.get("report.html").decode()
    assert "<h2>Entities</h2>" in page and "precision" in page


def test_workers_do_not_change_the_losses_although_rows_have_windows(
    one_worker: WorkerPool, two_workers: WorkerPool, inputs: Path, tmp_path: Path
) -> None:
    phases = [{"train": "all", "for": "1ep", "learning_rate": 3e-3}]
    found = []
    for pool in (one_worker, two_workers):
        settings = job(inputs, tmp_path / str(pool.world), phases=phases)
        pool.run(worker_tasks.run, settings)
        found.append(worker_tasks.losses(settings))
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    result = worker_tasks.result(settings)
    assert result["steps"] > -(-240 // 16)  # more examples than rows
    store = open_store(settings["storage"]["uri"]).under(settings["name"])
    lines = [json.loads(line) for line in store.get("predictions/test.jsonl").splitlines()]
    assert len(lines) == result["rows"]["test"] == 60
