"""The tasks: what can be learned. See `task.py` for what a task is."""

from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Discriminator, Tag, TypeAdapter, ValidationError

from unfreeze.jobs.nearest import did_you_mean
from unfreeze.jobs.tasks.question_answering import QuestionAnswering, QuestionAnsweringOptions
from unfreeze.jobs.tasks.task import Learned, Task, TaskOptions
from unfreeze.jobs.tasks.text2text_generation import (
    Text2TextGeneration,
    Text2TextGenerationOptions,
)
from unfreeze.jobs.tasks.text_classification import (
    TextClassificationOptions,
    open_text_classification,
)
from unfreeze.jobs.tasks.text_generation import TextGeneration, TextGenerationOptions
from unfreeze.jobs.tasks.token_classification import (
    TokenClassification,
    TokenClassificationOptions,
)

__all__ = ["TASKS", "AnyTask", "mistakes_about", "open_task", "usual_phases"]

TASKS: dict[str, tuple[type[TaskOptions], Callable[[Any, Learned], Task]]] = {
    "text-classification": (TextClassificationOptions, open_text_classification),
    "token-classification": (TokenClassificationOptions, TokenClassification),
    "question-answering": (QuestionAnsweringOptions, QuestionAnswering),
    "text-generation": (TextGenerationOptions, TextGeneration),
    "text2text-generation": (Text2TextGenerationOptions, Text2TextGeneration),
}
"""Every task by its name: its options, and what makes the task of them."""


def _long_form(value: Any) -> Any:
    """Lets a lone name stand for the task with its usual options. Raises ValueError."""
    name = _name_of(value := {"name": value} if isinstance(value, str) else value)
    if not isinstance(name, str):
        raise ValueError(f"expected the name of a task; known are {', '.join(TASKS)}")
    if name not in TASKS:
        raise ValueError(f"there is no task {name!r}; {did_you_mean(name, list(TASKS))}")
    return value


def _name_of(value: Any) -> Any:
    return value.get("name") if isinstance(value, dict) else getattr(value, "name", None)


if TYPE_CHECKING:
    AnyTask = TaskOptions
else:
    AnyTask = Annotated[
        reduce(or_, (Annotated[options, Tag(name)] for name, (options, _) in TASKS.items())),
        Discriminator(_name_of),
        BeforeValidator(_long_form),
    ]
"""The options of one of the tasks."""
_ANY_TASK: TypeAdapter[TaskOptions] = TypeAdapter(AnyTask)


def usual_phases(task: Any) -> list[dict[str, str]]:
    """The phases of a job that names none, by what stands under `task` in its file."""
    name = task.get("name") if isinstance(task, dict) else task
    options = TASKS[name][0] if isinstance(name, str) and name in TASKS else TaskOptions
    return [dict(phase) for phase in options.usual_phases]


def mistakes_about(task: Any, columns: Any, metric: Any) -> list[str]:
    """What in a job file does not fit its task. What is no task at all is AnyTask's business."""
    try:
        options = _ANY_TASK.validate_python(task)
    except ValidationError:
        return []
    mistakes = []
    roles = [role.name for role in options.roles]
    for name in columns if isinstance(columns, dict) else ():
        if name not in roles:
            hint = did_you_mean(str(name), roles)
            mistakes.append(f"data.columns.{name}: {options.in_words} has no such column; {hint}")
    if isinstance(metric, str) and metric not in options.metric_names:
        hint = did_you_mean(metric, options.metric_names)
        mistakes.append(f"training.metric: {options.name} has no metric {metric!r}; {hint}")
    return mistakes


def open_task(options: TaskOptions, learned: Learned | None = None) -> Task:
    """The task. `learned` is empty until the training rows were looked at."""
    return TASKS[options.name][1](options, learned or {})
