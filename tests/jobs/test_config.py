"""The settings themselves: defaults, bounds, short forms, and what is written down again."""

from typing import Any

import pytest

from unfreeze.jobs import ConfigError, JobConfig, parse_job
from unfreeze.jobs.config import Plateau, SourceConfig
from unfreeze.jobs.lengths import Span

SMALLEST: dict[str, Any] = {
    "name": "reviews",
    "model": "models/tiny",
    "task": "text-classification",
    "data": {"train": "train.jsonl"},
}


def job(**changes: Any) -> JobConfig:
    return parse_job(SMALLEST | changes)


def mistakes(**changes: Any) -> list[str]:
    with pytest.raises(ConfigError) as error:
        job(**changes)
    return error.value.mistakes


def test_a_job_of_model_task_and_data_has_all_it_needs() -> None:
    found = job()
    assert [(phase.train, str(phase.length)) for phase in found.phases] == [
        (("head",), "1ep"),
        (("all",), "3ep"),
    ]
    assert found.data.validation == 0.1
    assert found.data.test is None
    assert found.deepspeed == {"zero_stage": 2}
    assert found.scale.workers is None
    assert found.training.batch_size == 32
    assert not found.model.trust_remote_code
    assert not found.data.allow_overlap
    assert found.storage.uri == "runs"


def test_a_lone_string_stands_for_a_path() -> None:
    found = job(
        data={"train": "a.jsonl", "validation": "b.jsonl", "test": "c.jsonl"},
        storage="s3://bucket",
        deepspeed="ds.json",
    )
    assert found.model.path == "models/tiny"
    assert found.data.train == SourceConfig(path="a.jsonl")
    assert found.data.validation == SourceConfig(path="b.jsonl")
    assert found.data.test == SourceConfig(path="c.jsonl")
    assert found.storage.uri == "s3://bucket"
    assert found.deepspeed == {"config": "ds.json"}


def test_a_lone_task_has_its_usual_options_and_they_are_written_down() -> None:
    assert job() == job(task={"name": "text-classification"})
    assert job().to_data()["task"] == {
        "name": "text-classification",
        "problem_type": "single_label",
        "class_weights": "none",
    }


def test_columns_have_the_names_of_what_is_read_unless_the_job_says_otherwise() -> None:
    assert job().columns == {"text": "text", "label": "label"}
    columns = {"label": "stars", "text_pair": "reply"}
    found = job(data={"train": "a", "columns": columns})
    assert found.columns == {"text": "text", "text_pair": "reply", "label": "stars"}
    assert list(found.columns) == ["text", "text_pair", "label"], "in the order of the task"
    assert found.data.columns == columns


def test_the_metric_is_the_tasks_first_unless_the_job_says_otherwise() -> None:
    assert (job().metric, job().mode, job().training.metric) == ("accuracy", "max", "accuracy")
    found = job(training={"metric": "loss"})
    assert (found.metric, found.mode) == ("loss", "min")
    assert job(training={"metric": "weighted_f1"}).mode == "max"


def test_a_phase_may_train_one_block_or_several() -> None:
    phases = job(phases=[{"train": "head"}, {"train": ["head", "layer.1"]}]).phases
    assert [phase.train for phase in phases] == [("head",), ("head", "layer.1")]


@pytest.mark.parametrize("epochs", [0, 1, 2, 0.5, "3"])
def test_freeze_epochs_is_the_length_of_a_head_phase_before_the_full_one(epochs: Any) -> None:
    head, rest = job(freeze_epochs=epochs).phases
    assert (head.train, head.length) == (("head",), Span(float(epochs), "ep"))
    assert (rest.train, str(rest.length)) == (("all",), "3ep")


@pytest.mark.parametrize("epochs", [-1, "many", [1], True])
def test_freeze_epochs_that_are_no_number_are_a_mistake(epochs: Any) -> None:
    assert len(mistakes(freeze_epochs=epochs)) == 1


def test_phases_and_freeze_epochs_exclude_each_other() -> None:
    both = mistakes(freeze_epochs=1, phases=[{"train": "head"}])
    assert both == ["give either phases or freeze_epochs, not both"]


def test_phases_and_freeze_epochs_together_do_not_hide_other_mistakes() -> None:
    assert len(mistakes(freeze_epochs=1, phases=[{"train": "head"}], modle="x")) == 2


def test_phases_that_are_given_and_empty_are_a_mistake() -> None:
    assert "phases" in mistakes(phases=[])[0]


