"""How frozen a trial is, and how long ago it was unfrozen."""

from typing import Any

import pytest

from unfreeze.jobs import parse_job
from unfreeze.jobs.phases import Phase, plan_phases
from unfreeze.tuning.freezing import Freeze, epochs_since_unfreezing, freeze_of

BLOCKS = ("embeddings", "layer.0", "layer.1", "head")
SIZES = {"embeddings": 50, "layer.0": 20, "layer.1": 20, "head": 10}
PER_EPOCH = 10
UNTIL_PLATEAU = {"until": "plateau", "patience": 1, "at_most": "3ep"}


def plan(*phases: tuple[Any, Any]) -> list[Phase]:
    settings = {
        "name": "job",
        "model": "models/tiny",
        "task": "text-classification",
        "data": {"train": "train.jsonl"},
        "phases": [{"train": train, "for": length} for train, length in phases],
    }
    return plan_phases(parse_job(settings), BLOCKS, PER_EPOCH)


def steps(*lengths: tuple[int, int]) -> list[dict[str, Any]]:
    """metrics.jsonl of a run that trained these phases for so many steps."""
    lines: list[dict[str, Any]] = []
    for phase, count in lengths:
        for _ in range(count):
            step = sum(line["kind"] == "train" for line in lines) + 1
            lines.append({"kind": "train", "step": step, "phase": phase})
            if step % PER_EPOCH == 0:
                lines.append({"kind": "validation", "step": step, "phase": phase})
    return lines


def freeze(*phases: tuple[Any, Any]) -> Freeze:
    return freeze_of(plan(*phases), SIZES, PER_EPOCH)


# -- how frozen


def test_a_job_that_trains_everything_is_not_frozen() -> None:
    assert freeze(("all", "2ep")) == Freeze(epochs=0.0, depth=0, share=0.0)


def test_a_freeze_counts_until_more_than_the_head_is_trained() -> None:
    # 10 steps with 90 of 100 parameters frozen, then 30 with none.
    assert freeze(("head", "1ep"), ("all", "3ep")) == Freeze(1.0, 0, pytest.approx(0.225))
    # 15 steps with 90, 5 with 70, 20 with 50.
    found = freeze(("head", "15st"), ("last:1", "5st"), (["layer.*", "head"], "2ep"))
    assert found == Freeze(1.5, 1, pytest.approx((15 * 90 + 5 * 70 + 20 * 50) / 100 / 40))


def test_several_phases_of_the_head_are_one_freeze() -> None:
    assert freeze(("head", "1ep"), ("head", "2ep"), ("last:1", "1ep")).epochs == 3.0


def test_a_freeze_that_comes_later_is_no_freeze_at_first() -> None:
    assert freeze(("all", "1ep"), ("head", "1ep")) == Freeze(0.0, 3, pytest.approx(0.45))


def test_depth_counts_the_blocks_that_the_last_phase_leaves_alone() -> None:
    assert freeze(("head", "1ep"), ("last:1", "1ep")).depth == 2
    assert freeze(("head", "1ep"), ("last:2", "1ep")).depth == 1
    assert freeze(("last:1", "1ep"), ("head", "1ep")).depth == 3


def test_a_job_that_never_trains_more_than_its_head_is_frozen_for_its_whole_length() -> None:
    assert freeze(("head", "1ep"), ("head", "3ep")) == Freeze(4.0, 3, pytest.approx(0.9))


def test_empty_phases_do_not_count() -> None:
    expected = freeze(("head", "1ep"), ("last:1", "1ep"))
    assert freeze(("head", "1ep"), ("last:1", "1ep"), ("all", "0ep")) == expected
    assert freeze(("head", "0ep"), ("all", "1ep")) == freeze(("all", "1ep"))
    assert freeze(("all", "0ep"), ("head", "1ep")) == freeze(("head", "1ep"))


def test_a_plateau_counts_with_its_limit() -> None:
    assert freeze(("head", UNTIL_PLATEAU), ("all", "1ep")) == freeze(
        ("head", "3ep"), ("all", "1ep")
    )


# -- how long ago


def since(phases: list[Phase], metrics: list[dict[str, Any]]) -> dict[int, float]:
    """By step, as it was known at the time and as it is known in the end."""
    found = {}
    for at, line in enumerate(metrics):
        if line["kind"] == "validation":
            then = epochs_since_unfreezing(metrics[: at + 1], phases, PER_EPOCH, line["step"])
            found[line["step"]] = then
            later = epochs_since_unfreezing(metrics, phases, PER_EPOCH, line["step"])
            assert later == then, "a trial that is taken up again says the same as before"
    return found


def test_epochs_count_from_the_first_step_that_trains_more_than_the_head() -> None:
    phases = plan(("head", "2ep"), ("last:1", "1ep"), ("all", "1ep"))
    found = since(phases, steps((0, 20), (1, 10), (2, 10)))
    assert found == {10: 0.0, 20: 0.0, 30: 1.0, 40: 2.0}


def test_fractions_of_epochs_count_too() -> None:
    found = since(plan(("head", "5st"), ("all", "2ep")), steps((0, 5), (1, 20)))
    assert found == {10: 0.5, 20: 1.5}


def test_a_plateau_that_ends_early_unfreezes_early() -> None:
    phases = plan(("head", UNTIL_PLATEAU), ("all", "2ep"))
    assert since(phases, steps((0, 10), (1, 20))) == {10: 0.0, 20: 1.0, 30: 2.0}
    assert since(phases, steps((0, 30), (1, 20))) == {10: 0, 20: 0, 30: 0, 40: 1.0, 50: 2.0}


@pytest.mark.parametrize("phases", [[("all", "3ep")], [("head", "0ep"), ("all", "3ep")]])
def test_a_job_without_a_freeze_counts_from_its_start(phases: list[tuple[str, str]]) -> None:
    index = len(phases) - 1
    assert since(plan(*phases), steps((index, 30))) == {10: 1.0, 20: 2.0, 30: 3.0}


def test_a_job_that_stays_frozen_counts_from_its_start() -> None:
    """Else it would never come to a rung."""
    assert since(plan(("head", "1ep"), ("head", "1ep")), steps((0, 10), (1, 10))) == {
        10: 1.0,
        20: 2.0,
    }


def test_a_freeze_that_comes_later_does_not_stop_the_count() -> None:
    phases = plan(("head", "1ep"), ("all", "1ep"), ("head", "1ep"))
    assert since(phases, steps((0, 10), (1, 10), (2, 10))) == {10: 0.0, 20: 1.0, 30: 2.0}
