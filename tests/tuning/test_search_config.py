"""The settings of a search: what is taken, what is refused, and what the defaults are."""

from typing import Any

import pytest
from pydantic import ValidationError

from unfreeze.tuning.config import Dimension, SearchConfig

SMALLEST: dict[str, Any] = {
    "name": "reviews-search",
    "job": {},
    "space": {"phases.0.for": {"choice": ["0ep", "1ep"]}},
}


def search(**settings: Any) -> SearchConfig:
    return SearchConfig.model_validate(SMALLEST | settings)


def problem(of: type[SearchConfig] | type[Dimension], settings: Any) -> str:
    with pytest.raises(ValidationError) as error:
        of.model_validate(settings)
    return " | ".join(line["msg"] for line in error.value.errors())


def test_a_search_needs_a_name_a_job_and_a_space_and_the_rest_has_defaults() -> None:
    config = search()
    assert (config.searcher, config.lanes, config.sharing, config.seed) == (
        "random",
        "auto",
        True,
        0,
    )
    assert (config.trials, config.metric, config.mode) == (None, None, None)
    assert (config.max_failures, config.checkpoint_every_s) == (3, 60)
    assert (config.finalists.top, config.finalists.seeds) == (3, 3)
    assert (config.logging.tensorboard, config.logging.mlflow) == (None, None)
    assert config.scheduler.kind == "asha"
    assert (str(config.scheduler.grace), config.scheduler.reduction_factor) == ("1ep", 3)
    for name in SMALLEST:
        left = {key: value for key, value in SMALLEST.items() if key != name}
        assert problem(SearchConfig, left) == "Field required"


def test_a_lone_word_is_the_kind_of_scheduler() -> None:
    assert search(scheduler="median").scheduler.kind == "median"
    long = search(scheduler={"grace": "50st", "reduction_factor": 2}).scheduler
    assert (long.kind, str(long.grace), long.reduction_factor) == ("asha", "50st", 2)


def test_the_metric_may_say_that_it_is_the_validation_rows() -> None:
    assert search(metric="validation/accuracy").metric == "accuracy"
    assert search(metric="f1").metric == "f1"


@pytest.mark.parametrize(
    "wrong",
    [
        {"trials": 0},
        {"trials": True},
        {"lanes": 0},
        {"lanes": "many"},
        {"lanes": True},
        {"seed": -1},
        {"mode": "most"},
        {"searcher": "bayes"},
        {"scheduler": "hyperband"},
        {"scheduler": {"kind": "asha", "reduction_factor": 1}},
        {"scheduler": {"grace": "long"}},
        {"max_failures": -1},
        {"checkpoint_every_s": -0.1},
        {"finalists": {"top": 0}},
        {"finalists": {"seeds": 0}},
        {"logging": {"wandb": "x"}},
        {"name": "no/slashes"},
        {"space": {}},
        {"space": {"a": {}}},
        {"trails": 3},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    problem(SearchConfig, SMALLEST | wrong)


def test_a_search_as_plain_data_is_the_same_search() -> None:
    config = search(
        space={
            "training.warmup": {"choice": [None, 0.1, 1, True, "x", [1], {"a": None}]},
            "phases.0.for": {"randint": [0, 5], "unit": "ep", "when": {"training.warmup": None}},
            "phases.1.learning_rate": {"loguniform": ["1e-5", 1e-4]},
        },
        scheduler="none",
        lanes=2,
        sharing=False,
    )
    assert SearchConfig.model_validate(config.to_data()) == config


@pytest.mark.parametrize(
    ("dimension", "kind"),
    [
        ({"choice": [1]}, "choice"),
        ({"uniform": [0, 1]}, "uniform"),
        ({"uniform": [0, 1], "unit": "ep"}, "uniform"),
        ({"loguniform": [1e-5, 1e-4]}, "loguniform"),
        ({"randint": [0, 1]}, "randint"),
        ({"randint": [10, 100], "unit": "st"}, "randint"),
    ],
    ids=str,
)
def test_a_dimension_has_one_of_four_kinds(dimension: dict[str, Any], kind: str) -> None:
    assert Dimension.model_validate(dimension).kind == kind


@pytest.mark.parametrize(
    ("dimension", "why"),
    [
        ({}, "exactly one of choice, uniform, loguniform, randint, got none"),
        ({"choice": [1], "uniform": [0, 1]}, "got choice and uniform"),
        ({"choice": []}, "at least 1 item"),
        ({"uniform": [1, 1]}, r"uniform: expected [low, high] with low < high"),
        ({"loguniform": [0, 1]}, "loguniform: expected low > 0"),
        ({"loguniform": [-1, 1]}, "loguniform: expected low > 0"),
        ({"randint": [3, 3]}, "low < high"),
        ({"randint": [0.5, 3]}, "valid integer"),
        ({"uniform": [1]}, "Field required"),
        ({"uniform": [0, float("inf")]}, "finite"),
        ({"uniform": [1, 9], "unit": "st"}, "st goes with randint only"),
        ({"choice": [1], "unit": "ep"}, "write the unit into the values"),
        ([1, 2], "as in {choice: [a, b]}, got list"),
        ({"choise": [1]}, "Extra inputs"),
    ],
    ids=str,
)
def test_a_dimension_that_cannot_be_drawn_from_is_refused(dimension: Any, why: str) -> None:
    assert why in problem(Dimension, dimension)


def test_floats_that_yaml_takes_for_text_are_numbers() -> None:
    assert Dimension.model_validate({"choice": ["1e-5", "2E-4", "1e", "e5"]}).choice == (
        1e-5,
        2e-4,
        "1e",
        "e5",
    )


def test_a_condition_may_be_one_value_or_several() -> None:
    one = Dimension.model_validate({"choice": [1], "when": {"a": "x", "b": ["x", None]}})
    assert one.when == {"a": ("x",), "b": ("x", None)}


def test_a_date_is_no_value_of_a_setting() -> None:
    from datetime import date

    problem(Dimension, {"choice": [date(2024, 1, 1)]})
