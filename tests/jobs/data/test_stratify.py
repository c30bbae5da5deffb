"""Rows with several labels: every label gives its part, and rare ones are in every split."""

from collections import Counter

import numpy as np
import pytest

from unfreeze.jobs.data.stratify import cut_label_sets

SHARES = {"validation": 0.1, "test": 0.2}
VALIDATION, TEST = 1, 2

Sets = list[tuple[str, ...]]


def random_rows(seed: int, rows: int = 600, labels: int = 12) -> Sets:
    """Labels from common to rare, that come together in hundreds of ways."""
    draw = np.random.default_rng(seed)
    chances = np.geomspace(0.5, 0.01, labels)
    return [
        tuple(f"label-{i:02}" for i in np.flatnonzero(draw.random(labels) < chances))
        for _ in range(rows)
    ]


def cut(rows: Sets, shares: dict[str, float]) -> np.ndarray:
    sets = sorted(set(rows))
    number = {labels: i for i, labels in enumerate(sets)}
    return cut_label_sets(np.array([number[labels] for labels in rows]), sets, shares)


def counts(rows: Sets, split_of: np.ndarray, split: int) -> Counter[str]:
    there = np.flatnonzero(split_of == split)
    return Counter(label for row in there for label in rows[row])


@pytest.mark.parametrize("seed", range(5))
def test_every_label_gives_its_part(seed: int) -> None:
    rows = random_rows(seed)
    split_of = cut(rows, SHARES)
    every = Counter(label for labels in rows for label in labels)
    assert len(set(rows)) > 90
    for split, share in ((VALIDATION, 0.1), (TEST, 0.2)):
        assert (split_of == split).mean() == pytest.approx(share, abs=0.02)
        found = counts(rows, split_of, split)
        for label, count in every.items():
            assert found[label] >= 1
            assert found[label] == pytest.approx(share * count, abs=1.5), label


@pytest.mark.parametrize("seed", range(5))
def test_it_is_fairer_than_a_draw(seed: int) -> None:
    rows = random_rows(seed)
    every = Counter(label for labels in rows for label in labels)

    def unfairness(split_of: np.ndarray) -> float:
        found = counts(rows, split_of, TEST)
        return sum(abs(found[label] - 0.2 * count) / count for label, count in every.items())

    drawn = np.where(np.random.default_rng(seed).random(len(rows)) < 0.2, TEST, 0)
    assert unfairness(cut(rows, SHARES)) < unfairness(drawn) / 2


def test_the_test_share_does_not_depend_on_the_validation_share() -> None:
    rows = random_rows(0)
    both, alone = cut(rows, SHARES), cut(rows, {"test": 0.2})
    assert np.array_equal(both == TEST, alone == 1)


def test_the_order_of_the_sets_does_not_matter() -> None:
    rows = random_rows(1)
    sets = sorted(set(rows))[::-1]
    number = {labels: i for i, labels in enumerate(sets)}
    found = cut_label_sets(np.array([number[labels] for labels in rows]), sets, SHARES)
    assert np.array_equal(found, cut(rows, SHARES))


def test_rows_with_one_label_each_are_cut_as_if_by_themselves() -> None:
    rows: Sets = [("a",)] * 50 + [("b",)] * 30
    split_of = cut(rows, SHARES)
    assert counts(rows, split_of, TEST) == {"a": 10, "b": 6}
    assert counts(rows, split_of, VALIDATION) == {"a": 5, "b": 3}
    assert np.flatnonzero(split_of == TEST).tolist() == [*range(10), *range(50, 56)]
    assert np.flatnonzero(split_of == VALIDATION).tolist() == [*range(45, 50), *range(77, 80)]


def test_a_label_gives_a_row_to_each_share_if_it_can_and_keeps_one() -> None:
    rows: Sets = [("common",)] * 40
    for times, label in enumerate(("once", "twice", "thrice"), 1):
        rows += [("common", label)] * times
    split_of = cut(rows, SHARES)
    kept, test, validation = (counts(rows, split_of, split) for split in (0, TEST, VALIDATION))
    assert (kept["once"], test["once"], validation["once"]) == (1, 0, 0)
    assert (kept["twice"], test["twice"], validation["twice"]) == (1, 1, 0)
    assert (kept["thrice"], test["thrice"], validation["thrice"]) == (1, 1, 1)
    assert kept["common"] > 25


def test_rows_without_a_label_give_their_part_too() -> None:
    rows: Sets = [()] * 43 + [("a",)] * 20
    split_of = cut(rows, {"validation": 0.1})
    assert (split_of[:43] == 1).sum() == 4
    assert (split_of[43:] == 1).sum() == 2
    assert not cut([()], {"validation": 0.1}).any()


def test_large_shares_leave_each_label_a_row() -> None:
    rows = random_rows(2, rows=40, labels=5)
    split_of = cut(rows, {"validation": 0.5, "test": 0.49})
    assert set(counts(rows, split_of, 0)) == {label for labels in rows for label in labels}
