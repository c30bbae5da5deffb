"""The most frozen finalist within one standard error of the best wins."""

import pytest

from unfreeze.jobs.estimate import Estimate
from unfreeze.tuning.selection import Choice, Finalist, choose


def finalist(trial: str, mean: float, share: float, se: float = 0.01) -> Finalist:
    made = Estimate(mean=mean, se=se, interval=(mean - se, mean + se), per_seed=(mean,))
    return Finalist(trial=trial, name=f"trial {trial}", frozen_share=share, estimate=made)


def test_a_more_frozen_finalist_within_one_standard_error_wins() -> None:
    found = choose(
        [finalist("a", 0.81, 0.1), finalist("b", 0.805, 0.5), finalist("c", 0.803, 0.3)], "max"
    )
    assert found == Choice(
        winner="b",
        best="a",
        within_one_se=("b", "c", "a"),
        reason="It is the most frozen (50% against 10% of the parameters) within one standard "
        "error (0.01) of the best, trial a: 0.8050 against 0.8100.",
    )


def test_one_that_is_worse_by_more_than_the_error_does_not_win() -> None:
    found = choose([finalist("a", 0.81, 0.1), finalist("b", 0.79, 0.9)], "max")
    assert (found.winner, found.within_one_se) == ("a", ("a",))
    assert found.reason == (
        "It has the best mean (0.8100), and nothing is within one standard error (0.01) of it."
    )


def test_it_is_the_error_of_the_best_that_counts() -> None:
    wide = finalist("b", 0.795, 0.9, se=0.1)
    assert choose([finalist("a", 0.81, 0.1), wide], "max").winner == "a"
    assert choose([finalist("a", 0.81, 0.1, se=0.02), wide], "max").winner == "b"


def test_a_loss_is_best_where_it_is_lowest() -> None:
    finalists = [finalist("a", 0.40, 0.1), finalist("b", 0.405, 0.5), finalist("c", 0.5, 0.9)]
    found = choose(finalists, "min")
    assert (found.winner, found.best, found.within_one_se) == ("b", "a", ("b", "a"))


def test_the_best_wins_where_it_is_the_most_frozen_too() -> None:
    found = choose([finalist("a", 0.81, 0.5), finalist("b", 0.805, 0.1)], "max")
    assert (found.winner, found.best) == ("a", "a")
    assert found.reason == (
        "It has the best mean (0.8100), and nothing within one standard error (0.01) of it is more "
        "frozen."
    )


def test_of_equally_frozen_ones_the_better_wins_and_then_the_first() -> None:
    assert choose([finalist("a", 0.805, 0.5), finalist("b", 0.81, 0.5)], "max").winner == "b"
    assert choose([finalist("a", 0.81, 0.5), finalist("b", 0.81, 0.5)], "max").winner == "a"


def test_of_equally_good_ones_the_more_frozen_is_the_best() -> None:
    found = choose([finalist("a", 0.81, 0.2, se=0), finalist("b", 0.81, 0.5, se=0)], "max")
    assert (found.winner, found.best, found.within_one_se) == ("b", "b", ("b", "a"))


def test_a_single_finalist_wins() -> None:
    found = choose([finalist("a", 0.81, 0.5)], "max")
    assert (found.winner, found.reason) == ("a", "It is the only finalist; its mean is 0.8100.")


def test_a_finalist_without_a_metric_cannot_win() -> None:
    assert choose([finalist("a", float("nan"), 0.9), finalist("b", 0.6, 0.1)], "max").winner == "b"
    with pytest.raises(ValueError, match="no finalist has a validation metric"):
        choose([finalist("a", float("nan"), 0.9)], "max")
    with pytest.raises(ValueError, match="no finalist"):
        choose([], "max")
