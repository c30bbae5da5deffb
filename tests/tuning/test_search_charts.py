"""The numbers that a search report draws."""

import json
from typing import Any

import pytest
from search_results import a_result, a_result_of, a_trial, fail, many_trials, of_loss

from unfreeze.tuning.axes import NOT_SET, parallel_axes, setting_text
from unfreeze.tuning.charts import charts_of, enough_trials, picked_rows

Data = dict[str, Any]


def test_a_grid_gives_a_map_with_cells_for_all_depths_and_for_each() -> None:
    found = charts_of(a_result())["map"]
    assert found["cells"]
    assert found["length_names"] == ["0", "1", "2"]
    assert found["rate_names"] == ["1e-5", "3e-5", "0.0001", "0.0003"]
    assert [view["name"] for view in found["views"]] == ["all", "0", "4", "6"]


def test_a_cell_holds_the_best_trial_and_its_gap() -> None:
    result = a_result()
    every = charts_of(result)["map"]["views"][0]
    cell = [
        t
        for t in result["trials"]
        if t["freeze"]["epochs"] == 2 and t["learning_rate"] == 1e-4 and t["best"]
    ]
    best = max(cell, key=lambda t: t["best"]["metric"])
    assert len(cell) == 3
    assert every["metric"][2][2] == best["best"]["metric"]
    assert every["gap"][2][2] == best["gap"]


def test_a_cell_of_a_loss_holds_the_lowest() -> None:
    result = of_loss(a_result())
    every = charts_of(result)["map"]["views"][0]["metric"]
    losses = [t["best"]["metric"] for t in result["trials"] if t["best"]]
    assert min(x for row in every for x in row) == min(losses)


def test_a_cell_whose_only_trial_failed_is_empty() -> None:
    failed = a_result()["trials"][23]
    assert (failed["freeze"]["depth"], failed["best"]) == (4, None)
    views = {view["name"]: view for view in charts_of(a_result())["map"]["views"]}
    assert views["4"]["metric"][3][2] is None


def test_rates_that_were_drawn_give_a_map_of_points() -> None:
    found = charts_of(many_trials(40))["map"]
    assert not found["cells"]
    assert "metric" not in found["views"][0]


def test_a_trial_without_phases_has_no_place_in_the_map() -> None:
    trials = [a_trial(0, {"phases.0.for": "1ep"})]
    fail(trials[0], "no such block", at_once=True)
    found = charts_of(a_result_of(trials, optimism=None))
    assert found["map"]["empty"]
    assert found["groups"] == []


def test_a_space_without_a_rate_uses_the_rate_of_the_trials() -> None:
    trials = [a_trial(n, {"phases.0.for": f"{n % 3}ep"}) for n in range(6)]
    found = charts_of(a_result_of(trials, space={"phases.0.for": {"choice": ["0ep"]}}))["map"]
    assert found["rates"] == [5e-5]
    assert found["views"][0]["metric"][0][0] is not None


def test_a_curve_can_count_from_unfreezing() -> None:
    result = a_result_of([a_trial(0, {"phases.0.for": "2ep"})])
    curve = charts_of(result)["trials"][0]["curve"]
    assert curve["epoch"] == [1, 2, 3, 4, 5, 6]
    assert curve["aligned"] == [-1, 0, 1, 2, 3, 4]


