"""result.json of a search, put together from its parts."""

import json
from typing import Any

import numpy as np
import pytest
from classified import metric_of, statistics_of, task_of

from unfreeze.jobs.estimate import Estimate
from unfreeze.jobs.metrics import Floats, Metric, ratio
from unfreeze.tuning import result
from unfreeze.tuning.finalists import Contender
from unfreeze.tuning.search_file import Search, parse_search
from unfreeze.tuning.selection import Choice
from unfreeze.tuning.trials import Trial


def search(metric: str = "accuracy") -> Search:
    space = {"phases.0.for": {"choice": ["0ep", "1ep"]}}
    job = {
        "model": "models/tiny",
        "task": "text-classification",
        "data": {"train": "train.jsonl"},
        "phases": [{"train": "head"}, {"train": "all"}],
    }
    return parse_search({"name": "s", "job": job, "space": space, "metric": metric})


def trial(number: int) -> Trial:
    return Trial(f"t{number}", number, {"phases.0.for": f"{number}ep"})


def contender(number: int, mean: float, *per_seed: float) -> Contender:
    per_seed = per_seed or (mean, mean)
    found = Estimate(mean=mean, se=0.01, interval=(mean - 0.02, mean + 0.02), per_seed=per_seed)
    places = tuple(f"finalists/t{number}-seed{seed}" for seed in range(1, 1 + len(per_seed)))
    seeds = tuple(range(1, 1 + len(per_seed)))
    return Contender(trial(number), seeds, places, 0.1 * number, found)


CHOICE = Choice(winner="t3", best="t1", within_one_se=("t3", "t1"), reason="It is frozen.")


# -- trials and finalists


def test_trials_stand_by_number_and_those_without_a_record_are_left_out() -> None:
    trials = {t.id: t for t in (trial(2), trial(0), trial(1))}
    records: dict[str, dict[str, Any]] = {
        "t2": {"state": "stopped", "gap": 0.1},
        "t0": {"state": "finished", "gap": None},
    }
    assert result.trial_entries(trials, records) == [
        {
            "id": "t0",
            "number": 0,
            "is_default": True,
            "settings": {"phases.0.for": "0ep"},
            "state": "finished",
            "gap": None,
        },
        {
            "id": "t2",
            "number": 2,
            "is_default": False,
            "settings": {"phases.0.for": "2ep"},
            "state": "stopped",
            "gap": 0.1,
        },
    ]


def test_finalists_stand_by_their_mean() -> None:
    contenders = [contender(3, 0.79), contender(1, 0.8), contender(0, 0.7)]
    found = result.finalist_entries(contenders, CHOICE, "max")
    assert [entry["number"] for entry in found] == [1, 3, 0]
    assert [entry["is_winner"] for entry in found] == [False, True, False]
    assert [entry["within_one_se"] for entry in found] == [True, True, False]
    assert [entry["is_default"] for entry in found] == [False, False, True]
    assert found[0] == {
        "trial": "t1",
        "number": 1,
        "settings": {"phases.0.for": "1ep"},
        "is_default": False,
        "is_winner": False,
        "within_one_se": True,
        "seeds": [1, 2],
        "validation": [0.8, 0.8],
        "mean": 0.8,
        "se": 0.01,
        "interval": [0.78, pytest.approx(0.82)],
        "frozen_share": 0.1,
    }
    lowest = result.finalist_entries(contenders, CHOICE, "min")
    assert [entry["number"] for entry in lowest] == [0, 3, 1]


def test_the_winner_says_why_it_won_and_which_seed_made_the_model() -> None:
    winner = contender(3, 0.79, 0.78, 0.8, 0.79)
    assert result.winner_entry(winner, CHOICE, search()) == {
        "trial": "t3",
        "number": 3,
        "settings": {"phases.0.for": "3ep"},
        "seed_of_model": 2,
        "reason": "It is frozen.",
    }
    assert result.winner_entry(winner, CHOICE, search("loss"))["seed_of_model"] == 1


# -- the test rows

LABEL_IDS = np.array([0, 1] * 20)


def statistics(*wrong: int, seeds: int = 2) -> Floats:
    """[seeds, rows, k] of models that are right but for the first rows of each seed."""
    logits = np.zeros((seeds, len(LABEL_IDS), 2), dtype=np.float32)
    for seed, count in enumerate(wrong):
        told = LABEL_IDS.copy()
        told[:count] = 1 - told[:count]
        logits[seed, np.arange(len(told)), told] = 2.0
    return statistics_of(logits, LABEL_IDS)


def entry(winner: Floats, default: Floats | None, metric: str = "accuracy") -> dict[str, Any]:
    found = result.test_entry(metric_of(metric, 2), winner, default, task_of(2).metrics, 1)
    again: dict[str, Any] = json.loads(json.dumps(found))
    assert again == found, "plain data"
    return found


def test_winner_and_default_are_judged_by_the_same_rows() -> None:
    found = entry(statistics(4, 8), statistics(12, 12))
    assert (found["rows"], found["touches"]) == (40, 1)
    winner, default = found["winner"], found["default"]
    assert winner["per_seed"] == pytest.approx([0.9, 0.8])
    assert winner["metric"] == pytest.approx(0.85)
    assert default["metric"] == pytest.approx(0.7)
    assert winner["interval"][0] < 0.85 < winner["interval"][1]
    assert winner["scores"].keys() == {metric.name for metric in task_of(2).metrics}
    assert winner["scores"]["accuracy"] == pytest.approx(0.85)
    assert winner["scores"]["f1"] == pytest.approx(0.85, abs=0.01)
    difference = found["difference"]
    assert difference["metric"] == pytest.approx(0.15)
    assert difference["interval"][0] < 0.15 < difference["interval"][1]


