"""Rows by what is read from them, whatever the columns are called."""

import datasets
import pyarrow as pa
import pytest

from unfreeze.jobs.data import roles
from unfreeze.jobs.data.roles import RowsByRole, kinds_of

CLASSES = datasets.ClassLabel(names=["no", "yes"])


def rows_of(columns, features):
    return datasets.Dataset.from_dict(columns, datasets.Features(features))


@pytest.fixture
def reviews():
    columns = {"id": [7, 8, 9], "body": ["a", "b", None], "stars": [1, 0, -1]}
    features = {"id": datasets.Value("int64"), "body": datasets.Value("string"), "stars": CLASSES}
    return RowsByRole(rows_of(columns, features), {"text": "body", "label": "stars"})


def test_rows_have_their_number_and_what_is_read_and_nothing_else(reviews):
    assert list(reviews.batches()) == [
        [
            {"row": 1, "text": "a", "label": "yes"},
            {"row": 2, "text": "b", "label": "no"},
            {"row": 3, "text": None, "label": None},
        ]
    ]


def test_some_rows_keep_the_numbers_that_they_have_in_the_source(reviews):
    assert list(reviews.batches([2, 0])) == [
        [{"row": 3, "text": None, "label": None}, {"row": 1, "text": "a", "label": "yes"}]
    ]


def test_rows_come_in_batches(reviews, monkeypatch):
    monkeypatch.setattr(roles, "BATCH", 2)
    assert [[row["row"] for row in batch] for batch in reviews.batches()] == [[1, 2], [3]]


def test_the_schema_is_that_of_the_rows_with_labels_by_name(reviews):
    assert reviews.schema == pa.schema(
        [("row", pa.int64()), ("text", pa.string()), ("label", pa.string())]
    )
    (rows,) = reviews.batches()
    assert pa.Table.from_pylist(rows, schema=reviews.schema).to_pylist() == rows


def test_labels_are_declared_by_a_column_of_them_and_by_no_other(reviews):
    assert reviews.declared("label") == ["no", "yes"]
    assert reviews.declared("text") is None
    assert reviews.declared("text_pair") is None


def test_a_column_that_is_not_there_is_not_read():
    rows = rows_of({"text": ["a"]}, {"text": datasets.Value("string")})
    assert list(RowsByRole(rows, {"text": "text", "label": "label"}).batches()) == [
        [{"row": 1, "text": "a"}]
    ]


def test_lists_of_declared_labels_are_lists_of_names():
    features = {"words": datasets.List(datasets.Value("string")), "tags": datasets.List(CLASSES)}
    columns = {"words": [["a", "b"], []], "tags": [[1, 0], []]}
    rows = RowsByRole(rows_of(columns, features), {"words": "words", "tags": "tags"})
    assert rows.declared("tags") == ["no", "yes"]
    (found,) = rows.batches()
    assert [row["tags"] for row in found] == [["yes", "no"], []]
    assert rows.schema.field("tags").type == pa.list_(pa.string())
    assert pa.Table.from_pylist(found, schema=rows.schema).to_pylist() == found


def test_types_are_said_in_words():
    features = {
        "text": datasets.Value("string"),
        "score": datasets.Value("float32"),
        "label": CLASSES,
        "words": datasets.List(datasets.Value("string")),
    }
    rows = rows_of({"text": ["a"], "score": [1.0], "label": [0], "words": [["a"]]}, features)
    assert kinds_of(rows) == {
        "text": "string",
        "score": "float32",
        "label": "label",
        "words": "lists or objects",
    }
