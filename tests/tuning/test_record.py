"""What is kept of a trial."""

import json
import math
from typing import Any

import pytest

from unfreeze.jobs.metrics import Mode
from unfreeze.jobs.phases import Phase
from unfreeze.tuning.freezing import Freeze
from unfreeze.tuning.orders import Outcome
from unfreeze.tuning.record import best_of, gap, make_record, report_line, validation_lines

NAN = float("nan")


def line(step: int, train: float, validation: float, metric: str = "accuracy") -> dict[str, Any]:
    return {
        "step": step,
        "epoch": step / 10,
        "since_unfreezing": step / 10 - 1,
        "train": {metric: train},
        "validation": {metric: validation},
    }


def best(*lines: dict[str, Any], metric: str = "accuracy", mode: Mode = "max") -> dict[str, Any]:
    return best_of(lines, metric, mode)


def test_a_gap_is_positive_where_the_training_rows_are_known_better() -> None:
    assert gap(0.9, 0.8, "max") == pytest.approx(0.1)
    assert gap(0.7, 0.8, "max") == pytest.approx(-0.1)
    assert gap(0.2, 0.5, "min") == pytest.approx(0.3)
    assert gap(0.5, 0.2, "min") == pytest.approx(-0.3)
    assert gap(0.5, 0.5, "min") == gap(0.5, 0.5, "max") == 0


def test_the_best_of_a_metric_that_should_be_high() -> None:
    found = best(line(10, 0.7, 0.6), line(20, 0.9, 0.8), line(30, 1.0, 0.7))
    assert found == {
        "best": {"metric": 0.8, "train_metric": 0.9, "step": 20, "epoch": 2.0},
        "gap": pytest.approx(0.1),
    }


def test_the_best_of_a_loss_is_its_lowest() -> None:
    lines = [line(10, 0.7, 0.6, "loss"), line(20, 0.2, 0.5, "loss"), line(30, 0.1, 0.9, "loss")]
    found = best(*lines, metric="loss", mode="min")
    assert found["best"] == {"metric": 0.5, "train_metric": 0.2, "step": 20, "epoch": 2.0}
    assert found["gap"] == pytest.approx(0.3)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_of_equals_the_first_is_the_best(mode: Mode) -> None:
    found = best(line(10, 0.5, 0.8), line(20, 0.9, 0.8), line(30, 1.0, 0.8), mode=mode)
    assert found["best"]["step"] == 10


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("bad", [NAN, math.inf, -math.inf])
def test_what_is_not_a_finite_number_is_never_the_best(mode: Mode, bad: float) -> None:
    found = best(line(10, 0.5, bad), line(20, 0.5, 0.4), line(30, 0.5, bad), mode=mode)
    assert found["best"]["step"] == 20
    assert best(line(10, 0.5, bad), mode=mode) == {"best": None, "gap": None}


def test_a_trial_without_validations_has_no_best() -> None:
    assert best() == {"best": None, "gap": None}


def phase(index: int, *blocks: str) -> Phase:
    return Phase(
        index=index,
        name="",
        blocks=blocks,
        max_steps=10,
        patience=None,
        learning_rate=1e-3,
        schedule="constant",
        warmup_steps=0,
        layer_decay=1.0,
    )


def test_the_validations_of_a_run_say_how_long_it_is_unfrozen() -> None:
    metrics: list[dict[str, Any]] = []
    for step in range(1, 21):
        at: dict[str, Any] = {"step": step, "epoch": step / 10, "phase": int(step > 10)}
        metrics.append({"kind": "train", **at, "loss": 0.5})
        if step in (10, 15, 20):
            scores = {"train": {"loss": 0.1}, "validation": {"loss": 0.2}}
            metrics.append({"kind": "validation", **at, **scores, "best": True})
    lines = validation_lines(metrics, [phase(0, "head"), phase(1, "layer.0", "head")], 10)
    assert [(v["step"], v["phase"], v["since_unfreezing"]) for v in lines] == [
        (10, 0, 0.0),
        (15, 1, 0.5),
        (20, 1, 1.0),
    ]
    assert lines[1] == {
        "step": 15,
        "epoch": 1.5,
        "phase": 1,
        "since_unfreezing": 0.5,
        "train": {"loss": 0.1},
        "validation": {"loss": 0.2},
    }


def test_a_record_holds_how_the_trial_ended_what_it_reached_and_what_it_took() -> None:
    lines = [line(10, 0.9, 0.8)]
    cost = {"cost": {"seconds": 2.0, "steps_run": 10}, "shared": None}
    record = make_record(
        Outcome("finished", "ran its length", cost),
        lines,
        metric="accuracy",
        mode="max",
        freeze=Freeze(1.0, 3, 0.5),
        learning_rate=3e-5,
    )
    assert json.loads(json.dumps(record)) == {
        "state": "finished",
        "why": "ran its length",
        "best": {"metric": 0.8, "train_metric": 0.9, "step": 10, "epoch": 1.0},
        "gap": pytest.approx(0.1),
        "freeze": {"epochs": 1.0, "depth": 3, "share": 0.5},
        "learning_rate": 3e-5,
        "validations": lines,
        "cost": {"seconds": 2.0, "steps_run": 10},
        "shared": None,
    }


def test_the_searcher_gets_the_metric_by_its_own_name() -> None:
    found = report_line(line(20, 0.3, 0.5, "loss"), "loss", "min")
    assert found == {
        "step": 20,
        "epoch": 2.0,
        "since_unfreezing": 1.0,
        "loss": 0.5,
        "train_loss": 0.3,
        "gap": pytest.approx(0.2),
    }


def test_a_line_that_is_not_a_number_is_passed_on_as_it_is() -> None:
    found = report_line(line(20, 0.9, NAN), "accuracy", "max")
    assert math.isnan(found["accuracy"])
    assert math.isnan(found["gap"])
