"""Which trials share the beginning of their history, and from where."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny

from unfreeze.jobs import parse_job
from unfreeze.jobs.inputs import Inputs, gather_inputs, inputs_for
from unfreeze.jobs.lengths import parse_span
from unfreeze.jobs.phases import Phase, plan_phases
from unfreeze.jobs.progress import Progress
from unfreeze.tuning.prefixes import AT_PLATEAU, ForkPoint, fork_points

PER_EPOCH = 10
HEAD = {"train": "head", "for": "1ep", "learning_rate": 1e-2}
TOP = {"train": "last:1", "for": "1ep", "learning_rate": 1e-3, "schedule": "constant", "warmup": 0}
ALL = {"train": "all", "for": "2ep", "learning_rate": 1e-4}
UNTIL_PLATEAU = {"until": "plateau", "patience": 2, "at_most": "4ep"}


@pytest.fixture(scope="module")
def like(inputs: Path) -> Inputs:
    return gather_inputs(parse_job(tiny.settings(inputs)))


Points = list[ForkPoint]


class Searched:
    """Fork points of jobs that differ from the tiny one."""

    def __init__(self, like: Inputs, folder: Path) -> None:
        self.like, self.folder = like, folder

    def inputs(self, *phases: dict[str, Any], **changes: Any) -> Inputs:
        settings = tiny.settings(self.folder, phases=list(phases), **changes)
        return inputs_for(parse_job(settings), self.like)

    def points(
        self,
        *phases: dict[str, Any],
        lengths: dict[int, Collection[str]] | None = None,
        **changes: Any,
    ) -> Points:
        return self.of(self.inputs(*phases, **changes), lengths)

    def of(self, inputs: Inputs, lengths: dict[int, Collection[str]] | None = None) -> Points:
        spans = {i: {parse_span(v) for v in values} for i, values in (lengths or {}).items()}
        return fork_points(inputs, planned(inputs), spans, PER_EPOCH)


def planned(inputs: Inputs) -> list[Phase]:
    return plan_phases(inputs.job, inputs.model_plan.names, PER_EPOCH)


@pytest.fixture
def searched(like: Inputs, inputs: Path) -> Searched:
    return Searched(like, inputs)


def places(points: Points) -> list[tuple[int, int]]:
    return [(point.phase, point.step_in_phase) for point in points]


def keys(points: Points) -> list[str]:
    return [point.key for point in points]


def shared(one: Points, other: Points) -> list[tuple[int, int]]:
    """Places of the first whose keys the other has too."""
    return [(p.phase, p.step_in_phase) for p in one if p.key in keys(other)]


# -- where they are


def test_there_is_a_fork_point_at_every_phases_end_but_the_jobs(searched: Searched) -> None:
    assert places(searched.points(HEAD, TOP, ALL)) == [(0, 10), (1, 10)]
    assert places(searched.points(ALL)) == []


def test_a_phase_of_a_constant_rate_forks_wherever_a_shorter_one_ends(searched: Searched) -> None:
    lengths = {0: ["0ep", "1ep", "2ep", "4ep"], 1: ["5st", "1ep", "3ep"]}
    points = searched.points(HEAD | {"for": "4ep"}, TOP | {"for": "1ep"}, ALL, lengths=lengths)
    assert places(points) == [(0, 10), (0, 20), (0, 40), (1, 5), (1, 10)]
    points = searched.points(HEAD | {"for": "1ep"}, TOP | {"for": "1ep"}, ALL, lengths=lengths)
    assert places(points) == [(0, 10), (1, 5), (1, 10)]


def test_lengths_that_are_the_same_in_steps_are_one_fork_point(searched: Searched) -> None:
    lengths = {0: ["1ep", "10st", "1.01ep", "2ep", "20st"]}
    points = searched.points(HEAD | {"for": "2ep"}, ALL, lengths=lengths)
    assert places(points) == [(0, 10), (0, 20)]


def test_fork_points_have_keys_of_their_own(searched: Searched) -> None:
    lengths = {0: ["1ep", "2ep", "3ep"], 1: ["1ep", "2ep"]}
    points = searched.points(HEAD | {"for": "3ep"}, TOP | {"for": "2ep"}, ALL, lengths=lengths)
    assert len(set(keys(points))) == len(points) == 5
    assert all(len(key) == 24 and int(key, 16) for key in keys(points))
    again = searched.points(HEAD | {"for": "3ep"}, TOP | {"for": "2ep"}, ALL, lengths=lengths)
    assert again == points


def test_the_end_of_the_job_is_a_fork_point_only_if_a_longer_trial_goes_on(
    searched: Searched,
) -> None:
    lengths = {1: ["1ep", "2ep", "3ep"]}
    found = {
        length: places(searched.points(HEAD, TOP | {"for": length}, lengths=lengths))
        for length in lengths[1]
    }
    assert found == {
        "1ep": [(0, 10), (1, 10)],
        "2ep": [(0, 10), (1, 10), (1, 20)],
        "3ep": [(0, 10), (1, 10), (1, 20)],
    }


def test_the_end_of_the_job_is_a_fork_point_if_others_have_one_more_phase(
    searched: Searched,
) -> None:
    lengths = {1: ["0ep", "1ep"]}
    short = searched.points(TOP, ALL | {"for": "0ep"}, lengths=lengths)
    long = searched.points(TOP, ALL | {"for": "1ep"}, lengths=lengths)
    assert places(short) == places(long) == [(0, 10)]
    assert keys(short) == keys(long)


def test_empty_phases_are_left_out(searched: Searched) -> None:
    empty = HEAD | {"for": "0ep"}
    assert places(searched.points(empty, TOP, ALL)) == [(1, 10)]
    assert places(searched.points(HEAD, TOP | {"for": "0ep"}, ALL)) == [(0, 10)]
    one, other = (
        searched.points(empty | {"learning_rate": rate}, TOP, ALL) for rate in (1e-2, 1e-3)
    )
    assert keys(one) == keys(other), "what is not trained decides nothing"


def test_a_phase_that_falls_has_no_fork_point_before_its_end(searched: Searched) -> None:
    lengths = {0: ["1ep", "2ep"], 1: ["1ep", "2ep", "3ep"]}
    linear = HEAD | {"schedule": "linear", "for": "2ep"}
    assert places(searched.points(linear, ALL, lengths=lengths)) == [(0, 20)]


def test_a_plateau_forks_where_it_ends_and_where_fixed_lengths_end(searched: Searched) -> None:
    plateau = HEAD | {"for": UNTIL_PLATEAU}
    assert places(searched.points(plateau, ALL)) == [(0, AT_PLATEAU)]
    lengths = {0: ["1ep", "2ep", "4ep", "5ep"]}
    points = searched.points(plateau, ALL, lengths=lengths)
    assert places(points) == [(0, 10), (0, 20), (0, AT_PLATEAU)]
    fixed = searched.points(HEAD | {"for": "2ep"}, ALL, lengths=lengths)
    assert shared(points, fixed) == [(0, 10), (0, 20)]


def test_a_phase_with_a_warmup_forks_only_where_a_shorter_one_warms_up_alike(
    searched: Searched,
) -> None:
    lengths = {0: ["1ep", "1.2ep", "4ep"]}
    points = {
        length: searched.points(HEAD | {"warmup": 0.1, "for": length}, ALL, lengths=lengths)
        for length in lengths[0]
    }
    assert places(points["4ep"]) == [(0, 40)], "4 steps of warmup; the others have 1"
    assert places(points["1.2ep"]) == [(0, 10), (0, 12)]
    assert keys(points["1ep"])[0] == keys(points["1.2ep"])[0]


# -- who shares


def test_trials_that_differ_in_what_comes_later_share_all_before(searched: Searched) -> None:
    one = searched.points(HEAD, TOP, ALL)
    for later in (
        ALL | {"learning_rate": 1e-6},
        ALL | {"for": "9ep"},
        ALL | {"train": "last:2"},
        ALL | {"schedule": "cosine"},
        ALL | {"layer_decay": 0.5},
        ALL | {"warmup": 0.5},
        ALL | {"for": UNTIL_PLATEAU},
    ):
        assert keys(searched.points(HEAD, TOP, later)) == keys(one)
    other = searched.points(HEAD, TOP | {"learning_rate": 1e-6}, ALL)
    assert shared(one, other) == [(0, 10)]


def test_phases_of_a_constant_rate_share_as_much_as_the_shorter_one_has(
    searched: Searched,
) -> None:
    lengths = {0: ["1ep", "2ep", "4ep"]}
    short, middle, long = (
        searched.points(HEAD | {"for": length}, ALL, lengths=lengths) for length in lengths[0]
    )
    assert shared(long, short) == shared(middle, short) == [(0, 10)]
    assert shared(long, middle) == [(0, 10), (0, 20)]


def test_a_length_written_otherwise_is_the_same(searched: Searched) -> None:
    assert searched.points(HEAD, ALL) == searched.points(HEAD | {"for": "10st"}, ALL)


def test_patterns_that_mean_the_same_blocks_are_the_same(searched: Searched) -> None:
    one = searched.points(TOP, ALL)
    assert one == searched.points(TOP | {"train": ["head", "layer.2"]}, ALL)


def test_a_rate_that_falls_is_not_shared_between_lengths(searched: Searched) -> None:
    lengths = {0: ["1ep", "2ep"]}
    for schedule in ("linear", "cosine"):
        short, long = (
            searched.points(HEAD | {"schedule": schedule, "for": length}, ALL, lengths=lengths)
            for length in lengths[0]
        )
        assert shared(short, long) == []


def test_how_long_an_earlier_phase_was_is_part_of_all_later_keys(searched: Searched) -> None:
    lengths = {0: ["1ep", "2ep"]}
    short, long = (
        searched.points(HEAD | {"for": length}, TOP, ALL, lengths=lengths) for length in lengths[0]
    )
    assert shared(short, long) == [(0, 10)]
    assert places(short) == [(0, 10), (1, 10)]


@pytest.mark.parametrize(
    "change",
    [{"patience": 3}, {"at_most": "5ep"}],
)
def test_plateaus_of_other_rules_end_elsewhere(searched: Searched, change: Any) -> None:
    one = searched.points(HEAD | {"for": UNTIL_PLATEAU}, TOP, ALL)
    other = searched.points(HEAD | {"for": UNTIL_PLATEAU | change}, TOP, ALL)
    assert places(one) == places(other) == [(0, AT_PLATEAU), (1, 10)]
    assert shared(one, other) == []
    assert keys(one) == keys(searched.points(HEAD | {"for": UNTIL_PLATEAU}, TOP, ALL))


def test_a_plateau_is_not_a_phase_of_its_longest_length(searched: Searched) -> None:
    plateau = searched.points(HEAD | {"for": UNTIL_PLATEAU}, TOP, ALL)
    assert shared(plateau, searched.points(HEAD | {"for": "4ep"}, TOP, ALL)) == []


CHANGES: dict[str, dict[str, Any]] = {
    "seed": {"training": {"seed": 1}},
    "batch size": {"training": {"batch_size": 12}},
    "micro-batch size": {"training": {"micro_batch_size": 3}},
    "weight decay": {"training": {"weight_decay": 0.1}},
    "betas": {"training": {"betas": [0.9, 0.99]}},
    "eps": {"training": {"eps": 1e-8}},
    "clipping": {"training": {"max_grad_norm": 0.5}},
    "precision": {"training": {"precision": "bf16"}},
    "metric": {"training": {"metric": "loss"}},
    "validations": {"training": {"validate_every": "3st"}},
    "schedule of all": {"training": {"schedule": "linear"}},
    "warmup of all": {"training": {"warmup": 0.3}},
    "ZeRO stage": {"deepspeed": {"zero_stage": 1}},
    "DeepSpeed": {"deepspeed": {"zero_stage": 2, "gradient_predivide_factor": 2.0}},
    "dropout": {"model": {"dropout": 0.2}},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_decides_the_whole_training_changes_every_key(
    searched: Searched, change: dict[str, Any]
) -> None:
    one = searched.points(HEAD, ALL | {"schedule": "constant"}, TOP)
    other = searched.points(HEAD, ALL | {"schedule": "constant"}, TOP, **change)
    assert len(one) == 2
    assert places(one) == places(other)
    assert shared(one, other) == []


@pytest.mark.parametrize("change", ["weights", "data"])
def test_other_weights_or_rows_change_every_key(searched: Searched, change: str) -> None:
    inputs = searched.inputs(HEAD, ALL)
    other = (
        replace(inputs, weights="others")
        if change == "weights"
        else replace(inputs, data=replace(inputs.data, fingerprint="others"))
    )
    assert shared(searched.of(inputs), searched.of(other)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 2e-2},
        {"warmup": 0.2},
        {"schedule": "linear"},
        {"layer_decay": 0.9},
        {"train": "last:1"},
    ],
)
def test_whatever_decides_a_phase_changes_its_keys_and_all_after_it(
    searched: Searched, change: dict[str, Any]
) -> None:
    first, middle, last = HEAD, TOP | {"train": "last:2"}, ALL
    one = searched.points(first, middle, last)
    assert shared(one, searched.points(first | change, middle, last)) == []
    assert shared(one, searched.points(first, middle | change, last)) == [(0, 10)]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"storage": {"uri": "elsewhere"}},
        {"checkpoints": {"every": "1st", "keep_best": 3}},
        {"scale": {"max_failures": 9}},
    ],
)
def test_what_decides_no_weight_changes_no_key(searched: Searched, change: Any) -> None:
    assert searched.points(HEAD, ALL) == searched.points(HEAD, ALL, **change)


def test_a_setting_for_all_phases_counts_only_where_a_phase_has_none_of_its_own(
    searched: Searched,
) -> None:
    own = HEAD | {"warmup": 0, "schedule": "constant"}
    one = searched.points(own, ALL, training={"warmup": 0.1, "schedule": "linear"})
    other = searched.points(own, ALL, training={"warmup": 0.2, "schedule": "cosine"})
    assert keys(one) == keys(other)


# -- whether a run is there


def test_a_run_is_at_a_fork_point_at_its_step_of_its_phase(searched: Searched) -> None:
    head, top = planned(searched.inputs(HEAD | {"for": "2ep"}, TOP))
    point = ForkPoint(0, 10, "k")
    assert point.is_at(Progress(step=10), head)
    assert not point.is_at(Progress(step=9), head)
    assert not point.is_at(Progress(step=20), head)
    assert not point.is_at(Progress(step=30, phase=1, phase_start=20), top)
    assert ForkPoint(1, 10, "k").is_at(Progress(step=30, phase=1, phase_start=20), top)
    assert not ForkPoint(1, 10, "k").is_at(Progress(step=10, phase=1, phase_start=8), top)


def test_a_run_is_at_the_end_of_a_plateau_when_it_gets_no_better_or_at_its_limit(
    searched: Searched,
) -> None:
    head = planned(searched.inputs(HEAD | {"for": UNTIL_PLATEAU}, TOP))[0]
    point = ForkPoint(0, AT_PLATEAU, "k")
    assert not point.is_at(Progress(step=20, stale=1), head)
    assert point.is_at(Progress(step=20, stale=2), head)
    assert point.is_at(Progress(step=40), head)
    assert not point.is_at(Progress(step=40, phase=1, phase_start=20, stale=2), head)
