"""What is said of a search: never more than its numbers hold."""

from typing import Any

import pytest
from search_results import SPACE, a_result, a_result_of, a_test, a_trial, fail, many_trials, of_loss

from unfreeze.tuning.grouping import compare, epochs_frozen, grouped, range_text
from unfreeze.tuning.verdict import verdict

Data = dict[str, Any]


def trials_with(metrics_by_length: dict[str, list[float]], **changes: Any) -> list[Data]:
    """Finished trials with these best metrics, by freeze length."""
    made = []
    for length, metrics in metrics_by_length.items():
        for metric in metrics:
            trial = a_trial(len(made), {"phases.0.for": length, "phases.1.train": "all"})
            trial["best"]["metric"] = metric
            made.append(trial | changes)
    return made


def about(word: str, result: Data) -> str:
    """The one sentence with this word in it."""
    found = [sentence for sentence in verdict(result) if word in sentence]
    assert len(found) == 1, found
    return found[0]


def test_a_search_of_many_trials_gets_six_sentences() -> None:
    said = verdict(a_result())
    assert len(said) == 6
    assert all(sentence.endswith(".") and "\u00a0" not in sentence for sentence in said)


def test_the_verdict_does_not_need_a_verdict() -> None:
    result = a_result()
    del result["verdict"]
    assert verdict(result) == verdict(a_result())


def test_an_interval_without_zero_makes_the_winner_better() -> None:
    said = verdict(a_result(test=a_test(0.829, 0.811, (0.004, 0.033))))[0]
    assert said == (
        "The winner is better than the default: 82.9 % against 81.1 % accuracy on the test rows, "
        "a difference of +1.8 points (95 % interval +0.4 to +3.3 points)."
    )


def test_an_interval_with_zero_in_it_tells_nothing_apart() -> None:
    said = verdict(a_result(test=a_test(0.829, 0.811, (-0.001, 0.037))))[0]
    assert said.startswith("The winner and the default cannot be told apart: 82.9 % against 81.1 %")
    assert "better" not in said


def test_an_interval_that_touches_zero_tells_nothing_apart() -> None:
    said = verdict(a_result(test=a_test(0.8, 0.8, (0.0, 0.0))))[0]
    assert "cannot be told apart" in said


def test_a_winner_that_is_worse_on_the_test_rows_is_called_worse() -> None:
    said = verdict(a_result(test=a_test(0.78, 0.81, (-0.05, -0.01))))[0]
    assert said.startswith("The winner is worse than the default: 78.0 %")


def test_of_a_loss_less_is_better() -> None:
    result = of_loss(a_result())
    assert verdict(result)[0].startswith("The winner is better than the default: 0.371 against")
    assert "2 epochs went with a better loss than 0 epochs" in about("freeze length", result)


def test_without_a_test_split_the_validation_rows_are_said_to_have_chosen() -> None:
    result = a_result(test=None)
    said = verdict(result)[0]
    assert "cannot be told apart" in said
    assert "on the validation rows, which also chose the winner" in said
    winner = next(f for f in result["finalists"] if f["is_winner"])
    winner |= {"mean": 0.9, "interval": [0.88, 0.92]}
    assert verdict(result)[0].startswith("The winner looks better than the default: 90.0 %")


def test_a_default_that_wins_is_no_reason_to_leave_it() -> None:
    result = a_result()
    default = next(f for f in result["finalists"] if f["is_default"])
    result["winner"] |= {"trial": default["trial"]}
    assert verdict(result)[0].startswith("The default settings won: ")


def test_a_default_that_failed_cannot_be_compared() -> None:
    test = a_test(0.8, 0.8, (0, 0)) | {"default": None, "difference": None}
    result = a_result(test=test)
    result["finalists"] = [f for f in result["finalists"] if not f["is_default"]]
    assert "the default did not finish" in verdict(result)[0]


