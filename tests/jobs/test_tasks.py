"""What is asked of every task, whichever it is."""

from typing import Any

import pytest

from unfreeze.jobs.checks import EXPECTED
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


@pytest.mark.parametrize("task", [None, "guessing", 3, {"name": []}, {}])
def test_what_is_no_task_has_the_phases_of_any_and_no_mistakes_of_its_own(task: Any) -> None:
    assert [phase["train"] for phase in usual_phases(task)] == ["head", "all"]
    assert mistakes_about(task, {"x": "y"}, "z") == []
