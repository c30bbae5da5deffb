"""The JSON schema that editors get agrees with what is read."""

from typing import Any

import pytest

from unfreeze.jobs import JobConfig, parse_job
from unfreeze.jobs.job_file import job_schema
from unfreeze.jobs.tasks import TASKS

SMALLEST: dict[str, Any] = {
    "name": "reviews",
    "model": "models/tiny",
    "task": "text-classification",
    "data": {"train": "train.jsonl"},
}


def test_the_schema_describes_every_setting_and_asks_for_three() -> None:
    schema = job_schema()
    assert sorted(schema["required"]) == ["data", "model", "task"]
    assert set(schema["properties"]) == {*JobConfig.model_fields, "freeze_epochs"}
    for settings in schema["$defs"].values():
        for name, setting in settings.get("properties", {}).items():
            assert setting.get("description"), f"{name} has no description"


def schema_errors(settings: dict[str, Any]) -> list[str]:
    jsonschema = pytest.importorskip("jsonschema")
    found = jsonschema.Draft202012Validator(job_schema()).iter_errors(settings)
    return [error.message for error in found]


def test_the_schema_takes_a_job_in_long_form_and_refuses_a_misspelled_one() -> None:
    job = parse_job(SMALLEST).to_data()
    assert not schema_errors(job)
    assert schema_errors(job | {"modle": 1})


@pytest.mark.parametrize(
    "short",
    [
        {"model": "models/tiny"},
        {"data": {"train": "train.jsonl"}},
        {"phases": [{"train": "head"}]},
        {"storage": "runs"},
        {"deepspeed": "ds.json"},
        {"task": "text-classification"},
        {"task": {"name": "text-classification"}},
        {"task": {"name": "question-answering", "n_best": 3}},
    ],
    ids=lambda short: next(iter(short)),
)
def test_the_schema_takes_the_short_forms_that_job_files_use(short: dict[str, Any]) -> None:
    assert not schema_errors(parse_job(SMALLEST).to_data() | short)


def test_the_schema_has_every_task_with_its_options() -> None:
    long, short = job_schema()["properties"]["task"]["anyOf"]
    assert short["enum"] == list(TASKS)
    named = [place["$ref"].removeprefix("#/$defs/") for place in long["oneOf"]]
    assert named == [options.__name__ for options, _ in TASKS.values()]
    parts = job_schema()["$defs"]
    for (task, (options, _)), part in zip(TASKS.items(), named, strict=True):
        assert parts[part]["properties"]["name"]["const"] == task
        assert parts[part]["properties"].keys() == options.model_fields.keys()


@pytest.mark.parametrize(
    "task", ["guessing", {"name": "guessing"}, {"name": "text-classification", "strid": 3}, 3]
)
def test_the_schema_refuses_what_is_no_task(task: Any) -> None:
    assert schema_errors(parse_job(SMALLEST).to_data() | {"task": task})