def test_curves_are_thinned_and_keep_their_last_point(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = a_trial(0, {"phases.0.for": "0ep"})
    line = trial["validations"][0]
    trial["validations"] = [line | {"epoch": float(n)} for n in range(1, 9_999)]
    monkeypatch.setattr("unfreeze.tuning.charts.MAX_POINTS", 100)
    curve = charts_of(a_result_of([trial]))["trials"][0]["curve"]
    assert len(curve["epoch"]) <= 100
    assert curve["epoch"][-1] == 9_998


def test_nothing_that_json_has_no_word_for_reaches_the_page() -> None:
    result = a_result()
    for trial in result["trials"][:20]:
        trial["gap"] = float("inf")
        for line in trial["validations"]:
            line["validation"]["accuracy"] = line["since_unfreezing"] = float("nan")
        if trial["best"]:
            trial["best"]["metric"] = float("nan")
    result["finalists"][0] |= {"se": float("nan"), "interval": [float("nan"), 1.0]}
    result["expected_best"][3]["value"] = float("nan")
    json.dumps(charts_of(result), allow_nan=False)


def test_enough_trials_have_95_percent_of_the_gain() -> None:
    def points(*values: float) -> list[Data]:
        return [{"trials": n, "value": value} for n, value in enumerate(values, 1)]

    assert enough_trials(points(0.70, 0.78, 0.795, 0.80)) == 3
    assert enough_trials(points(0.5, 0.42, 0.41, 0.40)) == 4  # of a loss
    assert enough_trials(points(0.7, 0.7)) is None
    assert enough_trials(points(0.7)) is None
    assert enough_trials([]) is None


def test_only_what_is_known_stands_beside_the_apparent_best() -> None:
    assert len(picked_rows(a_result())) == 4
    without = picked_rows(a_result(test=None))
    assert [row["name"] for row in without] == ["best trial, as picked", "corrected for picking"]
    assert without[0]["interval"] is None
    assert picked_rows(a_result(test=None, optimism=None)) == []


# Parallel coordinates


def axes_of(space: Data, settings: list[Data]) -> list[Data]:
    trials = [a_trial(n, one) for n, one in enumerate(settings)]
    return parallel_axes(a_result_of(trials, space=space))


def test_choices_are_ticks_in_the_order_of_the_space() -> None:
    axis = axes_of({"a.b": {"choice": ["x", 3, [1, "y"]]}}, [{"a.b": 3.0}, {"a.b": [1, "y"]}])[0]
    assert axis["ticks"] == [[0, "x"], [0.5, "3"], [1, '[1, "y"]']]
    assert axis["heights"] == [0.5, 1]


def test_a_choice_that_only_the_default_has_gets_a_tick() -> None:
    axis = axes_of({"a": {"choice": [1, 2]}}, [{"a": 7}, {"a": 2}])[0]
    assert [text for _, text in axis["ticks"]] == ["1", "2", "7"]


def test_a_setting_that_a_trial_does_not_have_stands_below() -> None:
    axis = axes_of({"a": {"uniform": [0, 1]}}, [{"a": 0.25}, {}, {"a": None}])[0]
    assert axis["heights"] == [0.25, NOT_SET, NOT_SET]
    assert axis["ticks"][-1] == [NOT_SET, "not set"]


def test_rates_stand_by_their_logarithm() -> None:
    axis = axes_of({"a": {"loguniform": [1e-5, 1e-3]}}, [{"a": 1e-4}, {"a": 1e-3}])[0]
    assert axis["heights"] == pytest.approx([0.5, 1])
    assert [text for _, text in axis["ticks"]] == ["1e-5", "0.0001", "0.001"]


def test_the_default_may_lie_outside_the_space() -> None:
    axis = axes_of({"a": {"uniform": [0.0, 1.0]}}, [{"a": 3.0}, {"a": 0.0}])[0]
    assert axis["heights"] == [1, 0]


def test_lengths_with_a_unit_are_numbers_and_the_upper_end_of_randint_is_out() -> None:
    space = {"phases.0.for": {"randint": [0, 5], "unit": "ep"}}
    axis = axes_of(space, [{"phases.0.for": "4ep"}, {"phases.0.for": "1ep"}])[0]
    assert axis["heights"] == [1, 0.25]
    assert [text for _, text in axis["ticks"]] == ["0ep", "2ep", "4ep"]


def test_the_last_axes_are_the_metric_and_the_gap() -> None:
    *_, metric, gap = charts_of(a_result())["axes"]
    assert (metric["name"], gap["name"]) == ("best accuracy", "gap, points")
    assert max(h for h in metric["heights"] if h is not None) == 1
    assert metric["heights"][23] is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "not set"),
        ("last:3", "last:3"),
        (5e-5, "5e-5"),
        (16, "16"),
        (True, "true"),
        (["head", "layer.1"], '["head", "layer.1"]'),
        (float("inf"), "Infinity"),
    ],
)
def test_settings_are_spelled_as_people_write_them(value: Any, text: str) -> None:
    assert setting_text(value) == text


def test_a_long_setting_is_cut() -> None:
    assert setting_text("x" * 99, 10) == "x" * 7 + "..."
