"""What is tried next, after what was tried: determinism, restarts, and learning."""

import math
import random
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from unfreeze.jobs import ConfigError
from unfreeze.tuning.config import Dimension
from unfreeze.tuning.proposers import GridProposer, OptunaProposer, Proposer, RandomProposer
from unfreeze.tuning.space import Space, settings_key


def space(dimensions: dict[str, Any]) -> Space:
    return Space({key: Dimension.model_validate(value) for key, value in dimensions.items()})


SMALL = {
    "phases.0.for": {"choice": ["0ep", "1ep", "2ep"]},
    "phases.1.train": {"choice": ["all", ["head", "layer.1"]]},
}
EVERY_KIND = {
    "rate": {"loguniform": [1e-5, 1e-3]},
    "decay": {"uniform": [0.5, 1]},
    "batch": {"randint": [4, 9]},
    "phases.0.for": {"uniform": [0.124, 3], "unit": "ep"},
    "phases.1.for": {"randint": [50, 60], "unit": "st"},
    "which": {"choice": ["all", ["head"], None, {"until": "plateau"}]},
    "deep": {"choice": [1, 2], "when": {"which": ["all", None]}},
}


def proposals(proposer: Proposer, most: int = 10_000) -> list[dict[str, Any]]:
    found = []
    while len(found) < most and (settings := proposer.propose()) is not None:
        found.append(settings)
    return found


PROPOSERS: dict[str, Callable[[Space], Proposer]] = {
    "random": lambda of: RandomProposer(of, seed=3),
    "optuna": lambda of: OptunaProposer(of, seed=3, mode="max"),
}
both = pytest.mark.parametrize("make", PROPOSERS.values(), ids=PROPOSERS)


def test_a_grid_proposes_its_points_in_order_and_then_nothing() -> None:
    proposer = GridProposer(space(SMALL))
    assert proposals(proposer) == list(space(SMALL).grid())
    assert proposer.propose() is None
    with pytest.raises(ConfigError):
        GridProposer(space(EVERY_KIND))


@both
def test_draws_are_of_the_space_and_depend_on_the_seed(make: Callable[[Space], Proposer]) -> None:
    every = space(EVERY_KIND)
    found = proposals(make(every), 60)
    for settings in found:
        assert settings == every.active(settings)
        assert all(every.place_of(key, value) is not None for key, value in settings.items())
        assert ("deep" in settings) == (settings["which"] in ("all", None))
    assert found == proposals(make(every), 60)
    assert found[:9] != proposals(RandomProposer(every, seed=4), 9)
    assert found[:9] != proposals(OptunaProposer(every, seed=4, mode="max"), 9)


def test_500_random_draws_stay_within_their_bounds_and_spread_over_them() -> None:
    every = space(EVERY_KIND)
    found = proposals(RandomProposer(every, seed=0), 500)
    rates = [math.log10(settings["rate"]) for settings in found]
    assert all(1e-5 <= settings["rate"] <= 1e-3 for settings in found)
    assert abs(sum(rates) / 500 + 4) < 0.1, "each power of ten is equally likely"
    assert abs(sum(settings["decay"] for settings in found) / 500 - 0.75) < 0.03
    assert {settings["batch"] for settings in found} == {4, 5, 6, 7, 8}
    assert {settings["phases.1.for"] for settings in found} == {f"{n}st" for n in range(50, 60)}
    assert len({settings_key(settings) for settings in found}) == 500


def test_random_draws_never_repeat_and_end_when_the_space_is_used_up() -> None:
    found = proposals(RandomProposer(space(SMALL), seed=0))
    expected = {settings_key(point) for point in space(SMALL).grid()}
    assert [settings_key(settings) for settings in found] != sorted(expected)
    assert {settings_key(settings) for settings in found} == expected
    assert len(found) == 6


@pytest.mark.parametrize("done", [0, 1, 4, 6])
@pytest.mark.parametrize("make", [GridProposer, PROPOSERS["random"]], ids=["grid", "random"])
def test_after_a_restart_a_search_goes_on_as_if_nothing_had_happened(
    make: Callable[[Space], Proposer], done: int
) -> None:
    whole = proposals(make(space(SMALL)))
    restarted = make(space(SMALL))
    for settings in whole[:done]:
        restarted.known(settings)
        restarted.tell(settings, 0.5, "finished")
    assert proposals(restarted) == whole[done:]


def test_a_restart_after_more_than_a_thousand_random_trials_goes_on_too() -> None:
    wide = space({"rate": {"uniform": [0, 1]}})
    whole = proposals(RandomProposer(wide, seed=0), 1205)
    restarted = RandomProposer(wide, seed=0)
    for settings in whole[:1200]:
        restarted.known(settings)
    assert proposals(restarted, 5) == whole[1200:]


@pytest.mark.parametrize("make", [GridProposer, *PROPOSERS.values()], ids=["grid", *PROPOSERS])
def test_what_is_known_is_not_proposed_however_it_is_spelled(
    make: Callable[[Space], Proposer],
) -> None:
    proposer = make(space(SMALL))
    known = {"phases.1.train": ["all"], "phases.0.for": "1 epoch", "not.in.the.space": 3}
    proposer.known(known)
    proposer.known({"phases.0.for": "7ep", "phases.1.train": None})
    found = {settings_key(settings) for settings in proposals(proposer, 5)}
    assert len(found) == 5
    assert settings_key({"phases.0.for": "1ep", "phases.1.train": "all"}) not in found


