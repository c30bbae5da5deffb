"""Rows that people bring to a trained model: what is read of them, and how they are cut."""

from typing import Any

import datasets
import pytest

from unfreeze.jobs import ConfigError, JobConfig, parse_job
from unfreeze.jobs.prediction.new_rows import NewRows, columns_read
from unfreeze.jobs.tasks import open_task

ROWS = [
    {"id": 1, "text": "a fine film", "label": "good"},
    {"id": 2, "text": " ", "label": "bad"},
    {"id": 3, "text": "a dull film", "label": "bad"},
]


def job(task: str, **columns: str) -> JobConfig:
    settings: dict[str, Any] = {"name": "x", "model": "m", "task": task}
    return parse_job(settings | {"data": {"train": "t.jsonl", "columns": columns}})


def new_rows(rows: list[dict[str, Any]], task: str = "text-classification") -> NewRows:
    data, its = datasets.Dataset.from_list(rows), job(task)
    columns = columns_read(its, data.column_names, {}, targets=False)
    return NewRows(data, columns, open_task(its.task), "predict")


def test_parts_have_all_rows_in_order_and_those_that_fit_by_role() -> None:
    first, second = new_rows(ROWS).parts(2)
    assert (first.number, first.first, first.last) == (0, 1, 2)
    assert (second.number, second.first, second.last) == (1, 3, 3)
    assert [*first.originals, *second.originals] == ROWS
    assert first.rows == [{"row": 1, "text": "a fine film"}]
    assert second.rows == [{"row": 3, "text": "a dull film"}]
    assert first.problems == {2: "column 'text': expected text, found none"}


def test_a_row_that_does_not_fit_has_a_line_with_what_is_wrong() -> None:
    part = next(new_rows(ROWS).parts(3))
    lines = part.lines([{"predicted": "good"}, {"predicted": "bad"}])
    assert [line["id"] for line in lines] == [1, 2, 3]
    assert lines[0] == ROWS[0] | {"predicted": "good"}
    assert lines[1] == ROWS[1] | {"error": "column 'text': expected text, found none"}
    assert new_rows(ROWS).look(skip=False)[1] == [
        "data.predict: column 'text': expected text, found none in row 2"
    ]
    assert not new_rows(ROWS).look(skip=True)[1]


def test_a_part_is_named_by_its_rows_and_the_model() -> None:
    part = next(new_rows(ROWS).parts(3))
    changed = next(new_rows([ROWS[0], ROWS[1], ROWS[2] | {"id": 4}]).parts(3))
    assert part.name("a") == next(new_rows(ROWS).parts(3)).name("a")
    assert len({part.name("a"), part.name("b"), changed.name("a")}) == 3


def test_a_text_stands_for_words_and_the_words_are_given_back() -> None:
    rows = new_rows([{"text": "anna  met bob"}, {"text": ""}], "token-classification")
    part = next(rows.parts(10))
    assert part.rows == [{"row": 1, "tokens": ["anna", "met", "bob"]}]
    assert part.problems == {2: "column 'text': expected words, found none"}
    assert part.lines([{"predicted": []}])[0]["tokens"] == ["anna", "met", "bob"]
    assert rows.by_role.schema.field("tokens").type.value_type == "string"


def test_columns_may_be_called_otherwise_than_in_training() -> None:
    trained = job("text-classification", text="review")
    assert columns_read(trained, [], {}, targets=False) == {"text": "review"}
    found = columns_read(trained, [], {"text": "tweet"}, targets=True)
    assert found == {"text": "tweet", "label": "label"}
    with pytest.raises(ConfigError, match=r"--column txt: .* known: text"):
        columns_read(trained, [], {"txt": "tweet"}, targets=False)
