"""Findings in the data."""

import pytest

from unfreeze.jobs.data.checks import (
    EXPECTED,
    check_columns,
    check_labels,
    check_overlap,
    check_rows,
)
from unfreeze.jobs.data.row_names import Place
from unfreeze.jobs.data.seen_rows import SeenRows
from unfreeze.jobs.data.splits import text_key
from unfreeze.jobs.tasks.task import Role

TEXT, LABEL = Role("text"), Role("label", "label")


def rows(texts, labels=None):
    """Rows that fit where there is a text; the others have an empty one."""
    found = SeenRows()
    for text, label in zip(texts, labels or ["a"] * len(texts), strict=True):
        if text:
            found.add(text_key(text), (label,))
        else:
            found.add_bad("text", "expected text, found none")
    return found


def texts_of(findings, severity):
    return [finding.text for finding in findings if finding.severity == severity]


def test_a_missing_column_is_named_with_those_that_are_there():
    wanted = {TEXT: "text", LABEL: "label"}
    findings = check_columns("test", wanted, {"Text": "string", "stars": "int64"})
    first, second = texts_of(findings, "error")
    assert first == (
        "data.test: column 'text' (text) is missing; did you mean Text? there are: Text, stars"
    )
    assert second == "data.test: column 'label' (label) is missing; there are: Text, stars"


def test_columns_of_a_type_that_cannot_be_used_are_errors():
    wanted = {TEXT: "t", LABEL: "l"}
    first, second = texts_of(
        check_columns("train", wanted, {"t": "int64", "l": "lists or objects"}), "error"
    )
    assert "column 't' (text) holds int64; expected text" in first
    assert "column 'l' (label) holds lists or objects; expected one name or whole" in second
    assert not check_columns("train", wanted, {"t": "large_string", "l": "label"})


@pytest.mark.parametrize(
    ("kind", "fits", "does_not"),
    [
        ("text", ["string", "large_string", "null"], ["int64", "label", "lists or objects"]),
        ("label", ["string", "int8", "bool", "label", "float64"], ["timestamp[s]"]),
        ("labels", ["lists or objects", "string"], ["int64", "label"]),
        ("number", ["float32", "uint8", "null"], ["string", "bool"]),
        ("words", ["lists or objects"], ["string"]),
        ("answers", ["lists or objects", "string"], ["int64"]),
        ("messages", ["lists or objects"], ["string"]),
    ],
)
def test_each_kind_of_role_takes_the_types_that_can_hold_it(kind, fits, does_not):
    assert kind in EXPECTED
    for column in fits:
        assert not check_columns("train", {Role("r", kind): "c"}, {"c": column}), column
    for column in does_not:
        assert check_columns("train", {Role("r", kind): "c"}, {"c": column}), column


def test_rows_that_do_not_fit_are_counted_by_column_and_problem_with_their_numbers():
    found = rows(["x", "", "", "y", ""])
    found.add_bad("label", "expected a label, found none")
    assert texts_of(check_rows("train", found, skip=False), "error") == [
        "data.train: column 'text': expected text, found none in 3 rows (rows 2, 3, 5)",
        "data.train: column 'label': expected a label, found none in row 6",
    ]


def test_at_most_20_rows_of_a_problem_are_named():
    (text,) = texts_of(check_rows("train", rows(["x", *[""] * 21]), skip=False), "error")
    assert text.endswith("in 21 rows (rows " + ", ".join(map(str, range(2, 22))) + " ...)")
    (text,) = texts_of(check_rows("train", rows(["x", *[""] * 20]), skip=False), "error")
    assert text.endswith("20, 21)")


@pytest.mark.parametrize(("skip", "severity"), [(False, "error"), (True, "warning")])
def test_at_most_20_problems_are_named_and_the_others_counted(skip, severity):
    found = rows(["x"])
    for n in range(23):
        found.add_bad("label", f"expected a number, got {n}")
        found.add_bad("label", f"expected a number, got {n}")
    lines = texts_of(check_rows("train", found, skip=skip), severity)
    assert len(lines) == 21
    assert "got 0 in 2 rows (rows 2, 3)" in lines[0]
    left_out = "; left out" if skip else ""
    assert lines[-1] == f"data.train: and other problems in 6 rows{left_out}"


def test_rows_that_are_to_be_skipped_are_a_warning():
    (finding,) = check_rows("train", rows(["x", "", "y"]), skip=True)
    assert (finding.severity, finding.text) == (
        "warning",
        "data.train: column 'text': expected text, found none in row 2; left out",
    )


def test_a_source_of_which_every_row_is_skipped_is_an_error():
    (text,) = texts_of(check_rows("validation", rows(["", ""]), skip=True), "error")
    assert text == "data.validation: no row is left"


def test_a_text_with_two_labels_is_a_warning():
    found = check_rows("train", rows(["x", "y", "X "], ["a", "a", "b"]), skip=False)
    (text,) = texts_of(found, "warning")
    assert "1 row (row 3) has the text of an earlier row with another label" in text


def test_rows_are_named_by_file_if_it_is_known():
    found = rows(["x", "", "y", "", "X"], ["a", "a", "a", "a", "b"])

    def locate(numbers):
        return [Place(number, "a.csv" if number < 3 else "b.csv") for number in numbers]

    bad, torn = check_rows("train", found, skip=True, locate=locate)
    assert "found none in 2 rows (a.csv: 2; b.csv: 4); left out" in bad.text
    assert "1 row (row 5 of b.csv) has the text of an earlier row" in torn.text
    other = {"train": rows(["x"]), "test": found}
    (error,) = check_overlap(other, allow=False, locate={"test": locate})
    assert "data.test: 2 rows (a.csv: 1; b.csv: 5) have a text that stands in train" in error.text


def grouped(*rows):
    found = SeenRows()
    for text, group in rows:
        found.add(text_key(text, group), (), group=text_key(group))
    return found


def test_a_shared_context_is_a_warning_where_the_text_is_another_one():
    sources = {
        "train": grouped(("who", "a"), ("when", "b")),
        "test": grouped(("where", "c"), ("what", "a"), ("when", "b")),
    }
    findings = check_overlap(sources, allow=False)
    (error,) = texts_of(findings, "error")
    assert "data.test: 1 row (row 3) has a text that stands in train too" in error
    assert texts_of(findings, "warning") == [
        "data.test: 1 row (row 2) has the context of rows of train, if another text"
    ]


def test_no_rows_is_an_error():
    found = check_rows("test", SeenRows(), skip=False)
    assert texts_of(found, "error") == ["data.test: there are no rows"]


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
    assert not [f for split, found in sources.items() for f in check_rows(split, found, skip=False)]
    assert not check_labels({"train": ["a", "b"] * 20, "test": ["a", "b"]})


def test_a_task_without_labels_has_no_findings_about_them():
    assert not check_labels({"train": [], "test": []})
