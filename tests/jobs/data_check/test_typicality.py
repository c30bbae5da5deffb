from itertools import pairwise

import numpy as np
import pytest
from tiny_splits import split

from unfreeze.jobs.data_check.lengths import Tokens
from unfreeze.jobs.data_check.typicality import fit, without

WORDS = 20


def tokens(rows: list[list[int]]) -> Tokens:
    return Tokens(
        np.array([token for row in rows for token in row], np.int32),
        np.cumsum([0, *map(len, rows)], dtype=np.int64),
    )


def by_hand(train: list[list[int]], row: list[int], *, own: bool) -> float:
    """Bits per token, counted over the other rows."""
    others = [other for other in train if other is not row] if own else train
    flat = [token for other in others for token in other]
    bits = 0.0
    for i, token in enumerate(row):
        alone = (flat.count(token) + 0.1) / (len(flat) + 0.1 * WORDS)
        likely = alone
        if i:
            pairs = [pair for other in others for pair in pairwise(other)]
            begun = sum(first == row[i - 1] for first, _ in pairs)
            if begun:
                likely = 0.5 * pairs.count((row[i - 1], token)) / begun + 0.5 * alone
        bits -= np.log2(likely)
    return bits / len(row)


def test_bits_are_those_of_a_model_of_the_other_rows() -> None:
    draw = np.random.default_rng(0)
    train = [draw.integers(0, 8, draw.integers(8, 14)).tolist() for _ in range(12)]
    test = [draw.integers(0, 12, 9).tolist() for _ in range(4)]
    splits = {
        name: split(name, [f"{name} {i}" for i in range(len(rows))])
        for name, rows in {"train": train, "test": test}.items()
    }
    found = fit(splits, {"train": tokens(train), "test": tokens(test)}, [], WORDS)
    for name, own in (("train", True), ("test", False)):
        rows = {"train": train, "test": test}[name]
        for scored in [*found[name].most, *found[name].least]:
            expected = by_hand(train, rows[scored.row.row - 1], own=own)
            assert scored.bits == pytest.approx(expected, abs=1e-3)
        every = [by_hand(train, row, own=own) for row in rows]
        assert found[name].median_bits == pytest.approx(np.median(every), abs=1e-3)
        assert found[name].least[0].bits == pytest.approx(max(every), abs=1e-3)


def test_the_row_of_another_kind_is_the_least_fitting() -> None:
    usual = [[1, 2, 3, 4, 5, 6, 7, 8]] * 30
    rows = [*usual[:10], [11, 12, 13, 14, 15, 16, 17, 18], *usual[10:], [1, 2, 3]]
    texts = [f"row {i}" for i in range(len(rows))]
    test = [[9, 11, 9, 12, 9, 13, 9, 14]] * 3 + usual[:1]
    splits = {"train": split("train", texts), "test": split("test", texts[:4])}
    found = fit(splits, {"train": tokens(rows), "test": tokens(test)}, [], WORDS)
    assert found["train"].least[0].row.row == 11
    assert found["train"].least[0].bits > 2 * found["train"].median_bits
    assert 32 not in {scored.row.row for scored in found["train"].least}  # too short
    assert found["test"].odd == 0.75
    assert found["test"].most == []


def test_a_text_is_shown_once() -> None:
    rows = [[1, 2, 3, 4, 5, 6, 7, 8]] * 6
    texts = ["same"] * 5 + ["other"]
    found = fit({"train": split("train", texts)}, {"train": tokens(rows)}, [], WORDS)
    assert [scored.row.text for scored in found["train"].most] == ["same", "other"]


def test_special_tokens_are_left_out() -> None:
    bare = without(tokens([[0, 5, 6, 1], [0, 1], [0, 7, 1]]), [0, 1])
    assert bare.ids.tolist() == [5, 6, 7]
    assert bare.offsets.tolist() == [0, 2, 2, 3]


def test_rows_of_few_tokens_have_no_fit() -> None:
    assert fit({"train": split("train", ["a"])}, {"train": tokens([[1]])}, [], WORDS) == {}
