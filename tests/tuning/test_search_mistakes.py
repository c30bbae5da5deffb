"""What a search may not be: every mistake is told in one answer, before anything is started."""

from typing import Any

import pytest
from search_settings import JOB, mistakes, parse


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("trials", "trials: expected key=value"),
        ("space.phases.0.for", "space.phases.0.for: expected key=value"),
        ("space.phases.0.for.choice=[1", "space.phases.0.for.choice: '[1' is not YAML"),
        ("space.phases.0.for.choise=[1ep]", "space.phases.0.for.choise: no such setting; did you"),
        ("space.a=3", "space.a: expected one of choice, uniform, loguniform, randint, as in"),
        ("job.nonsense", "job.nonsense: expected key=value"),
        ("job.phases.7.for=1ep", "job.phases.7.for: there is nothing at this place to set"),
        ("job.training.sed=1", "job.training.sed: no such setting; did you mean seed?"),
        ("trails=3", "trails: no such setting; did you mean trials?"),
        ("scheduler.grase=1ep", "scheduler.grase: no such setting; did you mean grace?"),
    ],
)
def test_an_override_that_fits_nowhere_is_a_mistake(override: str, line: str) -> None:
    (found,) = mistakes(override, scheduler="asha")
    assert found.startswith(line)


@pytest.mark.parametrize("space", [None, {}, [], "all", 3])
def test_a_space_that_names_nothing_is_refused(space: Any) -> None:
    (found,) = mistakes(space=space)
    assert found.startswith("space: ")
    assert mistakes("space.a.choice=[1]", space=[])


@pytest.mark.parametrize(
    ("key", "dimension", "lines"),
    [
        (
            "training.batchsize",
            {"choice": [1, 2]},
            ["training.batchsize: no such setting; did you mean batch_size?"],
        ),
        (
            "trainin.batch_size",
            {"choice": [1]},
            ["trainin.batch_size: trainin: no such setting; did you mean training?"],
        ),
        (
            "phases.2.for",
            {"choice": ["1ep"]},
            ["phases.2.for: there is nothing at this place to set"],
        ),
        (
            "phases.0.for",
            {"choice": ["1ep", "long", "later"]},
            [
                'phases.0.for: expected a length such as "2ep" or "100st", got \'long\'',
                'phases.0.for: expected a length such as "2ep" or "100st", got \'later\'',
            ],
        ),
        (
            "phases.1.learning_rate",
            {"uniform": [-1, 1]},
            ["phases.1.learning_rate: input should be greater than 0, got -1.0"],
        ),
        (
            "training.warmup",
            {"uniform": [0, 2]},
            ["training.warmup: input should be less than or equal to 1, got 2.0"],
        ),
        (
            "training.batch_size",
            {"randint": [0, 3]},
            ["training.batch_size: input should be greater than or equal to 1, got 0"],
        ),
        (
            "phases.0.for",
            {"randint": [1, 3]},
            [
                'phases.0.for: expected a length such as "2ep" or "100st", got 1',
                'phases.0.for: expected a length such as "2ep" or "100st", got 2',
            ],
        ),
        (
            "phases.0.train",
            {"choice": ["all", 3]},
            ["phases.0.train: input should be a valid tuple, got 3"],
        ),
    ],
)
def test_what_the_job_cannot_have_is_found_before_the_search_starts(
    key: str, dimension: Any, lines: list[str]
) -> None:
    assert mistakes(space={key: dimension}) == [f"space.{line}" for line in lines]


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("training.seed", "seeds are never searched; finalists are run with several"),
        ("training.metric", "trials must be compared by the same metric"),
        ("training", "name one setting under it"),
        ("name", "the search names its trials"),
        ("task", "trials must be judged by the same task"),
        ("storage", "it is not part of what is learned"),
        ("storage.uri", "it is not part of what is learned"),
        ("scale.workers", "it is not part of what is learned"),
        ("checkpoints.every", "it is not part of what is learned"),
        ("data", "trials must be judged on the same rows"),
        ("data.validation", "trials must be judged on the same rows"),
        ("data.columns.text", "trials must be judged on the same rows"),
        ("freeze_epochs", "search phases.0.for instead"),
    ],
)
def test_what_must_be_equal_for_all_trials_is_refused_with_a_reason(key: str, reason: str) -> None:
    (found,) = mistakes(space={key: {"choice": [1]}})
    assert found.startswith(f"space.{key}: {reason}")


