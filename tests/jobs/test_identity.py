"""Which changes of a job file a begun run can live with."""

from typing import Any

import pytest

from unfreeze.jobs import parse_job
from unfreeze.jobs.identity import changed_settings, settings_that_matter
from unfreeze.jobs.phases import settle_phases

SETTINGS: dict[str, Any] = {
    "name": "job",
    "model": {"path": "models/tiny"},
    "task": "text-classification",
    "data": {"train": "train.jsonl", "max_length": 64},
    "phases": [{"train": "head", "for": "1ep"}, {"train": "all", "for": "2ep"}],
    "training": {"batch_size": 8},
}


def identity(rows_hash: str = "rows", weights: str = "w", **changes: Any) -> dict[str, Any]:
    settings = dict(SETTINGS)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(settings.get(key), dict)
        settings[key] = settings[key] | value if both else value
    return settings_that_matter(parse_job(settings), rows_hash, weights)


def settled(phases: list[dict[str, Any]]) -> dict[str, Any]:
    """As `identity`, of a job whose phases are written out, as they are before training."""
    job = parse_job(SETTINGS | {"phases": phases})
    return settings_that_matter(settle_phases(job, ["embeddings", "layer.0", "head"]), "rows", "w")


def changes(phase: int | None = None, **now: Any) -> list[str]:
    return changed_settings(identity(), identity(**now), phase)


def test_the_same_job_has_no_changes() -> None:
    assert changes() == []


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"model": {"path": "elsewhere/tiny"}},
        {"data": {"train": "same-rows.csv"}},
        {"scale": {"workers": 7}},
        {"deepspeed": {"zero_stage": 3}},
        {"checkpoints": {"every": "5st", "keep_best": 3}},
        {"storage": {"uri": "s3://bucket"}},
        {"training": {"precision": "bf16"}},
        {"training": {"micro_batch_size": 2}},
        {"training": {"gradient_checkpointing": True}},
    ],
    ids=str,
)
def test_where_and_how_fast_a_job_runs_may_change(change: dict[str, Any]) -> None:
    assert changes(**change) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"training": {"batch_size": 16}}, "training.batch_size: was 8, is 16"),
        ({"training": {"seed": 1}}, "training.seed: was 0, is 1"),
        ({"training": {"metric": "loss"}}, "training.metric: was accuracy, is loss"),
        ({"training": {"warmup": 0.5}}, "training.warmup: was not set, is 0.5"),
        ({"training": {"betas": [0.9, 0.95]}}, "training.betas: was [0.9, 0.999], is [0.9, 0.95]"),
        ({"model": {"dropout": 0.5}}, "model.dropout: was not set, is 0.5"),
        ({"data": {"max_length": 32}}, "data.max_length: was 64, is 32"),
        ({"data": {"train": "other"}, "weights": "v"}, "model.weights: was w, is v"),
    ],
)
def test_what_decides_the_weights_may_not_change(change: dict[str, Any], line: str) -> None:
    assert changes(**change) == [line]


def test_contents_of_data_and_model_are_named_in_short() -> None:
    (line,) = changed_settings(identity("a" * 64), identity("b" * 64))
    assert line == "data.contents: was aaaaaaaaaaaa..., is bbbbbbbbbbbb..."


def test_all_changes_are_named_at_once() -> None:
    assert len(changes(training={"seed": 1, "batch_size": 9}, model={"dropout": 0.0})) == 3


HEAD = {"train": "head", "for": "1ep"}
ALL = {"train": "all", "for": "2ep"}


@pytest.mark.parametrize(
    ("phase", "phases", "lines"),
    [
        (0, [HEAD, ALL | {"for": "5ep"}], []),
        (0, [HEAD, ALL | {"learning_rate": 1e-4}], []),
        (1, [HEAD, ALL | {"for": "5ep"}], ["phases.1.for: was 2ep, is 5ep"]),
        (None, [HEAD, ALL | {"for": "5ep"}], ["phases.1.for: was 2ep, is 5ep"]),
        (0, [HEAD | {"for": "2ep"}, ALL], ["phases.0.for: was 1ep, is 2ep"]),
        (1, [HEAD | {"for": "2ep"}, ALL], ["phases.0.for: was 1ep, is 2ep"]),
        (1, [HEAD, ALL, ALL], []),
    ],
)
def test_a_phase_that_has_not_begun_may_change(
    phase: int | None, phases: list[dict[str, Any]], lines: list[str]
) -> None:
    assert changes(phase, phases=phases) == lines


def test_a_phase_that_becomes_a_plateau_has_changed() -> None:
    until = {"until": "plateau", "patience": 2, "at_most": "2ep"}
    lines = changes(1, phases=[HEAD, ALL | {"for": until}])
    assert "phases.1.for: was 2ep, is not set" in lines
    assert "phases.1.for.at_most: was not set, is 2ep" in lines


def test_a_begun_phase_whose_rates_change_with_a_new_phase_has_changed() -> None:
    before, now = settled([ALL]), settled([ALL, HEAD])
    assert changed_settings(before, now, 0)
