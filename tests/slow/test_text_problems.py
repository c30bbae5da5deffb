"""Text classification with several labels, with numbers, and with weights: trained for real."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_problems
import torch
import worker_tasks
from sklearn.metrics import f1_score, r2_score
from worker_pool import WorkerPool

from unfreeze.jobs.config import SourceConfig
from unfreeze.jobs.prediction.exported import fetch_model
from unfreeze.jobs.prediction.predict import predict
from unfreeze.jobs.results import JobResult, find_result, find_run, read_jsonl, write_report
from unfreeze.jobs.tasks.calibration import TEMPERATURE
from unfreeze.storage import ObjectStore, open_store
from unfreeze.tuning import run_search
from unfreeze.tuning.search_file import parse_search

pytestmark = pytest.mark.slow


def trained(settings: dict[str, Any], pool: WorkerPool) -> tuple[ObjectStore, JobResult]:
    pool.run(worker_tasks.run, settings)
    runs = find_run(f"{settings['storage']['uri']}/{settings['name']}")
    return runs, find_result(runs)


def asked(runs: ObjectStore, result: JobResult, texts: list[str], folder: Path) -> Any:
    """What `predict` says of the texts, and what transformers' own pipeline does."""
    from transformers import pipeline

    new = tiny.write_rows(folder / "new.jsonl", [{"text": text} for text in texts])
    source, cache = SourceConfig(path=str(new)), folder / "cache"
    said = list(predict(runs, result, source, endpoint=None, cache=cache))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ask = pipeline("text-classification", model=str(fetch_model(runs, cache)), device="cpu")
        return said, ask(texts, top_k=None), ask.model.config


def test_a_model_learns_several_labels_and_says_the_same_everywhere(
    one_worker: WorkerPool, inputs: Path, tmp_path: Path
) -> None:
    storage = {"uri": str(tmp_path / "runs")}
    settings = tiny_problems.settings(inputs, "multi_label", storage=storage)
    runs, result = trained(settings, one_worker)
    assert result.test is not None
    said = read_jsonl(runs, "predictions/test.jsonl")
    labels = ["bad", "good", "place"]
    truth, guess = (
        np.array([[label in row[key] for label in labels] for row in said])
        for key in ("label", "predicted")
    )
    assert result.test["micro_f1"] == pytest.approx(f1_score(truth, guess, average="micro"))
    assert result.test["subset_accuracy"] == (truth == guess).all(axis=1).mean()
    same = [np.broadcast_to(row, truth.shape) for row in np.ndindex(2, 2, 2)]
    alone = max(f1_score(truth, one, average="micro") for one in same)
    assert result.test["micro_f1"] > alone + 0.15, "than the same labels for every text"

    texts = [row["text"] for row in tiny_problems.label_rows(40, seed=9)]
    predicted, scores, config = asked(runs, result, texts, tmp_path)
    temperature = result.data["learned"].get("temperature", 1.0)
    assert getattr(config, TEMPERATURE, 1.0) == temperature
    assert config.problem_type == "multi_label_classification"
    for one, row in zip(predicted, scores, strict=True):
        score_of = {part["label"]: part["score"] for part in row}
        assert sorted(one["predicted"]) == sorted(x for x in labels if score_of[x] > 0.5)
        raw = torch.tensor([score_of[label] for label in labels]).logit() / temperature
        assert list(one["probabilities"].values()) == pytest.approx(
            raw.sigmoid().tolist(), abs=1e-4
        )

    write_report(runs, result.data)
    page = runs.get("report.html").decode()
    assert "<h2>Labels</h2>" in page and "<h2>Reliability</h2>" in page


def test_a_model_learns_numbers_and_says_the_same_everywhere(
    one_worker: WorkerPool, inputs: Path, tmp_path: Path
) -> None:
    storage = {"uri": str(tmp_path / "runs")}
    settings = tiny_problems.settings(inputs, "regression", storage=storage)
    runs, result = trained(settings, one_worker)
    assert result.test is not None and result.test["r2"] > 0.8
    said = read_jsonl(runs, "predictions/test.jsonl")
    columns = [[row[key] for row in said] for key in ("label", "predicted")]
    assert result.test["r2"] == pytest.approx(r2_score(*columns), abs=1e-5)
    assert result.data["learned"] == {}

    texts = [row["text"] for row in tiny_problems.number_rows(40, seed=9)]
    predicted, scores, config = asked(runs, result, texts, tmp_path)
    assert (config.problem_type, config.num_labels) == ("regression", 1)
    expected = [part["score"] for [part] in scores]
    assert [row["predicted"] for row in predicted] == pytest.approx(expected, abs=1e-5)

    write_report(runs, result.data)
    page = runs.get("report.html").decode()
    assert "<h2>Worst errors</h2>" in page and "R\u00b2" in page


@pytest.mark.parametrize("world", [1, 2])
def test_a_step_with_class_weights_is_torchs_own(
    one_worker: WorkerPool, two_workers: WorkerPool, inputs: Path, tmp_path: Path, world: int
) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    weights = {"good": 5.0, "bad": 0.5}
    settings = tiny.settings(
        inputs,
        task={"name": "text-classification", "class_weights": weights},
        storage={"uri": str(tmp_path / "runs")},
        model={"path": str(inputs / "model"), "dropout": 0.0},
        phases=[{"train": "all", "for": "1st"}],
        training={"batch_size": 117, "micro_batch_size": 30, "max_grad_norm": 1e6},
    )
    pool = two_workers if world == 2 else one_worker
    before = pool.run(worker_tasks.weights_after_phases, settings)[0][0]
    pool.run(worker_tasks.run, settings)
    [step] = [line for line in worker_tasks.metrics(settings) if line["kind"] == "train"]

    rows = [json.loads(line) for line in Path(settings["data"]["train"]).read_text().splitlines()]
    model = AutoModelForSequenceClassification.from_pretrained(inputs / "model", num_labels=2)
    model.load_state_dict(before)
    tokenizer = AutoTokenizer.from_pretrained(inputs / "model")
    batch = tokenizer([row["text"] for row in rows], padding=True, return_tensors="pt")
    labels = torch.tensor([["bad", "good"].index(row["label"]) for row in rows])
    criterion = torch.nn.CrossEntropyLoss(weight=torch.tensor([weights["bad"], weights["good"]]))
    loss = criterion(model.eval()(**batch).logits, labels)
    loss.backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    assert step["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert step["grad_norm"] == pytest.approx(norm.item(), rel=1e-4)


def test_a_search_over_numbers_ends_with_a_winner_that_is_exported(
    inputs: Path, tmp_path: Path, ray_address: str
) -> None:
    uri = str(tmp_path)
    job = tiny_problems.settings(
        inputs,
        "regression",
        storage={"uri": uri},
        scale={"workers": 1, "gpus_per_worker": 0},
        phases=[{"train": "head", "for": "3st"}, {"train": "all", "for": "3st"}],
    )
    search = {
        "name": "numbers",
        "job": job,
        "space": {"phases.0.for": {"choice": ["0st", "3st"]}},
        "searcher": "grid",
        "scheduler": "none",
        "lanes": 1,
        "finalists": {"top": 1, "seeds": 2},
    }
    found = run_search(parse_search(search), address=ray_address)
    winner = found.data["test"]["winner"]
    low, high = winner["interval"]
    assert (found.data["metric"], found.data["mode"]) == ("mean_absolute_error", "min")
    assert low < winner["metric"] < high
    assert winner["scores"].keys() >= {"root_mean_squared_error", "r2"}
    config = json.loads(open_store(uri).under("numbers").get("model/config.json"))
    assert config["problem_type"] == "regression"