def test_the_length_of_inputs_may_be_searched_and_the_model_too() -> None:
    parse(space={"data.max_length": {"choice": [64, 128]}, "model.dropout": {"uniform": [0, 0.3]}})


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("data.max_length", [64, 128]),
        ("model", [{"path": "models/other"}]),
        ("model.path", ["models/other"]),
        ("model.revision", ["v2"]),
    ],
)
def test_what_cuts_the_examples_is_not_searched_where_they_are_cut_out_of_the_text(
    key: str, values: list[Any]
) -> None:
    space = {key: {"choice": values}, "model.dropout": {"choice": [0.1]}}
    assert parse(space=space), "each row is an example"
    assert mistakes(space=space, job=JOB | {"task": "text-generation"}) == [
        f"space.{key}: it decides where examples are cut out of the text; "
        "trials must be judged on the same rows"
    ]
    chats = {"name": "text-generation", "form": "chat"}
    assert parse(space=space, job=JOB | {"task": chats}), "each row is one here, too"


def test_a_conditional_dimension_is_tried_where_it_is_active() -> None:
    plateau = {"until": "plateau"}
    patience = {"randint": [1, 4], "when": {"phases.0.for": plateau}}
    space = {"phases.0.for": {"choice": ["1ep", plateau]}, "phases.0.for.patience": patience}
    assert parse(space=space).space.order == ["phases.0.for", "phases.0.for.patience"]
    space["phases.0.for.patience"] = patience | {"randint": [0, 4]}
    assert mistakes(space=space) == [
        "space.phases.0.for.patience: input should be greater than or equal to 1, got 0"
    ]


def test_every_mistake_is_reported_at_once() -> None:
    found = mistakes(
        "nonsense",
        "job.phases.0.for=long",
        name="no/slashes",
        trails=3,
        mode="most",
        metric="auc",
        lanes="many",
        searcher="grd",
        scheduler="hyperband",
        finalists={"top": 0, "seads": 3},
        logging={"mlfow": "x"},
        space={
            "training.seed": {"randint": [0, 9]},
            "phases.0.for": {"choise": ["1ep"]},
            "phases.1.for": {"uniform": [2, 1]},
            "phases.1.learning_rate": {"uniform": [0, 1], "loguniform": [1, 2]},
        },
    )
    for start in [
        "nonsense: expected key=value",
        "job.phases.0.for: expected a length",
        "metric: text-classification has no metric 'auc'",
        "name: string should match pattern",
        "trails: no such setting; did you mean trials?",
        "mode: input should be 'max' or 'min', got 'most'",
        "lanes: input should be 'auto', got 'many'",
        "searcher: input should be 'random', 'grid' or 'optuna', got 'grd'",
        "scheduler.kind: input should be 'asha', 'median' or 'none', got 'hyperband'",
        "finalists.top: input should be greater than or equal to 1, got 0",
        "finalists.seads: no such setting; did you mean seeds?",
        "logging.mlfow: no such setting; did you mean mlflow?",
        "space.training.seed: seeds are never searched",
        "space.phases.0.for.choise: no such setting; did you mean choice?",
        "space.phases.1.for: uniform: expected [low, high] with low < high",
        "space.phases.1.learning_rate: expected exactly one of",
    ]:
        assert len([line for line in found if line.startswith(start)]) == 1, start
    assert len(found) == 16


def test_mistakes_of_conditions_grids_and_values_are_reported_at_once() -> None:
    space = {
        "phases.0.for": {"choice": ["1ep", "long"], "when": {"phases.1.fro": "1ep"}},
        "phases.1.for": {"choice": ["1ep", "late"]},
        "phases.1.learning_rate": {"loguniform": [1e-5, 1e-4]},
        "data.train": {"choice": ["a"]},
    }
    found = mistakes(searcher="grid", space=space)
    assert [line.partition(": ")[0] for line in found] == [
        "space.phases.0.for.when.phases.1.fro",
        "space.phases.1.for",
        "space.phases.1.learning_rate",
        "space.data.train",
    ]
    assert found[0].endswith("did you mean phases.1.for?")
