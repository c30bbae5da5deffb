"""What is asked of every task, whichever it is."""

from pathlib import Path
from typing import Any

import pytest
import tiny_text2text

from unfreeze.jobs.data.checks import EXPECTED
from unfreeze.jobs.data.dataset import prepare
from unfreeze.jobs.job_file import parse_job
from unfreeze.jobs.metrics import TRAITS
from unfreeze.jobs.tasks import TASKS, mistakes_about, open_task, usual_phases
from unfreeze.jobs.tasks.task import TaskOptions


def options_of(name: str) -> TaskOptions:
    return TASKS[name][0].model_validate({"name": name})


@pytest.mark.parametrize("name", TASKS)
def test_a_task_can_be_had_by_its_name_alone(name: str) -> None:
    job = parse_job({"name": "job", "model": "m", "task": name, "data": {"train": "t"}})
    assert job.task == options_of(name)
    task = open_task(job.task)
    assert (task.options, task.learned) == (job.task, {})
    assert task.auto_model.startswith("AutoModelFor")


@pytest.mark.parametrize("name", TASKS)
def test_every_metric_is_described_and_the_loss_is_among_them(name: str) -> None:
    names = options_of(name).metric_names
    assert "loss" in names
    assert set(names) <= set(TRAITS)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", TASKS)
def test_every_column_has_a_kind_and_one_at_least_is_read(name: str) -> None:
    roles = options_of(name).roles
    assert {role.kind for role in roles} <= set(EXPECTED)
    assert any(role.column for role in roles)
    assert len({role.name for role in roles}) == len(roles)


@pytest.mark.parametrize("name", TASKS)
def test_the_usual_phases_can_be_read(name: str) -> None:
    job = parse_job({"name": "job", "model": "m", "task": name, "data": {"train": "t"}})
    assert len(job.phases) == len(usual_phases(name)) == len(usual_phases({"name": name}))


@pytest.mark.parametrize("name", TASKS)
def test_the_key_of_the_examples_has_all_options_but_those_that_do_not_shape_them(
    name: str,
) -> None:
    options = options_of(name)
    every = options.model_dump(mode="json")
    assert options.not_in_examples <= every.keys() - {"name"}
    left_out = every.keys() - options.of_examples.keys()
    assert left_out == options.not_in_examples and options.of_examples.items() <= every.items()


def test_other_ways_of_writing_use_the_same_examples(tmp_path: Path) -> None:
    settings = tiny_text2text.settings(tmp_path, "t5")

    def key(**options: Any) -> str:
        job = parse_job(settings | {"task": {"name": "text2text-generation", **options}})
        located = settings["model"]["path"]
        data = job.data.model_copy(update={"max_length": 16})
        job = job.model_copy(update={"data": data})
        return prepare(job, located, cache=tmp_path / "cache").fingerprint

    assert key(decoding={"beams": 4}) == key(decoding={"new_tokens": 3}) == key()
    assert key(prefix="say: ") != key()


@pytest.mark.parametrize("task", [None, "guessing", 3, {"name": []}, {}])
def test_what_is_no_task_has_the_phases_of_any_and_no_mistakes_of_its_own(task: Any) -> None:
    assert [phase["train"] for phase in usual_phases(task)] == ["head", "all"]
    assert mistakes_about(task, {"x": "y"}, "z") == []
