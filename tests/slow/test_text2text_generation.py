"""A tiny BART learns to rewrite, on real engines; for a T5 see test_every_task.py."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_text2text as tiny
import torch
import worker_tasks
from exported_models import texts_of
from tiny import write_rows
from worker_pool import WorkerPool

from unfreeze.jobs.config import SourceConfig
from unfreeze.jobs.prediction.exported import fetch_model
from unfreeze.jobs.prediction.predict import predict
from unfreeze.jobs.report import build_report
from unfreeze.jobs.results import JobResult
from unfreeze.jobs.tasks.overlap_metrics import rouge
from unfreeze.storage import open_store

pytestmark = pytest.mark.slow

kinds = pytest.mark.parametrize("kind", tiny.KINDS)


def job(inputs: Path, tmp_path: Path, kind: str, **changes: Any) -> dict[str, Any]:
    return tiny.settings(inputs, kind, storage={"uri": str(tmp_path / "runs")}, **changes)


def close(a: dict[int, float], b: dict[int, float]) -> float:
    """Largest relative difference."""
    assert a.keys() == b.keys()
    return max(abs(a[step] - b[step]) / abs(a[step]) for step in a)


def test_the_model_learns_to_rewrite_and_writes_the_same_outside(
    one_worker: WorkerPool, inputs: Path, tmp_path: Path
) -> None:
    settings = job(
        inputs,
        tmp_path,
        "bart",
        phases=[{"train": "all", "for": "8ep", "learning_rate": 5e-3}],
        training={"batch_size": 12, "validate_every": "2ep", "metric": "rougeL"},
        checkpoints={"every": "100ep"},
    )
    one_worker.run(worker_tasks.run, settings)
    result = worker_tasks.result(settings)
    assert result["test"]["rougeL"] >= 0.8
    assert rouge_of_the_untrained(inputs) <= 0.2
    validated = [m for m in worker_tasks.metrics(settings) if m["kind"] == "validation"]
    assert len(validated) >= 2
    assert all({"rougeL", "bleu", "chrf"} <= line["train"].keys() for line in validated)
    best = next(line for line in validated if line["step"] == result["best_step"])
    assert result["validation"]["rougeL"] == pytest.approx(best["validation"]["rougeL"])
    assert best["validation"]["rougeL"] == max(x["validation"]["rougeL"] for x in validated)
    store = open_store(settings["storage"]["uri"]).under(settings["name"])
    lines = [json.loads(line) for line in store.get("predictions/test.jsonl").splitlines()]
    assert [line["target"] for line in lines] == [row["target"] for row in tiny.rows(288)[264:]]
    sources = [line["source"] for line in lines]
    texts = texts_of(fetch_model(store, tmp_path), sources)
    assert texts == [line["predicted"] for line in lines]
    new = write_rows(tmp_path / "new.jsonl", [{"source": source} for source in sources])
    done = JobResult(store.uri, result, was_finished=True)
    found = predict(store, done, SourceConfig(path=str(new)), endpoint=None, cache=tmp_path)
    assert [line["predicted"] for line in found] == texts
    page = build_report(result, worker_tasks.metrics(settings), lines)
    assert "Worst texts" in page and "ROUGE-L" in page and "Every text ended by itself" in page


def rouge_of_the_untrained(inputs: Path) -> float:
    rows = tiny.rows(288)[264:]
    folder = inputs / "text2text" / "bart"
    texts = texts_of(folder, [row["source"] for row in rows], max_new_tokens=8)
    return float(rouge(texts, [row["target"] for row in rows])[:, 2].mean())


@kinds
def test_two_workers_and_zero_3_do_not_change_the_losses(
    one_worker: WorkerPool, two_workers: WorkerPool, inputs: Path, tmp_path: Path, kind: str
) -> None:
    """Nor what is generated in the validations: under ZeRO-3 each token is a collective call."""
    model = tiny.write_model(tmp_path / "model", kind, loud=True)
    found = []
    for pool, stage in [(one_worker, 0), (two_workers, 3)]:
        settings = job(
            inputs,
            tmp_path / f"{pool.world}-{stage}",
            kind,
            model={"path": str(model)},
            phases=[{"train": "last:1", "for": "3st"}, {"train": "all", "for": "3st"}],
            deepspeed={"zero_stage": stage},
            training={"metric": "chrf"},
        )
        pool.run(worker_tasks.run, settings)
        validated = [m for m in worker_tasks.metrics(settings) if m["kind"] == "validation"]
        found.append((worker_tasks.losses(settings), validated))
    assert close(found[0][0], found[1][0]) <= 1e-5
    one, two = (lines for _, lines in found)
    assert len(one) == len(two) == 2
    for line, other in zip(one, two, strict=True):
        assert line["validation"]["chrf"] > 0.005
        assert other["validation"] == pytest.approx(line["validation"], rel=1e-4)
        assert other["train"] == pytest.approx(line["train"], rel=1e-4)


def test_the_top_of_the_decoder_is_trained_alone_and_then_everything(
    one_worker: WorkerPool, inputs: Path, tmp_path: Path
) -> None:
    top = "model.decoder.layers.1."
    settings = job(inputs, tmp_path, "bart")
    before, after_top, after_all = one_worker.run(worker_tasks.weights_after_phases, settings)[0]
    for name in before:
        assert torch.equal(before[name], after_top[name]) != name.startswith(top), name
        assert not torch.equal(after_top[name], after_all[name]), name


def test_an_output_layer_that_is_not_tied_is_trained(
    one_worker: WorkerPool, inputs: Path, tmp_path: Path
) -> None:
    model = tiny.write_model(tmp_path / "model", "t5", untied=True)
    phases = [{"train": "head", "for": "2st"}, {"train": "embeddings", "for": "2st"}]
    settings = job(inputs, tmp_path, "t5", model={"path": str(model)}, phases=phases)
    before, head, embeddings = one_worker.run(worker_tasks.weights_after_phases, settings)[0]
    assert not torch.equal(before["lm_head.weight"], head["lm_head.weight"])
    assert torch.equal(before["shared.weight"], head["shared.weight"])
    assert torch.equal(head["lm_head.weight"], embeddings["lm_head.weight"])
    assert not torch.equal(head["shared.weight"], embeddings["shared.weight"])
