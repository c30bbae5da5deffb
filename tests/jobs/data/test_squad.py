"""SQuAD's own files are rows like others."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import tiny_questions

from unfreeze.jobs.config import SourceConfig
from unfreeze.jobs.data.sources import read_source
from unfreeze.jobs.errors import DataError


def read(path: Path) -> Any:
    source = SourceConfig(path=str(path))
    return read_source(source, "train", endpoint=None, cache=path.parent / "cache")


def squad(**changes: Any) -> dict[str, Any]:
    """One article with one paragraph of two questions; `changes` are to the first."""
    asked = {"id": "1", "question": "Where?", "answers": [{"text": "Paris", "answer_start": 3}]}
    other: dict[str, Any] = {"id": 2, "question": "Why?", "is_impossible": True, "answers": []}
    other["plausible_answers"] = [{"text": "In", "answer_start": 0}]
    paragraph = {"qas": [asked | changes, other], "context": "In Paris."}
    return {"version": "v2.0", "data": [{"title": "Paris", "paragraphs": [paragraph]}]}


def test_questions_are_rows_in_the_form_of_the_hub(tmp_path: Path) -> None:
    file = tmp_path / "train-v2.0.json"
    file.write_text(json.dumps(squad()))
    both = {"title": "Paris", "context": "In Paris."}
    assert read(file).to_list() == [
        {"id": "1", "question": "Where?", "answers": {"text": ["Paris"], "answer_start": [3]}}
        | both,
        {"id": "2", "question": "Why?", "answers": {"text": [], "answer_start": []}} | both,
    ]


def test_files_are_known_by_their_layout_and_not_by_the_order_of_keys(tmp_path: Path) -> None:
    rows = tiny_questions.rows(7)
    text = json.loads(tiny_questions.nested(rows))
    for number, content in enumerate(
        [
            json.dumps(text).encode(),
            b"\xef\xbb\xbf" + json.dumps({"data": text["data"], "version": 1}, indent=2).encode(),
        ]
    ):
        file = tmp_path / f"{number}.json"
        file.write_bytes(content)
        found = read(file)
        assert [{key: row[key] for key in rows[0]} for row in found.to_list()] == rows
    packed = tmp_path / "a.json.gz"
    packed.write_bytes(gzip.compress(json.dumps(text).encode()))
    assert read(packed).to_list() == found.to_list()


def test_thousands_of_questions_without_an_answer_may_come_first(tmp_path: Path) -> None:
    nothing: dict[str, list[Any]] = {"text": [], "answer_start": []}
    rows = [{"question": "why", "context": str(i), "answers": nothing} for i in range(2500)]
    file = tmp_path / "a.json"
    file.write_text(tiny_questions.nested([*rows, *tiny_questions.rows(1, unanswerable=0)]))
    assert len(read(file)) == 2501 and read(file)[2500]["answers"]["text"]


def test_other_json_is_read_as_before(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps([{"data": "paragraphs", "paragraphs": [1]}]))
    assert read(file).to_list() == [{"data": "paragraphs", "paragraphs": [1]}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (squad(question=None), "data[0].paragraphs[0].qas[0]: expected question, a text"),
        (squad(answers=["Paris"]), "data[0].paragraphs[0].qas[0]: expected answers, a list of obj"),
        (squad(answers=[{"start": 3}]), "data[0].paragraphs[0].qas[0]: expected text, a text"),
        ({"data": [{"paragraphs": [{"context": "x"}]}]}, "paragraphs[0]: expected qas, a list"),
        ({"data": [{"paragraphs": [{"qas": []}]}]}, "paragraphs[0]: expected context, a text"),
        ({"data": [{"paragraphs": []}, {}]}, "data[1]: expected paragraphs, a list of objects"),
        ({"data": [{"paragraphs": []}]}, "there are no rows in it"),
    ],
)
def test_a_broken_file_is_explained_in_one_line(tmp_path: Path, content: Any, said: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps(content))
    with pytest.raises(DataError) as caught:
        read(file)
    (line,) = caught.value.mistakes
    assert line.startswith(f"data.train: {file}: ") and said in line and "\n" not in line


def test_a_file_that_ends_early_says_where(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps(squad())[:-9])
    with pytest.raises(DataError, match=r"a\.json: .*line 1 column \d+"):
        read(file)
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.json").write_text(json.dumps(squad()))
    (tmp_path / "d/b.json").write_text('[{"question": "x"}]')
    with pytest.raises(DataError, match="mixes JSON and SQuAD files"):
        read(tmp_path / "d")
