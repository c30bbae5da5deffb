import random

from tiny_splits import sentences, split

from unfreeze.jobs.data_check.duplicates import find_duplicates
from unfreeze.jobs.data_check.near import (
    SIMILARITY,
    character_pieces,
    jaccard,
    near_pairs,
    pieces_for,
    word_pieces,
)


def test_the_same_text_is_found_within_a_split_and_across() -> None:
    some = sentences(6)
    train = split("train", [*some, some[1].upper(), some[2]], ["good"] * 7 + ["bad"])
    test = split("test", [*sentences(3, seed=1), f" {some[0]}"], ["good"] * 4)
    within, across = find_duplicates({"train": train, "test": test}).exact
    assert (within.split, within.other, within.rows, within.other_label) == ("train", "train", 2, 1)
    (torn, same) = within.pairs
    assert (torn.first.row, torn.second.row) == (3, 8)
    assert (torn.first.labels, torn.second.labels) == (("good",), ("bad",))
    assert (same.first.row, same.second.row) == (2, 7)
    assert (across.split, across.other, across.rows) == ("test", "train", 1)
    assert [(pair.first.row, pair.second.row) for pair in across.pairs] == [(1, 4)]


def test_nearly_the_same_text_is_found_within_a_split_and_across() -> None:
    some = sentences(40, words=20)
    train = split("train", [*some, f"{some[4]}!", f"a {some[5]}"], ["good"] * 41 + ["bad"])
    test = split("test", [*sentences(5, seed=1), some[7].replace(" ", ", ", 2)], ["good"] * 6)
    found = find_duplicates({"train": train, "test": test})
    assert not found.exact
    assert found.pieces == "5 characters"
    within, across = found.near
    assert (within.split, within.other, within.rows, within.other_label) == ("train", "train", 2, 1)
    assert [(pair.first.row, pair.second.row) for pair in within.pairs] == [(6, 42), (5, 41)]
    assert all(SIMILARITY <= pair.similarity <= 1 for pair in within.pairs)
    assert (across.split, across.other, across.rows) == ("test", "train", 1)
    assert [(pair.first.row, pair.second.row) for pair in across.pairs] == [(8, 6)]


def test_each_copy_of_a_near_duplicate_counts() -> None:
    some = sentences(20)
    train, test = split("train", some), split("test", [f"{some[0]}!", f"{some[0]}!"])
    exact, near = find_duplicates({"train": train, "test": test}).exact, None
    assert [(found.split, found.other, found.rows) for found in exact] == [("test", "test", 1)]
    (near,) = find_duplicates({"train": train, "test": test}).near
    assert (near.split, near.other, near.rows) == ("test", "train", 2)


def test_clean_rows_have_no_duplicates() -> None:
    splits = {"train": split("train", sentences(300)), "test": split("test", sentences(80, seed=1))}
    found = find_duplicates(splits)
    assert (found.exact, found.near) == ([], [])


def test_short_texts_are_compared_by_characters_and_long_ones_by_words() -> None:
    assert pieces_for(["a b c"])[0] is character_pieces
    assert pieces_for(["word " * 60] * 3)[0] is word_pieces
    assert pieces_for([])[0] is character_pieces
    assert word_pieces("One, two three - FOUR") == {b"one two three", b"two three four"}
    assert word_pieces("One") == {b"one"}
    assert character_pieces("Ab  cde") == {b"ab cd", b"b cde"}
    assert character_pieces("ab") == {b"ab"}
    assert character_pieces("...") == {b""}


def test_pairs_are_those_that_comparing_all_finds() -> None:
    draw = random.Random(0)
    texts = sentences(60, words=30)
    for text in texts[:40]:
        words = text.split()
        for _ in range(draw.randint(1, 4)):
            words[draw.randrange(len(words))] = draw.choice(["plot", "grim", "warm"])
        texts.append(" ".join(words))
    cut = [character_pieces(text) for text in texts]
    every = {
        (a, b) for b in range(len(texts)) for a in range(b) if jaccard(cut[a], cut[b]) >= SIMILARITY
    }
    assert 10 < len(every) < 40
    apart = list(range(len(texts)))  # each text is a group, so all its pairs are told
    found = list(near_pairs(texts, apart, character_pieces))
    assert {(a, b) for a, b, _ in found} == every
    assert all(similarity == jaccard(cut[a], cut[b]) for a, b, similarity in found)


def test_a_text_that_stands_a_hundred_times_is_no_hundred_squared_pairs() -> None:
    texts = [f"{'the very same long text of all ' * 9}{number}" for number in range(100)]
    found = list(near_pairs(texts, [0] * 100, character_pieces))
    assert {b for _, b, _ in found} == set(range(1, 100))
    assert len(found) == 99