def test_a_longer_freeze_helped_if_it_did_more_than_trials_differ_by() -> None:
    trials = trials_with({"0ep": [0.70, 0.71, 0.72], "2ep": [0.80, 0.81, 0.82]})
    said = about("freeze length", a_result_of(trials, rows={"validation": 2000}))
    assert "0 epochs 71.0 % (best 72.0 %, 3 trials), 2 epochs 81.0 % (best 82.0 %, 3 tr" in said
    assert said.endswith(
        "2 epochs went with a better accuracy than 0 epochs by 10.0 points, which is more than "
        "trials of one group differ by (1.0 points)."
    )


def test_what_the_luck_of_few_rows_may_make_is_a_tendency_only() -> None:
    trials = trials_with({"0ep": [0.375] * 4, "2ep": [0.625] * 4})
    said = about("freeze length", a_result_of(trials, rows={"validation": 24}))
    assert said.endswith(
        "2 epochs went with a better accuracy than 0 epochs by 25.0 points, a tendency only, as "
        "so few validation rows leave up to 27.4 points to chance."
    )


def test_a_longer_freeze_that_harmed_is_said_to() -> None:
    trials = trials_with({"0ep": [0.80, 0.81, 0.82], "2ep": [0.70, 0.71, 0.72]})
    said = about("freeze length", a_result_of(trials))
    assert "2 epochs went with a worse accuracy than 0 epochs by 10.0 points" in said


def test_a_certain_difference_within_the_spread_is_a_tendency_only() -> None:
    spread = [0.02 * (n % 2) for n in range(60)]
    trials = trials_with(
        {"0ep": [0.70 + x for x in spread], "2ep": [0.708 + x for x in spread]},
    )
    assert "by 0.8 points, a tendency only" in about("freeze length", a_result_of(trials))


def test_a_difference_that_chance_may_make_is_not_told() -> None:
    trials = trials_with({"0ep": [0.70, 0.76, 0.73], "2ep": [0.71, 0.77, 0.74]})
    said = about("freeze length", a_result_of(trials))
    assert said.endswith(
        "2 epochs and 0 epochs cannot be told apart: they differ by 1.0 points, trials of one "
        "group by 3.0 points."
    )


def test_two_trials_are_too_few_to_tell() -> None:
    said = about("freeze length", a_result_of(trials_with({"0ep": [0.7], "2ep": [0.9]})))
    assert said.endswith("there are too few trials to tell 2 epochs and 0 epochs apart.")


def test_only_finished_trials_count_for_the_freeze() -> None:
    trials = trials_with({"0ep": [0.70, 0.71], "2ep": [0.80, 0.81]})
    stopped = trials_with({"2ep": [0.1, 0.1]}, state="stopped")
    assert about("freeze length", a_result_of(trials + stopped)) == about(
        "freeze length", a_result_of(trials)
    )


def test_trials_that_were_all_frozen_alike_say_nothing_of_freezing() -> None:
    result = a_result_of(trials_with({"1ep": [0.7, 0.8]}))
    assert not [s for s in verdict(result) if "by freeze" in s]
    assert 3 <= len(verdict(result)) <= 6


def test_most_bests_before_the_end_point_to_overfitting() -> None:
    trials = trials_with({"1ep": [0.8, 0.8, 0.8]})
    for trial in trials:
        trial["best"] |= {"step": trial["validations"][1]["step"]}
    for trial, last in zip(trials, (0.79, 0.75, 0.8), strict=True):  # the last one is a plateau
        trial["validations"][-1]["validation"]["accuracy"] = last
    said = about("came before the last one", a_result_of(trials))
    assert said.startswith(
        "In 2 of 3 trials the best validation came before the last one, typically 1 epochs after "
        "unfreezing, which points to overfitting from there on"
    )
    for trial in trials:
        trial["best"]["step"] = trial["validations"][0]["step"]
    assert "last one, typically before unfreezing" in about("before the", a_result_of(trials))
    trials[1]["validations"][-1]["validation"]["accuracy"] = 0.8
    assert "overfitting" not in about("came before the last one", a_result_of(trials))