def test_a_loss_is_judged_as_a_loss() -> None:
    found = entry(statistics(4, 8), statistics(12, 12), metric="loss")
    assert found["winner"]["metric"] == pytest.approx(found["winner"]["scores"]["loss"], rel=1e-5)
    assert found["difference"]["metric"] < 0


def test_a_winner_that_is_the_default_differs_from_it_by_nothing() -> None:
    both = statistics(4, 8)
    found = entry(both, both)
    assert found["winner"] == found["default"]
    assert found["difference"] == {"metric": 0.0, "interval": [0, 0]}


def test_without_the_default_there_is_no_difference() -> None:
    found = entry(statistics(4, 8), None)
    assert (found["default"], found["difference"]) == (None, None)
    assert found["winner"]["metric"] == pytest.approx(0.85)


def test_a_score_that_is_not_known_of_a_seed_is_left_out() -> None:
    """A metric of the rows that the model answers, and a model that answers none."""
    answered = Metric("f1", lambda sums: ratio(sums[..., 1], sums[..., 2]))
    of_seeds = np.zeros((2, 40, 3))
    of_seeds[..., 0] = of_seeds[0, :, 2] = of_seeds[0, :30, 1] = 1
    accuracy = metric_of("accuracy", 2)
    found = result.test_entry(accuracy, of_seeds, None, [accuracy, answered], 1)
    assert found["winner"]["scores"] == {"accuracy": pytest.approx(30 / 80)}
    both = result.test_entry(accuracy, of_seeds[:1], None, [accuracy, answered], 1)
    assert both["winner"]["scores"] == {"accuracy": 0.75, "f1": 0.75}


def test_what_was_forgotten_is_told_of_both_sides_and_of_the_beginning() -> None:
    before, winner = statistics(2, seeds=1)[0], statistics(4, 8)
    every = task_of(2).metrics
    found = result.general_entry(metric_of("accuracy", 2), before, winner, None, every)
    assert (found["rows"], found["default"]) == (40, None)
    assert found["before"]["scores"]["accuracy"] == pytest.approx(0.95)
    assert found["winner"]["per_seed"] == pytest.approx([0.9, 0.8])
    assert found["winner"] == entry(winner, None)["winner"], "scored as the test rows are"
    again = result.general_entry(metric_of("accuracy", 2), before, winner, winner, every)
    assert again["default"] == again["winner"]


# -- what the search as a whole tells


def test_the_best_trial_looks_better_than_it_is() -> None:
    draw = np.random.default_rng(0)
    guesses = [draw.normal(size=(40, 2)).astype(np.float32) for _ in range(20)]
    trials = (statistics_of(guess, LABEL_IDS) for guess in guesses)
    found = result.optimism_entry(metric_of("accuracy", 2), trials)
    assert found["apparent"] == max((g.argmax(1) == LABEL_IDS).mean() for g in guesses)
    assert found["optimism"] == pytest.approx(found["apparent"] - found["corrected"])
    assert 0 < found["optimism"] < 0.4
    assert found["interval"][0] <= found["corrected"] <= found["interval"][1]
    assert found["resamples"] == 1000
    assert json.loads(json.dumps(found)) == found


def record(metric: float | None, state: str = "finished") -> dict[str, Any]:
    return {"state": state, "best": None if metric is None else {"metric": metric}}


def test_the_expected_best_counts_every_trial_that_did_not_fail() -> None:
    records = {
        "a": record(0.6),
        "b": record(0.8, "stopped"),
        "c": record(None, "failed"),
        "d": record(0.99, "failed"),
        "e": record(None, "stopped"),
    }
    assert result.expected_best_entry(records, search()) == [
        {"trials": 1, "value": pytest.approx(0.7)},
        {"trials": 2, "value": pytest.approx(0.8)},
    ]
    assert [e["value"] for e in result.expected_best_entry(records, search("loss"))] == [
        pytest.approx(0.7),
        pytest.approx(0.6),
    ]


def cost(run: int, shared: int, seconds: float) -> dict[str, Any]:
    return {"cost": {"steps_run": run, "steps_shared": shared, "seconds_shared": seconds}}


def test_what_was_saved_is_counted_in_steps_and_in_the_seconds_that_they_took() -> None:
    records = {
        "a": cost(40, 0, 0.0),
        "b": cost(20, 20, 10.0),
        "c": cost(10, 30, 1.0),
        "failed": {"cost": None},
    }
    assert result.saved_entry(records, prefixes=3) == {
        "steps_run": 70,
        "steps_shared": 50,
        "share": pytest.approx(50 / 120),
        "seconds": pytest.approx(11.0),
        "prefixes": 3,
    }


def test_a_trial_that_had_nothing_left_to_do_saved_all_its_steps() -> None:
    found = result.saved_entry({"a": cost(0, 40, 0.1)}, prefixes=1)
    assert (found["steps_shared"], found["share"], found["seconds"]) == (40, 1.0, 0.1)


def test_a_search_in_which_all_failed_saved_nothing() -> None:
    found = result.saved_entry({"a": {"cost": None}}, prefixes=0)
    assert (found["share"], found["seconds"], found["steps_run"]) == (0.0, 0, 0)
