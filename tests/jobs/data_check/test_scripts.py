import pytest
from tiny_splits import sentences, split

from unfreeze.jobs.data_check.scripts import count_scripts, look_at_scripts
from unfreeze.jobs.data_check.words import words_in

RUSSIAN = "\u043e\u0447\u0435\u043d\u044c \u0445\u043e\u0440\u043e\u0448\u043e"


def test_a_row_in_another_script_is_found() -> None:
    train = split("train", [*sentences(5), RUSSIAN, *sentences(3, seed=1)])
    test = split("test", ["12345 !!!", f"good {RUSSIAN}", "fine"])
    found = look_at_scripts({"train": train, "test": test})
    assert list(found["train"].shares) == ["Latin", "Cyrillic"]
    assert sum(found["train"].shares.values()) == pytest.approx(1)
    assert found["train"].others == {"Cyrillic": 1}
    assert [(row.split, row.row) for row in found["train"].shown] == [("train", 6)]
    assert found["test"].others == {"Cyrillic": 1}
    assert [row.row for row in found["test"].shown] == [2]


def test_clean_rows_have_one_script() -> None:
    found = look_at_scripts({"train": split("train", sentences(5))})
    assert found["train"].shares == {"Latin": 1.0}
    assert (found["train"].others, found["train"].shown) == ({}, [])


def test_rows_without_letters_have_none() -> None:
    found = look_at_scripts({"train": split("train", ["1 2 3", "?!"])})
    assert (found["train"].shares, found["train"].others) == ({}, {})


def test_japanese_is_one_script() -> None:
    text = "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8"
    assert dict(count_scripts(text)) == {"Han and kana": 8}


def test_words_keep_their_marks() -> None:
    hindi = "\u0939\u093f\u0928\u094d\u0926\u0940"
    assert words_in(f"{hindi} is one, don't is two") == [
        hindi,
        "is",
        "one",
        "don",
        "t",
        "is",
        "two",
    ]
