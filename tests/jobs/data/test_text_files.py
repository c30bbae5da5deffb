"""Text files as rows, splits of another kind, and shares of too little."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import tiny_language

from unfreeze.jobs.config import SourceConfig
from unfreeze.jobs.data.dataset import PreparedData, prepare
from unfreeze.jobs.data.sources import read_source
from unfreeze.jobs.errors import DataError
from unfreeze.jobs.job_file import parse_job

PROSE = "First line,\nsecond line.\n\n\nSecond \u00e9 paragraph.\n \n\nThird.\n"


def rows_of(tmp_path: Path, source: dict[str, Any]) -> list[str]:
    found = read_source(
        SourceConfig.model_validate(source), "train", endpoint=None, cache=tmp_path / "cache"
    )
    assert found.column_names == ["text"]
    return list(found["text"])


def test_a_text_file_is_a_row_or_its_paragraphs_or_its_lines_are(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("\ufeff" + PROSE, encoding="utf-8")
    assert rows_of(tmp_path, {"path": str(file)}) == [PROSE]
    paragraphs = rows_of(tmp_path, {"path": str(file), "rows": "paragraph"})
    assert paragraphs == [
        "First line,\nsecond line.",
        "Second \u00e9 paragraph.",
        "Third.",
    ]
    lines = rows_of(tmp_path, {"path": str(file), "rows": "line"})
    assert lines == ["First line,", "second line.", "Second \u00e9 paragraph.", "Third."]


def test_a_folder_of_text_files_gives_a_row_each_and_packed_ones_too(tmp_path: Path) -> None:
    folder = tmp_path / "books"
    folder.mkdir()
    (folder / "a.txt").write_text("One.")
    with gzip.open(folder / "b.txt.gz", "wt") as file:
        file.write("Two.")
    assert rows_of(tmp_path, {"path": str(folder)}) == ["One.", "Two."]


def test_a_note_beside_rows_is_none(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "README.txt").write_text("About the rows.")
    (folder / "rows.jsonl").write_text(json.dumps({"text": "A row."}) + "\n")
    assert rows_of(tmp_path, {"path": str(folder)}) == ["A row."]


def test_only_text_files_are_cut_into_rows(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "A row."}\n')
    with pytest.raises(DataError, match=r"data\.train\.rows: for text files \(\.txt\) only"):
        rows_of(tmp_path, {"path": str(file), "rows": "line"})


@pytest.mark.parametrize(
    ("contents", "problem"),
    [(b"caf\xe9 and more\n", "line 1 is not UTF-8 text"), (b" \n", "the file is empty")],
)
def test_what_is_no_text_is_said(tmp_path: Path, contents: bytes, problem: str) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(contents)
    with pytest.raises(DataError, match=problem):
        rows_of(tmp_path, {"path": str(file)})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_language.write_model(tmp_path_factory.mktemp("language")))


def prepared(model: str, tmp_path: Path, **data: Any) -> PreparedData:
    settings = {"name": "j", "model": model, "task": "text-generation"}
    job = parse_job(settings | {"data": {"max_length": 16} | data})
    return prepare(job, model, cache=tmp_path / "cache")


def test_a_share_of_one_document_cannot_be_cut_and_paragraphs_can(
    model: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.txt"
    file.write_text("\n\n".join(tiny_language.texts(20)))
    with pytest.raises(DataError) as caught:
        prepared(model, tmp_path, train=str(file), test=0.1)
    assert [line.split(":")[0] for line in caught.value.mistakes] == [
        "data.validation",
        "data.test",
    ]
    assert "(1 row) for a share" in caught.value.mistakes[0]
    assert "data.train.rows: paragraph" in caught.value.mistakes[0]
    source = {"path": str(file), "rows": "paragraph"}
    data = prepared(model, tmp_path, train=source, test=0.1)
    assert set(data.splits) == {"train", "validation", "test"}
    assert set(data.splits["train"].lengths[:-1]) == {16}


def test_general_rows_are_a_split_that_is_not_compared_with_train(
    model: str, tmp_path: Path
) -> None:
    train = tmp_path / "train.jsonl"
    tiny_language.write_lines(train, [{"text": text} for text in tiny_language.texts(30)])
    (tmp_path / "general.txt").write_text("Something else.")
    data = prepared(model, tmp_path, train=str(train), general=str(tmp_path / "general.txt"))
    assert list(data.splits) == ["train", "validation", "general"]
    assert data.splits["general"].units == 1 and data.warnings == []


def test_labels_of_general_rows_must_be_known_and_may_be_few(tmp_path: Path) -> None:
    import tiny

    folder = tiny.write_model(tmp_path / "model")
    every = tiny.rows(60)
    tiny.write_rows(tmp_path / "train.jsonl", every[:50])
    good = [row for row in every[50:] if row["label"] == "good"]
    source = str(tiny.write_rows(tmp_path / "general.jsonl", good))
    settings = {
        "name": "j",
        "model": str(folder),
        "task": "text-classification",
        "data": {"train": str(tmp_path / "train.jsonl"), "max_length": 16, "general": source},
    }
    data = prepare(parse_job(settings), str(folder), cache=tmp_path / "cache")
    assert data.warnings == [] and data.splits["general"].units == len(good)
    tiny.write_rows(tmp_path / "general.jsonl", [row | {"label": "odd"} for row in good])
    with pytest.raises(DataError, match=r"data\.general: the label odd is not in train"):
        prepare(parse_job(settings), str(folder), cache=tmp_path / "cache")