def peak(settings: dict[str, Any]) -> float:
    """Best, 0, at a rate of 1e-4, a decay of 0.9 and "b"."""
    wrong = 0.0 if settings["which"] == "b" else 0.3
    return -(abs(math.log10(settings["rate"]) + 4) + abs(settings["decay"] - 0.9) + wrong)


PEAK = {
    "rate": {"loguniform": [1e-7, 1e-1]},
    "decay": {"uniform": [0, 1]},
    "which": {"choice": ["a", "b", "c"]},
}


def found_by(proposer: Proposer, value: Callable[[dict[str, Any]], float]) -> list[float]:
    values = []
    for _ in range(60):
        settings = proposer.propose()
        assert settings is not None
        values.append(value(settings))
        proposer.tell(settings, values[-1], "finished")
    return values


def mean_of_last(values: list[float]) -> float:
    return sum(values[-20:]) / 20


@pytest.mark.parametrize("sign", [1, -1], ids=["max", "min"])
def test_optuna_learns_where_it_is_good_in_60_trials(sign: int) -> None:
    by_optuna, by_chance = [], []
    for seed in range(3):
        mode: Any = "max" if sign == 1 else "min"
        optuna = OptunaProposer(space(PEAK), seed, mode)
        by_optuna.append(found_by(optuna, lambda settings: sign * peak(settings)))
        chance = RandomProposer(space(PEAK), seed)
        by_chance.append(found_by(chance, lambda settings: sign * peak(settings)))
    for learned, drawn in zip(by_optuna, by_chance, strict=True):
        assert sign * mean_of_last(learned) > sign * mean_of_last(drawn) + 0.5
    best = [max(sign * value for value in values) for values in by_optuna]
    best_by_chance = [max(sign * value for value in values) for values in by_chance]
    assert sum(best) > sum(best_by_chance)


@pytest.mark.parametrize("state", ["finished", "stopped"])
def test_optuna_learns_from_an_earlier_session_and_from_stopped_trials(state: Any) -> None:
    earlier = RandomProposer(space(PEAK), seed=9)
    optuna = OptunaProposer(space(PEAK), 0, "max")
    for settings in proposals(earlier, 40):
        optuna.known(settings)
        optuna.tell(settings, peak(settings), state)
    told = [peak(settings) for settings in proposals(optuna, 20)]
    chance = [peak(settings) for settings in proposals(RandomProposer(space(PEAK), seed=1), 20)]
    # Optuna goes by pruned trials only once ten trials have ended, whatever their end.
    assert sum(told) / 20 > sum(chance) / 20 + 0.5


def test_optuna_is_told_the_same_after_a_restart_as_in_one_session() -> None:
    first = OptunaProposer(space(EVERY_KIND), 0, "max")
    restarted = OptunaProposer(space(EVERY_KIND), 0, "max")
    states: list[Any] = ["finished", "stopped", "failed"]
    for number in range(30):
        settings = first.propose()
        assert settings is not None
        value = None if states[number % 3] == "failed" else number / 30
        first.tell(settings, value, states[number % 3])
        restarted.known(settings)
        restarted.tell(settings, value, states[number % 3])
    before, after = first._study.trials, restarted._study.trials
    assert [t.state for t in before] == [t.state for t in after]
    assert [t.value for t in before] == [t.value for t in after]
    assert [t.distributions for t in before] == [t.distributions for t in after]
    for old, new in zip(before, after, strict=True):
        for key, value in old.params.items():
            near = 0.005 if key == "phases.0.for" else 0  # lengths are rounded
            assert new.params[key] == pytest.approx(value, abs=near)


def test_optuna_ignores_settings_outside_the_space_but_not_a_default_inside() -> None:
    optuna = OptunaProposer(space(EVERY_KIND), 0, "max")
    inside = {
        "rate": 1e-4,
        "decay": 1.0,
        "batch": 8,
        "phases.0.for": "2 epochs",
        "phases.1.for": "50st",
        "which": ["head"],
        "deep": 7,  # the job's own; not drawn where `which` is ["head"]
    }
    for outside in (
        inside | {"rate": None},
        inside | {"batch": 32},
        inside | {"which": "all"},
        inside | {"phases.1.for": "1ep"},
        {"rate": 1e-4},
        {},
    ):
        optuna.known(outside)
        optuna.tell(outside, 0.5, "finished")
    assert not optuna._study.trials
    optuna.tell(inside, 0.5, "finished")
    assert [trial.value for trial in optuna._study.trials] == [0.5]
    assert set(optuna._study.trials[0].params) == set(inside) - {"deep"}


def test_optuna_repeats_itself_only_when_there_is_hardly_anything_new() -> None:
    optuna = OptunaProposer(space(SMALL), 0, "max")
    first = [settings_key(settings) for settings in proposals(optuna, 6)]
    assert len(set(first)) == 6
    again = optuna.propose()
    assert again is not None
    assert settings_key(again) in first
    optuna.tell(again, 0.5, "finished")
    optuna.tell(again, 0.6, "finished")
    values = [trial.value for trial in optuna._study.trials if trial.value is not None]
    assert sorted(values) == [0.5, 0.6]


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
@pytest.mark.parametrize("state", ["finished", "stopped", "failed"])
def test_no_warning_and_no_error_whatever_a_trial_comes_to(
    value: float | None, state: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optuna = OptunaProposer(space(EVERY_KIND), 0, "min")
        for number in range(25):
            settings = optuna.propose()
            assert settings is not None
            good = random.Random(number).random()
            optuna.tell(
                settings, value if number % 2 else good, state if number % 2 else "finished"
            )
    written = capfd.readouterr()
    assert written.out + written.err == ""
