import pytest
from tiny_splits import sentences, split

from unfreeze.jobs.data_check.encodings import find_faults

FAULTS = {
    "replacement characters (U+FFFD)": ("caf\ufffd", "\ufffd", None),
    "lone surrogates": ("a\ud83d b", "\\ud83d", None),
    "wrongly decoded text (mojibake)": (
        "the caf\u00c3\u00a9 is",
        "f\u00c3\u00a9",
        "the caf\u00e9 is",
    ),
    "control characters": ("a\x07b", "\\x07", "ab"),
    "invisible characters": ("soft\u00adly", "\\xad", "softly"),
    "HTML entities": ("fish &amp; chips", "&amp;", "fish & chips"),
    "HTML tags": ("one<br />two", "<br />", "one two"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_with_its_row_and_mended(name: str) -> None:
    text, fault, fixed = FAULTS[name]
    rows = [*sentences(4), text, *sentences(2, seed=1)]
    splits = {"train": split("train", sentences(3)), "test": split("test", rows)}
    (found,) = find_faults(splits)
    assert (found.name, found.rows) == (name, {"test": 1})
    (shown,) = found.shown
    assert (shown.row.split, shown.row.row, shown.row.text) == ("test", 5, text)
    assert shown.fault == fault
    assert shown.fixed == fixed


def test_what_people_write_is_no_fault() -> None:
    fine = [
        "na\u00efve caf\u00e9, \u00fcber-gro\u00df \u2013 \u201cquoted\u201d",
        "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440!",
        "\u65e5\u672c\u8a9e\u306e\u6587",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # a joiner that Persian needs
        "family \U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f",
        "tabs\tand\r\nlines\n",
        "AT&T; R&D &unheardof; a < b > c, i<3 you",
    ]
    assert find_faults({"train": split("train", fine)}) == []


def test_a_long_row_is_shown_around_its_fault() -> None:
    text = f"{'word ' * 200}caf\u00c3\u00a9 {'word ' * 200}"
    (found,) = find_faults({"train": split("train", [text])})
    (shown,) = found.shown
    assert "caf\u00c3\u00a9" in shown.row.text
    assert len(shown.row.text) < 250
    assert shown.row.text.startswith("... ")
    assert shown.row.text.endswith(" ...")
    assert shown.fixed == shown.row.text.replace("\u00c3\u00a9", "\u00e9")


def test_rows_are_counted_and_a_few_are_shown() -> None:
    texts = ["&lt; &gt;", *sentences(2), *[f"{text} &#39;" for text in sentences(5, seed=1)]]
    (found,) = find_faults({"train": split("train", texts)})
    assert found.rows == {"train": 6}
    assert [broken.row.row for broken in found.shown] == [1, 4, 5]
