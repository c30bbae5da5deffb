"""Tiny GPT-2 models, whose embeddings are tied, learn a pattern. See also test_every_task.py."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_language
import torch
import worker_tasks
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline
from worker_pool import WorkerPool

from unfreeze.jobs.config import SourceConfig
from unfreeze.jobs.prediction.exported import fetch_model
from unfreeze.jobs.prediction.predict import predict
from unfreeze.jobs.report import build_report
from unfreeze.jobs.results import JobResult
from unfreeze.storage import ObjectStore, open_store

pytestmark = pytest.mark.slow


def job(inputs: Path, tmp_path: Path, **changes: Any) -> dict[str, Any]:
    return tiny_language.settings(inputs, storage={"uri": str(tmp_path / "runs")}, **changes)


def close(a: dict[int, float], b: dict[int, float]) -> float:
    """Largest relative difference."""
    assert a.keys() == b.keys()
    return max(abs(a[step] - b[step]) / abs(a[step]) for step in a)


def store_of(settings: dict[str, Any]) -> ObjectStore:
    return open_store(settings["storage"]["uri"]).under(settings["name"])


def predictions(settings: dict[str, Any], split: str) -> list[dict[str, Any]]:
    file = store_of(settings).get(f"predictions/{split}.jsonl")
    return [json.loads(line) for line in file.splitlines()]


def test_a_model_learns_the_pattern_and_writes_the_same_outside(
    two_workers: WorkerPool, inputs: Path, tmp_path: Path
) -> None:
    model = tiny_language.write_model(tmp_path / "language", kind="gpt2")
    phases = [
        {"train": "last:2", "for": "1ep", "learning_rate": 1e-2},
        {"train": "all", "for": "10ep", "learning_rate": 1e-2},
    ]
    settings = job(inputs, tmp_path, model={"path": str(model)}, phases=phases)
    two_workers.run(worker_tasks.run, settings)
    result, said = worker_tasks.result(settings), predictions(settings, "validation")
    before, after = result["before"]["validation"], result["validation"]
    assert before["perplexity"] > 200 and after["perplexity"] < 2.5
    assert after["bits_per_byte"] < before["bits_per_byte"] / 5
    assert after["next_token_accuracy"] > 0.6 > before["next_token_accuracy"] + 0.5
    assert result["general"]["bits_per_byte"] > 10 * after["bits_per_byte"]
    page = build_report(result, worker_tasks.metrics(settings), said, judged="validation")
    assert "before, drawn" in page and "Before and after" in page

    folder = fetch_model(store_of(settings), tmp_path)
    exported = AutoModelForCausalLM.from_pretrained(folder)
    assert exported.get_output_embeddings().weight is exported.get_input_embeddings().weight
    tokenizer = AutoTokenizer.from_pretrained(folder)
    write = pipeline("text-generation", model=exported, tokenizer=tokenizer)
    samples = [line for line in said if "continuation" in line]
    assert len(samples) == 2
    for sample in samples:
        (found,) = write(
            sample["prompt"], do_sample=False, max_new_tokens=32, return_full_text=False
        )
        assert found["generated_text"] == sample["continuation"]
        assert sample["before"]["prompt"] == sample["prompt"]
        assert sample["before"]["continuation"] != sample["continuation"]


def test_new_rows_are_gone_on_with(two_workers: WorkerPool, inputs: Path, tmp_path: Path) -> None:
    rows = [
        {"prompt": f"{i}: The {thing} is", "completion": f" {colour}."}
        for i in range(20)
        for thing, colour in tiny_language.COLOURS.items()
    ]
    train = tiny_language.write_lines(tmp_path / "rows.jsonl", rows[5:])
    model = tiny_language.write_model(tmp_path / "language", kind="llama")
    settings = job(
        inputs,
        tmp_path,
        model={"path": str(model)},
        task={"name": "text-generation", "form": "completion", "decoding": {"new_tokens": 6}},
        data={"train": str(train), "validation": 0.1, "max_length": 32, "general": None},
        phases=[{"train": "all", "for": "12ep", "learning_rate": 1e-2}],
    )
    two_workers.run(worker_tasks.run, settings)
    result = JobResult(settings["storage"]["uri"], worker_tasks.result(settings), True)
    assert result.data["validation"]["next_token_accuracy"] == 1.0
    new = tiny_language.write_lines(tmp_path / "new.jsonl", rows[:5])
    said = list(
        predict(
            store_of(settings), result, SourceConfig(path=str(new)), endpoint=None, cache=tmp_path
        )
    )
    assert [line["continuation"] for line in said] == [row["completion"] for row in rows[:5]]


def test_workers_and_zero_stages_change_neither_losses_nor_samples(
    one_worker: WorkerPool, two_workers: WorkerPool, inputs: Path, tmp_path: Path
) -> None:
    found = []
    for pool, stage in [(one_worker, 0), (two_workers, 2), (two_workers, 3)]:
        name = f"{pool.world}-{stage}"
        settings = job(inputs, tmp_path / name, deepspeed={"zero_stage": stage})
        pool.run(worker_tasks.run, settings)
        lines = [line for line in predictions(settings, "general") if "continuation" in line]
        found.append((worker_tasks.losses(settings), lines))
    (expected, samples), *others = found
    assert len(expected) == 28 and len(samples) == 2
    for losses, said in others:
        assert close(expected, losses) <= 1e-5
        assert [line["before"]["drawn"] for line in said] == [
            line["before"]["drawn"] for line in samples
        ]


def test_in_a_head_phase_no_tied_weight_changes(
    two_workers: WorkerPool, inputs: Path, tmp_path: Path
) -> None:
    phases = [{"train": "head", "for": "3st"}, {"train": "all", "for": "3st"}]
    settings = job(inputs, tmp_path, phases=phases)
    snapshots = two_workers.run(worker_tasks.weights_after_phases, settings)
    for before, head_phase, full_phase in snapshots:
        assert "lm_head.weight" not in before
        for name, weight in before.items():
            in_head = name.startswith("transformer.ln_f.")
            assert torch.equal(weight, head_phase[name]) != in_head, name
            assert not torch.equal(head_phase[name], full_phase[name]), name