def test_the_gap_is_compared_between_short_and_long_freezes() -> None:
    trials = trials_with({"0ep": [0.8, 0.8], "1ep": [0.8], "2ep": [0.8]})
    for trial, gap in zip(trials, (0.10, 0.12, 0.5, 0.03), strict=True):
        trial["gap"] = gap
    said = about("median gap", a_result_of(trials))
    assert said.endswith("+11.0 points after a freeze of 0 epochs and +3.0 points after 2 epochs.")


def test_a_corrected_value_that_is_no_worse_is_not_called_too_good() -> None:
    optimism = {"apparent": 0.8, "corrected": 0.81, "optimism": -0.01, "interval": [0.7, 0.9]}
    said = about("having been picked", a_result(optimism=optimism))
    assert "does not look too good" in said


def test_sharing_that_was_off_or_saved_nothing_is_said_so() -> None:
    nothing = {"steps_run": 900, "steps_shared": 0, "share": 0.0, "seconds": 0.0, "prefixes": 0}
    assert verdict(a_result(saved=nothing))[-1] == "Sharing saved nothing: all 900 steps were run."
    off = a_result(saved=nothing, sharing=False)
    assert verdict(off)[-1] == "Sharing was off: all 900 steps were run."


def test_a_search_in_which_all_failed_still_gets_three_sentences() -> None:
    trials = [a_trial(n, {"phases.0.for": "1ep"}) for n in range(3)]
    for trial in trials:
        fail(trial, "the loss is nan at step 3", at_once=True)
    said = verdict(a_result_of(trials, optimism=None, test=None))
    assert len(said) == 3
    assert said[0].startswith("There is no winner")
    assert said[1].startswith("When overfitting set in cannot be said")


def test_numbers_that_are_not_finite_say_nothing() -> None:
    result = a_result()
    for trial in result["trials"]:
        if trial["best"]:
            trial["best"]["metric"] = trial["gap"] = float("nan")
    result["optimism"]["corrected"] = float("nan")
    result["test"]["difference"]["interval"] = [float("nan"), 0.2]
    said = verdict(result)
    assert 3 <= len(said) <= 6
    assert "nan" not in " ".join(said)
    assert "not known" in said[0]


def test_many_freeze_lengths_are_told_in_three_groups() -> None:
    said = about("by freeze length", many_trials(60))
    assert said.count("(best ") == 3


# Groups


def test_few_values_are_groups_of_their_own_and_many_are_put_together() -> None:
    few = [a_trial(n, {"phases.0.for": f"{n % 3}ep"}) for n in range(7)]
    assert [(ends, len(some)) for ends, some in grouped(few, epochs_frozen)] == [
        ((0, 0), 3),
        ((1, 1), 2),
        ((2, 2), 2),
    ]
    many = [a_trial(n, {"phases.0.for": f"{n}ep"}) for n in range(10)]
    groups = grouped(many, epochs_frozen)
    assert [range_text(ends) for ends, _ in groups] == [
        "0 to 1",
        "2 to 3",
        "4 to 5",
        "6 to 7",
        "8 to 9",
    ]
    assert sum(len(some) for _, some in groups) == 10
    assert grouped([{"id": "x"}], epochs_frozen) == []


def test_the_margin_of_a_difference_is_the_textbook_one() -> None:
    found = compare([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], 0, 1)
    assert found.difference == pytest.approx(3)
    assert found.spread == pytest.approx(1)
    assert found.margin == pytest.approx(2.776 * (2 / 3) ** 0.5, rel=1e-3)  # t with 4 degrees
    three = compare([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [4.0, 5.0, 6.0]], 0, 1)
    assert three.margin == pytest.approx(2.969 * (2 / 3) ** 0.5, rel=1e-3)  # 0.0125, 6 degrees
    assert compare([[1.0], [2.0]], 0, 1).margin is None


def test_the_space_of_the_test_data_is_one_that_a_search_may_have() -> None:
    from unfreeze.tuning.config import Dimension

    assert all(Dimension.model_validate(dimension).choice for dimension in SPACE.values())
