"""What is drawn, what a grid holds, and when two settings are the same."""

import itertools
import random
from typing import Any

import pytest

from unfreeze.jobs import ConfigError, JobConfig, parse_job
from unfreeze.tuning.config import Dimension
from unfreeze.tuning.space import Space, extremes, settings_key, with_settings


def space(dimensions: dict[str, Any]) -> Space:
    return Space({key: Dimension.model_validate(value) for key, value in dimensions.items()})


def job(**settings: Any) -> JobConfig:
    smallest = {
        "name": "reviews",
        "model": "models/tiny",
        "task": "text-classification",
        "data": {"train": "train.jsonl"},
    }
    return parse_job(smallest | settings)


class Dice:
    """Draws at random, and notes the keys in the order in which it was asked."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.asked: list[str] = []

    def choice(self, key: str, n: int) -> int:
        self.asked.append(key)
        return self.random.randrange(n)

    def uniform(self, key: str, low: float, high: float, *, log: bool) -> float:
        self.asked.append(key)
        return self.random.uniform(low, high)

    def randint(self, key: str, low: int, high: int) -> int:
        self.asked.append(key)
        return self.random.randrange(low, high)


EVERY_KIND: dict[str, Any] = {
    "rate": {"loguniform": [1e-5, 1e-3]},
    "decay": {"uniform": [0.5, 1]},
    "batch": {"randint": [4, 9]},
    "a.for": {"uniform": [0.124, 0.876], "unit": "ep"},
    "b.for": {"randint": [0, 3], "unit": "ep"},
    "c.for": {"randint": [50, 60], "unit": "st"},
    "d.for": {"loguniform": [0.001, 1], "unit": "ep"},
    "which": {"choice": ["all", ["head", "layer.1"], None, True, 1, {"until": "plateau"}]},
}


def test_500_draws_stay_within_their_bounds_and_reach_everything() -> None:
    dice, drawing = Dice(), space(EVERY_KIND)
    draws = [drawing.draw(dice) for _ in range(500)]
    for drawn in draws:
        assert list(drawn) == list(EVERY_KIND)
        assert all(drawing.place_of(key, value) is not None for key, value in drawn.items())
        assert 1e-5 <= drawn["rate"] <= 1e-3
        assert 0.5 <= drawn["decay"] <= 1
    assert {drawn["batch"] for drawn in draws} == {4, 5, 6, 7, 8}
    assert {drawn["b.for"] for drawn in draws} == {"0ep", "1ep", "2ep"}
    assert {drawn["c.for"] for drawn in draws} == {f"{n}st" for n in range(50, 60)}
    lengths = {drawn["a.for"] for drawn in draws}
    assert max(len(length) for length in lengths) == len("0.876ep"), "the ends are kept"
    assert {"0.124ep", "0.876ep", "0.5ep"} <= lengths
    assert len({settings_key({"which": drawn["which"]}) for drawn in draws}) == 6


CONDITIONAL: dict[str, Any] = {
    # Before what it depends on, on purpose.
    "deep": {"choice": [1, 2, 3], "when": {"middle": "on", "top": ["a", "b"]}},
    "middle": {"choice": ["on", "off"], "when": {"top": ["a", "b"]}},
    "top": {"choice": ["a", "b", "c"]},
    "free": {"randint": [0, 2]},
}


def test_what_depends_on_another_is_drawn_after_it_and_only_if_its_condition_is_met() -> None:
    conditional, dice = space(CONDITIONAL), Dice()
    assert conditional.order == ["top", "middle", "deep", "free"]
    for _ in range(500):
        dice.asked.clear()
        drawn = conditional.draw(dice)
        assert ("middle" in drawn) == (drawn["top"] != "c")
        assert ("deep" in drawn) == (drawn.get("middle") == "on")
        assert dice.asked == [key for key in conditional.order if key in drawn]
        assert list(drawn) == [key for key in CONDITIONAL if key in drawn]


def test_a_grid_multiplies_a_condition_only_where_it_is_met() -> None:
    points = list(space(CONDITIONAL).grid())
    assert len(points) == (2 * (3 + 1) + 1) * 2
    assert len({settings_key(point) for point in points}) == len(points)
    assert {settings_key(point) for point in points} == {
        settings_key(space(CONDITIONAL).draw(Dice(seed))) for seed in range(1000)
    }


def test_a_grid_has_every_combination_once() -> None:
    values = {"a": [1, 2], "b": ["x", "y", "z"], "c": [0, 1, 2, 3]}
    points = space(
        {"a": {"choice": [1, 2]}, "b": {"choice": ["x", "y", "z"]}, "c": {"randint": [0, 4]}}
    )
    expected = [
        dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())
    ]
    assert list(points.grid()) == expected


def test_a_grid_takes_freeze_lengths_slowest_phases_in_order_and_longest_first() -> None:
    points = space(
        {
            "training.batch_size": {"choice": [8, 16]},
            "phases.1.for": {"choice": ["10st", "1ep"]},
            "phases.0.for": {
                "choice": ["0ep", {"until": "plateau", "at_most": "1.5ep"}, "1ep", "2ep"]
            },
            "phases.0.learning_rate": {"choice": [1]},
        }
    )
    found = [tuple(point.values())[:3] for point in points.grid()]
    plateau = {"until": "plateau", "at_most": "1.5ep"}
    assert found == [
        (batch, second, first)
        for first in ("2ep", plateau, "1ep", "0ep")
        for second in ("1ep", "10st")
        for batch in (8, 16)
    ]


def test_a_freeze_length_in_a_grid_still_waits_for_what_it_depends_on() -> None:
    points = space(
        {
            "phases.0.for": {"choice": ["1ep", "2ep"], "when": {"phases.0.train": "head"}},
            "phases.0.train": {"choice": ["head", "all"]},
        }
    )
    assert list(points.grid()) == [
        {"phases.0.for": "2ep", "phases.0.train": "head"},
        {"phases.0.for": "1ep", "phases.0.train": "head"},
        {"phases.0.train": "all"},
    ]


@pytest.mark.parametrize("kind", [{"uniform": [0, 1]}, {"loguniform": [0.1, 1]}])
def test_a_grid_of_a_continuous_dimension_is_refused_before_the_first_point(kind: Any) -> None:
    with pytest.raises(ConfigError, match=r"space.rate: a grid cannot .* give a choice"):
        space({"rate": kind, "free": {"choice": [1]}}).grid()


def test_a_grid_of_too_many_whole_numbers_is_refused_before_the_first_point() -> None:
    with pytest.raises(ConfigError, match=r"space.n: more than 1000 values"):
        space({"n": {"randint": [0, 10**12]}}).grid()


def test_all_values_of_a_dimension_are_known_unless_it_is_continuous() -> None:
    every = space(EVERY_KIND)
    assert every.lengths("b.for") == ["0ep", "1ep", "2ep"]
    assert every.lengths("batch") == [4, 5, 6, 7, 8]
    assert every.lengths("which") == EVERY_KIND["which"]["choice"]
    assert every.lengths("rate") is None
    assert every.lengths("a.for") is None


def test_the_extremes_of_a_dimension_are_values_that_it_can_take() -> None:
    every = space(EVERY_KIND)
    found = {key: extremes(dimension) for key, dimension in every.dimensions.items()}
    assert found["rate"] == [1e-5, 1e-3]
    assert found["batch"] == [4, 8]
    assert found["c.for"] == ["50st", "59st"]
    assert found["a.for"] == ["0.124ep", "0.876ep"]
    for key, values in found.items():
        assert all(every.place_of(key, value) is not None for value in values)


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("batch", 4, 4),
        ("batch", 9, None),
        ("batch", 4.5, None),
        ("batch", True, None),
        ("batch", "4", None),
        ("rate", 2e-5, 2e-5),
        ("rate", 1, None),
        ("rate", None, None),
        ("b.for", "2 epochs", 2),
        ("b.for", "2st", None),
        ("b.for", "later", None),
        ("which", ["all"], None),
        ("which", True, 3),
        ("which", 1, 4),
        ("which", 1.0, 4),
        ("which", None, 2),
        ("which", 0, None),
    ],
)
def test_a_value_has_a_place_in_its_dimension_or_none(key: str, value: Any, place: Any) -> None:
    found = space(EVERY_KIND).place_of(key, value)
    assert found == place
    assert (found is None) == (place is None)


@pytest.mark.parametrize(
    ("dimensions", "line"),
    [
        (
            {"a": {"choice": [1], "when": {"bb": 1}}, "bbb": {"choice": [1]}},
            "space.a.when.bb: the space has no such key; did you mean bbb?",
        ),
        (
            {"a": {"choice": [1], "when": {"b": [1, 3]}}, "b": {"choice": [1, 2]}},
            "space.a.when.b: b is never 3",
        ),
        (
            {"a": {"choice": [1], "when": {"b": True}}, "b": {"choice": [1, 2]}},
            "space.a.when.b: b is never true",
        ),
        (
            {"a": {"choice": [1], "when": {"b": 2}}, "b": {"randint": [0, 2]}},
            "space.a.when.b: b is never 2",
        ),
        (
            {"a": {"choice": [1], "when": {"b": 1}}, "b": {"uniform": [0, 2]}},
            "space.a.when.b: only a choice or a randint can be a condition",
        ),
        (
            {
                "a": {"choice": [1], "when": {"b": 1}},
                "b": {"choice": [1], "when": {"a": 1}},
                "c": {"choice": [1]},
            },
            "space: `when` goes round in a circle: a, b",
        ),
        (
            {"a": {"choice": [1], "when": {"a": 1}}},
            "space: `when` goes round in a circle: a",
        ),
        (
            {"phases.0.for": {"choice": ["1ep", "1 epoch"]}},
            'space.phases.0.for.choice: "1 epoch" stands there twice',
        ),
    ],
)
def test_conditions_that_cannot_be_met_are_refused(dimensions: Any, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        space(dimensions)
    assert error.value.mistakes == [line]


def test_a_condition_on_a_length_may_spell_it_differently() -> None:
    lengths = space(
        {
            "phases.0.for": {"randint": [0, 2], "unit": "ep"},
            "b": {"choice": [1], "when": {"phases.0.for": "1 epoch"}},
        }
    )
    assert list(lengths.grid()) == [{"phases.0.for": "1ep", "b": 1}, {"phases.0.for": "0ep"}]


def test_settings_lose_what_is_not_active() -> None:
    conditional = space(CONDITIONAL)
    assert conditional.active({"deep": 1, "middle": "on", "top": "c", "other": 1}) == {"top": "c"}
    assert list(conditional.active({"top": "a", "middle": "on", "deep": 1})) == [
        "deep",
        "middle",
        "top",
    ]
    assert conditional.condition_of("deep") == {"top": "a", "middle": "on"}
    assert conditional.condition_of("top") == {}


def test_the_default_is_looked_up_in_the_job_and_spelled_as_in_the_space() -> None:
    default = job(phases=[{"train": "head", "for": "1 epoch"}, {"train": ["all"], "for": "3ep"}])
    found = space(
        {
            "phases.0.for": {"choice": ["0ep", "1epoch"]},
            "phases.1.for": {"choice": ["1ep"]},
            "phases.1.train": {"choice": ["last:1", "all"]},
            "phases.1.learning_rate": {"loguniform": [1e-5, 1e-4]},
            "phases.2.for": {"choice": ["1ep"]},
            "training.batch_size": {"randint": [1, 9]},
            "model.dropout.rate": {"choice": [1]},
        }
    ).settings_of_default(default.to_data())
    assert found == {
        "phases.0.for": "1epoch",
        "phases.1.for": "3ep",
        "phases.1.train": "all",
        "phases.1.learning_rate": None,
        "phases.2.for": None,
        "training.batch_size": 32,
        "model.dropout.rate": None,
    }


def test_a_trial_is_the_base_job_with_its_settings() -> None:
    base = job()
    trial = with_settings(
        base,
        {
            "phases.0.for.patience": 5,
            "phases.0.for": {"until": "plateau"},
            "phases.1.learning_rate": 1e-05,
            "phases.1.train": ["head", "layer.2"],
            "training.warmup": None,
            "training.gradient_checkpointing": True,
            "training.schedule": "cosine",
            "deepspeed.gradient_clipping": 1e-05,
            "data.max_length": 64,
        },
    )
    assert trial.phases[1].learning_rate == 1e-5
    assert trial.phases[1].train == ("head", "layer.2")
    assert trial.to_data()["phases"][0]["for"] == {
        "until": "plateau",
        "patience": 5,
        "at_most": "6ep",
    }
    assert (trial.training.gradient_checkpointing, trial.training.schedule) == (True, "cosine")
    assert trial.deepspeed["gradient_clipping"] == 1e-5, "a number, not text"
    assert trial.data.max_length == 64
    assert base == job()
    assert with_settings(base, {}) == base


def test_settings_that_the_job_cannot_have_are_refused_all_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        with_settings(
            job(), {"phases.1.learning_rate": -1, "training.sed": 1, "phases.9.for": "1ep"}
        )
    assert error.value.mistakes == [
        "phases.9.for: there is nothing at this place to set",
        "phases.1.learning_rate: input should be greater than 0, got -1",
        "training.sed: no such setting; did you mean seed?",
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"phases.0.for": "1 epoch"}, {"phases.0.for": "1.0ep"}),
        ({"phases.0.for": "0ep"}, {"phases.0.for": "0 steps"}),
        ({"phases.0.train": "all"}, {"phases.0.train": ["all"]}),
        ({"rate": 1}, {"rate": 1.0}),
        ({"rate": 1e-5}, {"rate": 0.00001}),
        ({"phases.0.for": {"until": "plateau", "patience": 1}},) * 2,
    ],
)
def test_equal_settings_have_equal_keys(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert settings_key(one) == settings_key(other)
    assert len(settings_key(one)) == 10
    assert int(settings_key(one), 16) >= 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": "1"}),
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, {"a": 1, "b": 1}),
        ({"a": None}, {}),
        ({"phases.0.for": "1ep"}, {"phases.0.for": "1st"}),
        ({"phases.0.for": "later"}, {"phases.0.for": "sooner"}),
        ({"rate": 1e-5}, {"rate": 1.0000000000000001e-5 * (1 + 2**-52)}),
    ],
)
def test_different_settings_have_different_keys(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert settings_key(one) != settings_key(other)


def test_the_key_of_settings_never_changes_since_the_store_holds_it() -> None:
    settings = {"phases.0.for": "1 epoch", "phases.1.learning_rate": 3e-5, "phases.1.train": "all"}
    assert settings_key(settings) == "07f98ecf93"