def test_a_plateau_has_patience_and_an_end() -> None:
    (phase,) = job(phases=[{"train": "all", "for": {"until": "plateau"}}]).phases
    assert phase.length == Plateau(until="plateau", patience=2, at_most=Span(6, "ep"))
    assert phase.longest == Span(6, "ep")
    (phase,) = job(
        phases=[{"train": "all", "for": {"until": "plateau", "patience": 1, "at_most": "9st"}}]
    ).phases
    assert phase.longest == Span(9, "st")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", ""),
        ("name", "a/b"),
        ("name", "../a"),
        ("name", "x" * 101),
        ("task", "regression"),
        ("training.batch_size", 0),
        ("training.batch_size", 1.5),
        ("training.batch_size", "many"),
        ("training.micro_batch_size", 0),
        ("training.precision", "fp8"),
        ("training.weight_decay", -1),
        ("training.warmup", 1.1),
        ("training.schedule", "square"),
        ("training.seed", -1),
        ("training.metric", "auc"),
        ("training.eps", 0),
        ("training.betas", [0.9]),
        ("training.validate_every", 10),
        ("data.validation", 0),
        ("data.validation", 1),
        ("data.validation", -0.1),
        ("data.max_length", 3),
        ("data.columns", {"txt": "a"}),
        ("data.columns", {"text": None}),
        ("data.columns", {3: "text"}),
        ("data.columns", "text"),
        ("data.on_bad_row", "ignore"),
        ("training.metric", 3),
        ("model.dropout", 1),
        ("scale.workers", 0),
        ("scale.workers", -2),
        ("scale.gpus_per_worker", -1),
        ("scale.cpus_per_worker", 0),
        ("scale.max_failures", -1),
        ("checkpoints.keep_latest", 0),
        ("checkpoints.every", "often"),
        ("phases", [{"train": []}]),
        ("phases", [{"train": "head", "learning_rate": 0}]),
        ("phases", [{"train": "head", "learning_rate": float("nan")}]),
        ("phases", [{"train": "head", "layer_decay": 0}]),
        ("phases", [{"train": "head", "layer_decay": 1.01}]),
        ("phases", [{"train": "head", "warmup": -0.1}]),
        ("phases", [{"train": "head", "for": {"until": "bored"}}]),
        ("phases", [{"train": "head", "for": {"until": "plateau", "patience": 0}}]),
        ("phases", [{}]),
        ("phases", "head"),
        ("deepspeed", 3),
        ("storage.endpoint", 3),
    ],
)
def test_a_value_out_of_bounds_is_a_mistake_that_names_its_place(key: str, value: Any) -> None:
    part, _, rest = key.partition(".")
    given = SMALLEST.get(part) if isinstance(SMALLEST.get(part), dict) else {}
    given = {"path": "models/tiny"} if part == "model" else given
    found = mistakes(**{part: {**given, rest: value} if rest else value})
    assert found[0].startswith(key)
    assert all("\n" not in line for line in found)


@pytest.mark.parametrize(
    ("part", "setting", "value"),
    [
        ("training", "betas", [2, 3]),
        ("training", "weight_decay", float("inf")),
        ("scale", "workers", True),
    ],
)
def test_a_value_that_no_worker_can_use_is_a_mistake(part: str, setting: str, value: Any) -> None:
    assert mistakes(**{part: {setting: value}})


@pytest.mark.parametrize(
    "phase",
    [{"trian": "head"}, {"train": "head", "for": "3"}, {"train": "head", "learning_rate": 0}],
)
def test_a_phase_with_a_mistake_is_not_counted_as_no_phase(phase: dict[str, Any]) -> None:
    assert not [line for line in mistakes(phases=[phase]) if line.startswith("phases:")]


def test_settings_cannot_be_changed_after_they_were_checked() -> None:
    with pytest.raises(ValueError, match="frozen"):
        job().name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"freeze_epochs": 2},
        {"phases": [{"train": "all", "for": {"until": "plateau", "at_most": "20st"}}]},
        {"data": {"train": "a", "validation": "b", "test": 0.2}},
        {"deepspeed": {"zero_optimization": {"stage": 3, "overlap_comm": True}}},
        {"storage": {"uri": "s3://b", "endpoint": "embedded"}, "training": {"betas": [0.9, 0.95]}},
        {"task": {"name": "question-answering", "n_best": 3}},
        {"data": {"train": "a", "columns": {"text_pair": "b"}, "on_bad_row": "skip"}},
        {"training": {"metric": "f1"}},
    ],
)
def test_a_job_that_is_written_down_reads_as_the_same_job(changes: dict[str, Any]) -> None:
    assert parse_job(job(**changes).to_data()) == job(**changes)
