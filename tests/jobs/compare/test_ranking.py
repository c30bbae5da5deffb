"""The order of candidates, what cannot be told apart, and what is said of it."""

from dataclasses import replace

import numpy as np
import pytest

from unfreeze.jobs.compare.facts import Facts
from unfreeze.jobs.compare.frozen import Costs
from unfreeze.jobs.compare.ranking import Judged, advice, rank
from unfreeze.jobs.metrics import mean_of

ROWS = 400
ACCURACY, LOSS = mean_of("accuracy", 1), mean_of("loss", 1)


def judged(name: str, values: np.ndarray, *, parameters: int = 100) -> Judged:
    return Judged(
        name=name,
        statistics=np.stack([np.ones(len(values)), values], axis=1),
        judged_by="the same rows",
        facts=Facts(
            parameters=parameters,
            layers=2,
            hidden_size=8,
            longest_input=64,
            max_length=32,
            tokens_per_word=1.2,
            unknown_share=0.0,
            cut_off_share=0.0,
        ),
        costs=Costs(milliseconds=1.0, activation_bytes=10, peak_bytes=None),
        training_bytes=1000,
        was_kept=False,
    )


def right(share: float, seed: int = 0) -> np.ndarray:
    """Rows that are right, so many of them; other seeds, other rows."""
    order = np.random.default_rng(seed).permutation(ROWS)
    return (order < share * ROWS).astype(float)


def test_the_best_is_first_and_one_that_is_far_behind_can_be_told_apart() -> None:
    found = rank(ACCURACY, [judged("poor", right(0.6)), judged("good", right(0.8))])
    assert [ranked.judged.name for ranked in found] == ["good", "poor"]
    assert found[0].behind is None
    assert found[1].behind is not None
    assert found[1].behind.mean == pytest.approx(-0.2)
    assert found[1].is_worse
    assert found[0].score.interval[0] < 0.8 < found[0].score.interval[1]
    assert advice("accuracy", found).endswith("worse beyond what these rows leave to chance.")


def test_of_losses_the_lowest_is_the_best() -> None:
    values = np.random.default_rng(0).random(ROWS)
    found = rank(LOSS, [judged("high", values + 1), judged("low", values + 0.5)])
    assert [ranked.judged.name for ranked in found] == ["low", "high"]
    assert found[1].is_worse


def test_a_smaller_one_that_is_not_told_apart_is_named() -> None:
    found = rank(
        ACCURACY,
        [
            judged("large", right(0.8, 1)),
            judged("small", right(0.79, 2), parameters=25),
            judged("wide", right(0.79, 3), parameters=400),
        ],
    )
    assert not found[1].is_worse
    said = advice("accuracy", found)
    assert said.startswith("Take large: it has the highest accuracy, 0.8000")
    assert "small (0.7900), which has 25% of its parameters" in said


def test_equal_models_are_in_the_order_of_their_sizes() -> None:
    same = right(0.7)
    found = rank(ACCURACY, [judged("large", same), judged("small", same, parameters=10)])
    assert [ranked.judged.name for ranked in found] == ["small", "large"]
    assert not found[1].is_worse
    assert advice("accuracy", found).endswith("do not tell it apart from large.")


def test_rows_that_both_have_tell_more_than_rows_of_their_own() -> None:
    """The same mistakes but for a few: paired, the difference is sure; unpaired, it is not."""
    good = right(0.7)
    poor = good.copy()
    poor[np.flatnonzero(good)[:16]] = 0
    pair = [judged("good", good), judged("poor", poor)]
    assert rank(ACCURACY, pair)[1].is_worse
    elsewhere = replace(pair[1], judged_by="others")
    assert not rank(ACCURACY, [pair[0], elsewhere])[1].is_worse


def test_a_lone_candidate_is_its_own_best() -> None:
    found = rank(ACCURACY, [judged("only", right(0.5))])
    assert advice("accuracy", found).endswith("and it is alone.")
    assert found[0].to_data()["behind"] is None
