"""Real tiny models are ranked before any fine-tuning, and none is run twice."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import tiny
import tiny_entities
import tiny_language
import tiny_problems
import tiny_questions
import tiny_text2text

from unfreeze.jobs import ConfigError, ModelError, parse_job
from unfreeze.jobs.compare import compare_models, frozen

pytestmark = pytest.mark.slow

Settings = dict[str, Any]


def changed(model: str, target: Path, factor: float) -> str:
    """The model with its table of words multiplied. By 0, all words are one to it."""
    shutil.copytree(model, target)
    file = target / "model.safetensors"
    weights = safetensors.torch.load_file(file)
    tables = [name for name in weights if name.endswith((".wte.weight", "shared.weight"))]
    tables += [name for name in weights if "word_embeddings" in name]
    assert tables
    for name in tables:
        weights[name] = weights[name] * factor
    safetensors.torch.save_file(weights, file, metadata={"format": "pt"})
    return str(target)


def test_a_model_that_hears_ranks_above_a_deaf_one_and_neither_is_run_twice(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = parse_job(tiny.settings(inputs))
    hears = job.model.path
    deaf = changed(hears, tmp_path / "deaf", 0.0)
    told: list[str] = []
    found = compare_models(job, [deaf, hears, "no/such/model"], tell=told.append)
    assert found.metric == "accuracy"
    assert [ranked.judged.name for ranked in found.ranked] == [hears, deaf]
    assert found.ranked[0].score.mean > 0.8
    assert found.ranked[1].is_worse
    assert found.failures == {"no/such/model": "no such folder"}
    assert len(told) == 3
    assert found.advice.startswith(f"Take {hears}: ")
    first = found.ranked[0].judged
    assert first.facts.layers == 3
    assert 1 <= first.facts.tokens_per_word < 1.5
    assert first.training_bytes > 16 * first.facts.parameters
    assert "on 117 of 117 training rows" in found.method

    def run_again(candidate: Any) -> None:
        raise AssertionError("a forward pass was made twice")

    monkeypatch.setattr(frozen, "_compute", run_again)
    again = compare_models(job, [deaf, hears])
    assert all(ranked.judged.was_kept for ranked in again.ranked)
    assert [ranked.score for ranked in again.ranked] == [ranked.score for ranked in found.ranked]
    with pytest.raises(AssertionError, match="made twice"):  # other rows are another pass
        compare_models(job, [hears], most_rows=60)


OTHERS: dict[str, tuple[Callable[[Path], Settings], str, float]] = {
    "tags": (tiny_entities.settings, "f1", 0.0),
    "labels": (lambda folder: tiny_problems.settings(folder, "multi_label"), "micro_f1", 0.0),
    "numbers": (
        lambda folder: tiny_problems.settings(folder, "regression"),
        "mean_absolute_error",
        0.0,
    ),
    "text": (tiny_language.settings, "bits_per_byte", 30.0),
    "text to text": (lambda folder: tiny_text2text.settings(folder, "t5"), "bits_per_byte", 30.0),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_every_task_that_can_be_compared_ranks_a_damaged_model_below(
    kind: str, inputs: Path, tmp_path: Path
) -> None:
    settings, metric, factor = OTHERS[kind]
    job = parse_job(settings(inputs))
    damaged = changed(job.model.path, tmp_path / "damaged", factor)
    found = compare_models(job, [damaged, job.model.path], most_rows=150)
    assert found.metric == metric
    assert found.ranked[0].judged.name == job.model.path, found.to_data()
    assert found.ranked[1].is_worse


def test_the_rows_that_are_told_are_those_of_models_that_could_be_judged(
    inputs: Path, tmp_path: Path
) -> None:
    job = parse_job(tiny_language.settings(inputs, data={"max_length": None}))
    good, broken = job.model.path, tmp_path / "broken"
    shutil.copytree(good, broken)
    config = json.loads((broken / "config.json").read_text())
    # Fewer positions than the weights have: the text is cut into more pieces, and loading fails.
    (broken / "config.json").write_text(json.dumps(config | {"n_positions": 8}))
    found = compare_models(job, [good, str(broken)])
    assert list(found.failures) == [str(broken)]
    assert found.method == compare_models(job, [good]).method


def test_what_cannot_be_compared_says_why_before_a_model_is_loaded(inputs: Path) -> None:
    job = parse_job(tiny_questions.settings(inputs))
    with pytest.raises(ConfigError, match="question-answering cannot be compared without fine-t"):
        compare_models(job, ["no/such/model"])


def test_if_no_model_is_left_every_reason_is_given(inputs: Path) -> None:
    job = parse_job(tiny.settings(inputs))
    with pytest.raises(ModelError) as refused:
        compare_models(job, ["no/such/model", str(inputs)])
    assert refused.value.mistakes[0] == "model: no/such/model: no such folder"
    assert "no config.json in it" in refused.value.mistakes[1]
