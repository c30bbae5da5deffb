"""Shares cut out of rows."""

import random

import numpy as np
import pytest

from unfreeze.jobs.data.splits import cut_shares, text_key


def some_rows(count, labels=("a", "b"), seed=0):
    draw = random.Random(seed)
    return [text_key(f"text {i}") for i in range(count)], [
        draw.choice(labels) for _ in range(count)
    ]


def chosen(keys, cut, name):
    return {keys[row] for row in cut[name]}


def test_every_row_is_in_one_split():
    keys, labels = some_rows(500)
    cut = cut_shares(keys, labels, {"validation": 0.1, "test": 0.2})
    assert sorted(np.concatenate(list(cut.values()))) == list(range(500))


def test_each_label_gives_its_share():
    keys, labels = some_rows(1000, ("a", "a", "a", "b"))
    cut = cut_shares(keys, labels, {"validation": 0.1, "test": 0.2})
    for label in "ab":
        total = labels.count(label)
        counts = {name: sum(labels[row] == label for row in rows) for name, rows in cut.items()}
        assert counts["validation"] == round(0.1 * total)
        assert counts["test"] == round(0.2 * total)


def test_the_order_of_rows_does_not_matter():
    keys, labels = some_rows(300)
    before = cut_shares(keys, labels, {"validation": 0.1})
    order = random.Random(1).sample(range(300), 300)
    shuffled = [keys[i] for i in order], [labels[i] for i in order]
    after = cut_shares(*shuffled, {"validation": 0.1})
    assert chosen(keys, before, "validation") == chosen(shuffled[0], after, "validation")


def test_equal_texts_stay_together_whatever_their_labels():
    draw = random.Random(2)
    keys = [text_key(f"text {draw.randrange(40)}") for _ in range(400)]
    labels = [draw.choice("ab") for _ in keys]
    cut = cut_shares(keys, labels, {"validation": 0.2, "test": 0.2})
    sets = [chosen(keys, cut, name) for name in cut]
    assert sum(map(len, sets)) == len(set(keys)) and all(sets)


def test_the_test_rows_stay_when_the_validation_share_changes_and_the_other_way_round():
    keys, labels = some_rows(400)
    one = cut_shares(keys, labels, {"validation": 0.1, "test": 0.1})
    other = cut_shares(keys, labels, {"validation": 0.3, "test": 0.1})
    alone = cut_shares(keys, labels, {"validation": 0.1})
    assert one["test"].tolist() == other["test"].tolist()
    assert one["validation"].tolist() == alone["validation"].tolist()


@pytest.mark.parametrize(
    ("texts", "expected"), [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (4, (2, 1, 1))]
)
def test_a_rare_label_stays_in_train_and_then_goes_to_each_share(texts, expected):
    keys, labels = some_rows(texts, ("a",))
    cut = cut_shares(keys, labels, {"validation": 0.01, "test": 0.01})
    assert tuple(len(cut[name]) for name in ("train", "validation", "test")) == expected


def test_train_keeps_a_text_of_each_label_under_a_large_share():
    keys, labels = some_rows(5, ("a",))
    assert len(cut_shares(keys, labels, {"validation": 0.99})["train"]) == 1


def in_groups(sizes, labels="a"):
    """Keys and groups of texts, so many in each group; and their labels in turn."""
    group_of = [i for i, size in enumerate(sizes) for _ in range(size)]
    keys = np.array([text_key(str(group), str(i)) for i, group in enumerate(group_of)], "S16")
    groups = np.array([text_key(str(group)) for group in group_of], "S16")
    return keys, [labels[i % len(labels)] for i in range(len(keys))], groups


def test_groups_stay_together():
    keys, labels, groups = in_groups([1, 2, 3, 4, 5] * 40, "ab")
    cut = cut_shares(keys, labels, {"validation": 0.1, "test": 0.2}, groups)
    parts = [set(groups[rows].tolist()) for rows in cut.values()]
    assert sum(map(len, parts)) == 200 and all(parts)
    counts = {name: len(rows) for name, rows in cut.items()}
    assert abs(counts["validation"] - 60) <= 6 and abs(counts["test"] - 120) <= 6
    shares = [sum(labels[row] == "a" for row in rows) / len(rows) for rows in cut.values()]
    assert all(0.4 < share < 0.6 for share in shares)


def test_a_share_of_groups_is_the_closest_that_there_is():
    sizes = [1, 100, 1, 1, 1]
    for share in (0.01, 0.1, 0.3):
        keys, labels, groups = in_groups(sizes)
        cut = cut_shares(keys, labels, {"test": share}, groups)
        assert len(cut["test"]) >= 1 and len(cut["train"]) >= 1
        rows = sorted(groups, key=bytes)
        ends = [i for i in range(1, 104) if rows[i] != rows[i - 1]]
        closest = min(abs(end - max(1, round(share * 104))) for end in ends)
        assert abs(len(cut["test"]) - max(1, round(share * 104))) == closest


def test_groups_of_one_are_cut_as_texts_are():
    keys, labels = some_rows(300)
    shares = {"validation": 0.13, "test": 0.07}
    alone = cut_shares(keys, labels, shares)
    grouped = cut_shares(keys, labels, shares, np.array(keys, "S16"))
    assert all(np.array_equal(alone[name], grouped[name]) for name in alone)


def test_every_label_of_a_row_gives_its_share():
    draw = random.Random(0)
    rows = [tuple(x for x in "abcdefgh" if draw.random() < 0.3) for _ in range(400)]
    sets = sorted(set(rows))
    keys, _ = some_rows(400)
    keys, rows = keys + keys[:100], rows + rows[:100]  # texts that stand there twice
    strata = np.array([sets.index(labels) for labels in rows])
    cut = cut_shares(keys, strata, {"validation": 0.1, "test": 0.2}, None, sets)
    assert sorted(np.concatenate(list(cut.values()))) == list(range(500))
    for name, share in (("validation", 0.1), ("test", 0.2)):
        assert len(chosen(keys, cut, name)) == pytest.approx(400 * share, abs=3)
        assert not chosen(keys, cut, name) & chosen(keys, cut, "train")
        for label in "abcdefgh":
            texts = {keys[row] for row in range(500) if label in rows[row]}
            assert len(texts & chosen(keys, cut, name)) == pytest.approx(
                len(texts) * share, abs=1.5
            )
    order = np.random.default_rng(0).permutation(500)
    again = cut_shares([keys[i] for i in order], strata[order], {"test": 0.2}, None, sets)
    assert {keys[order[row]] for row in again["test"]} == chosen(keys, cut, "test")


def test_nothing_is_cut_without_shares_or_rows():
    keys, labels = some_rows(5)
    assert cut_shares(keys, labels, {})["train"].tolist() == [0, 1, 2, 3, 4]
    assert cut_shares([], [], {"validation": 0.1})["validation"].tolist() == []


@pytest.mark.parametrize("other", ["good  film", " Good Film\n", "GOOD FILM"])
def test_case_and_white_space_make_no_other_text(other):
    assert text_key("good film") == text_key(other)


def test_pairs_are_told_apart_by_both_texts():
    keys = {text_key("a", "b"), text_key("a", "c"), text_key("a b"), text_key("ab"), text_key("a")}
    assert len(keys) == 5


def test_keys_never_change():
    """Another hash would move rows between train and test of data sets in use."""
    assert text_key("good film").hex().startswith("b030d78cf2b61d3d")
    assert text_key("good film", "yes").hex().startswith("9c4ff7cdf6225e1e")
