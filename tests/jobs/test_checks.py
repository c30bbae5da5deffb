"""Findings in the data."""

from unfreeze.jobs.checks import Rows, check_columns, check_labels, check_overlap, check_rows
from unfreeze.jobs.splits import text_key


def rows(texts, labels=None):
    keys = [text_key(text) if text else None for text in texts]
    return Rows(keys, list(labels or ["a"] * len(keys)))


def texts_of(findings, severity):
    return [finding.text for finding in findings if finding.severity == severity]


def test_a_missing_column_is_named_with_those_that_are_there():
    wanted = {"text": "text", "label": "label"}
    findings = check_columns("test", wanted, {"Text": "string", "stars": "int64"})
    first, second = texts_of(findings, "error")
    assert first == (
        "data.test: column 'text' (text) is missing; did you mean Text? there are: Text, stars"
    )
    assert second == "data.test: column 'label' (label) is missing; there are: Text, stars"


def test_columns_of_a_type_that_cannot_be_used_are_errors():
    wanted = {"text": "t", "label": "l"}
    first, second = texts_of(
        check_columns("train", wanted, {"t": "int64", "l": "lists or objects"}), "error"
    )
    assert "column 't' (text) holds int64; expected text" in first
    assert "column 'l' (label) holds lists or objects" in second
    assert not check_columns("train", wanted, {"t": "large_string", "l": "label"})


def test_empty_texts_and_missing_labels_are_counted_with_their_first_rows():
    found = check_rows("train", rows(["x", "", "", "", "", "", ""], ["a"] * 6 + [None]))
    assert texts_of(found, "error") == [
        "data.train: 6 rows (rows 2, 3, 4, 5, 6 ...) have no text",
        "data.train: 1 row (row 7) has no label",
    ]


def test_a_text_with_two_labels_is_a_warning():
    found = check_rows("train", rows(["x", "y", "X "], ["a", "a", "b"]))
    (text,) = texts_of(found, "warning")
    assert "1 row (row 3) has the text of an earlier row with another label" in text


def test_no_rows_is_an_error():
    assert texts_of(check_rows("test", Rows([], [])), "error") == ["data.test: there are no rows"]


def test_a_text_in_two_sources_is_an_error_unless_allowed():
    sources = {"train": rows(["x", "y", ""]), "test": rows(["z", " X", ""])}
    (error,) = texts_of(check_overlap(sources, allow=False), "error")
    assert "data.test: 1 row (row 2) has a text that stands in train too" in error
    assert "data.allow_overlap=true" in error
    (warning,) = texts_of(check_overlap(sources, allow=True), "warning")
    assert "allow_overlap" not in warning


def test_all_pairs_of_sources_are_compared():
    sources = {"train": rows(["x"]), "validation": rows(["y"]), "test": rows(["y", "x"])}
    assert len(check_overlap(sources, allow=False)) == 2


def test_one_label_only_is_an_error():
    (text,) = texts_of(check_labels({"train": ["a"] * 20}), "error")
    assert text == "data.train: all rows have the label a; there is nothing to learn"


def test_a_label_with_one_row_is_an_error_and_a_rare_one_a_warning():
    labels = ["a"] * 500 + ["b"] * 500 + ["c"] + ["d"] * 9 + ["e"] * 10
    findings = check_labels({"train": labels})
    assert "only 1 row has the label c" in texts_of(findings, "error")[0]
    assert texts_of(findings, "warning") == [
        "data.train: of 1020 rows, few have the label d (9), e (10)"
    ]


def test_many_labels_make_one_line():
    findings = check_labels({"train": [str(i) for i in range(100)]})
    assert len(findings) == 1 and "and 92 more" in findings[0].text


def test_a_label_that_train_does_not_have_is_an_error_and_one_that_only_train_has_a_warning():
    findings = check_labels({"train": ["a", "b"] * 20, "test": ["a", "c"]})
    assert texts_of(findings, "error") == ["data.test: the label c is not in train, which has a, b"]
    assert "no row has the label b" in texts_of(findings, "warning")[0]


def test_a_declared_label_without_rows_is_a_warning():
    (text,) = texts_of(check_labels({"train": ["a", "b"] * 20}, known=["a", "b", "z"]), "warning")
    assert "no row has the label z, which the column declares" in text


def test_good_data_have_no_findings():
    sources = {"train": rows(["x", "y"], ["a", "b"]), "test": rows(["z", "w"], ["a", "b"])}
    assert not check_overlap(sources, allow=False)
    assert not [f for split, found in sources.items() for f in check_rows(split, found)]
    assert not check_labels({"train": ["a", "b"] * 20, "test": ["a", "b"]})
