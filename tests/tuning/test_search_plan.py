"""What is known of a search before it runs: rungs, shared steps, the space in words."""

from pathlib import Path
from typing import Any

import pytest
import tiny
from ray.tune.schedulers import ASHAScheduler

from unfreeze.cluster import Resources
from unfreeze.jobs import ConfigError
from unfreeze.tuning.config import Dimension
from unfreeze.tuning.plan import (
    PlannedTrial,
    SearchPlan,
    SharedPlace,
    dimension_words,
    plan_search,
    rungs,
    shared_places,
    shared_steps,
)
from unfreeze.tuning.prefixes import AT_PLATEAU, ForkPoint
from unfreeze.tuning.search_file import parse_search

HAVE = Resources(cpus=4, gpus=0)


def planned(*steps: int, forks: dict[str, tuple[int, int]] | None = None) -> PlannedTrial:
    """`forks`: key -> phase, step in phase."""
    points = [ForkPoint(phase, step, key) for key, (phase, step) in (forks or {}).items()]
    return PlannedTrial(steps, tuple(points))


@pytest.mark.parametrize("grace", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("longest", [2.0, 3.0, 8.9, 9.0, 27.0])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_rungs_are_those_of_ray_tune(grace: float, longest: float, factor: int) -> None:
    asha: Any = ASHAScheduler(grace_period=grace, max_t=longest, reduction_factor=factor)  # type: ignore[arg-type]
    theirs = [rung for rung, _ in reversed(asha._brackets[0]._rungs)]
    assert rungs(grace, longest, factor) == theirs


def test_without_grace_there_are_no_rungs_to_name() -> None:
    assert rungs(0.0, 4.0, 3) == []


def test_a_trial_goes_on_from_its_longest_known_beginning() -> None:
    long = planned(20, 10, forks={"a": (0, 10), "b": (0, 20)})
    short = planned(10, 10, forks={"a": (0, 10)})
    other = planned(20, 5, forks={"a": (0, 10), "b": (0, 20)})
    assert shared_steps([long, short, other]) == 0 + 10 + 20
    assert shared_steps([short, long, other]) == 0 + 10 + 20
    assert shared_steps([long]) == 0
    assert shared_steps([]) == 0


def test_trials_that_begin_unalike_share_nothing() -> None:
    assert shared_steps([planned(5, forks={"a": (0, 5)}), planned(5, forks={"b": (0, 5)})]) == 0
    assert shared_places([planned(5, forks={"a": (0, 5)}), planned(5, forks={"b": (0, 5)})]) == []


def test_fork_points_of_later_phases_and_plateaus_lie_after_the_phases_before() -> None:
    trial = planned(10, 20, 5, forks={"a": (1, 8), "b": (1, AT_PLATEAU)})
    assert [trial.steps_at(fork) for fork in trial.forks] == [18, 30]
    assert trial.steps == 35


def test_places_say_how_many_trials_share_how_many_states() -> None:
    trials = [
        *(planned(10, 5, forks={"a": (0, 5), "b": (0, 10)}) for _ in range(3)),
        *(planned(10, 5, forks={"c": (0, 5)}) for _ in range(2)),
        planned(10, 5, forks={"d": (0, 5)}),
    ]
    assert shared_places(trials) == [
        SharedPlace(phase=0, step_in_phase=5, trials=5, states=2),
        SharedPlace(phase=0, step_in_phase=10, trials=3, states=1),
    ]


@pytest.mark.parametrize(
    ("dimension", "words"),
    [
        ({"choice": ["0ep", "1ep"]}, "one of 0ep, 1ep"),
        ({"choice": [1e-5, ["head", "layer.2"], True]}, 'one of 1e-05, ["head", "layer.2"], true'),
        ({"loguniform": [5e-6, 1e-4]}, "5e-06 to 0.0001, its logarithm uniform"),
        ({"uniform": [0, 2.5], "unit": "ep"}, "0 to 2.5, uniform, in epochs"),
        ({"randint": [1, 5], "unit": "st"}, "a whole number, 1 to 4, in steps"),
        (
            {"choice": [1, 2], "when": {"a.b": ["x", 3], "c": "y"}},
            "one of 1, 2; only when a.b is x or 3 and c is y",
        ),
    ],
)
def test_a_dimension_in_words(dimension: dict[str, Any], words: str) -> None:
    assert dimension_words(Dimension.model_validate(dimension)) == words


def plan(folder: Path, *overrides: str, have: Resources = HAVE, **changes: Any) -> SearchPlan:
    """Of a search on the tiny job: 11 steps per epoch, head 1ep, all 1ep."""
    settings = {
        "name": "s",
        "job": tiny.settings(folder, scale={"workers": 1}, storage={"uri": str(folder / "runs")}),
        "space": {
            "phases.0.for": {"choice": ["0ep", "1ep", "2ep"]},
            "phases.1.learning_rate": {"choice": [1e-3, 3e-3]},
        },
        "searcher": "grid",
        **changes,
    }
    return plan_search(parse_search(settings, overrides), have)


def test_a_grid_is_planned_to_the_step(inputs: Path) -> None:
    found = plan(inputs)
    assert (found.trials, found.planned) == (6, 6)
    assert found.steps == 2 * (11 + 22 + 33)
    # Four trials begin with the first epoch of the head, two of them with its second.
    assert found.shared_places == (SharedPlace(0, 11, 4, 1), SharedPlace(0, 22, 2, 1))
    assert found.steps_shared == 3 * 11 + 11
    assert found.rows == {"train": 117, "validation": 24, "test": 24}
    assert found.rungs == (1.0,)
    assert not (inputs / "runs").exists()


def test_lanes_are_as_many_as_this_machine_has_room_for(inputs: Path) -> None:
    assert plan(inputs).lanes == 4
    assert plan(inputs, "job.scale.workers=2").lanes == 2
    assert plan(inputs, "lanes=3").lanes == 3
    with pytest.raises(ConfigError, match="at most 4 do"):
        plan(inputs, "lanes=5")


def test_rungs_count_epochs_since_unfreezing_and_end_with_the_longest(inputs: Path) -> None:
    found = plan(inputs, "job.phases.1.for=8ep", "scheduler.reduction_factor=2")
    assert found.rungs == (1.0, 2.0, 4.0, 8.0)
    assert plan(inputs, "scheduler=none").rungs == ()


def test_random_draws_are_those_that_the_search_will_make(inputs: Path) -> None:
    space = {"phases.0.for": {"choice": ["1ep"]}, "phases.1.learning_rate": {"uniform": [0.1, 0.2]}}
    found = plan(inputs, searcher="random", space=space, trials=5)
    assert found.planned == 5
    assert found.shared_places == (SharedPlace(0, 11, 5, 1),)
    assert found.steps_shared == 4 * 11


def test_without_sharing_nothing_is_shared(inputs: Path) -> None:
    found = plan(inputs, "sharing=false")
    assert (found.steps_shared, found.shared_places) == (0, ())


def test_a_trial_that_cannot_be_run_is_a_warning(inputs: Path) -> None:
    space = {"phases.1.train": {"choice": ["all", "layer.7"]}}
    found = plan(inputs, space=space)
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith("trial 1 cannot be run: phases.1.train: 'layer.7' matches")
