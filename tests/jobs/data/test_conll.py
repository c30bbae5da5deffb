"""CoNLL files are rows of tokens and tags."""

import bz2
import gzip
from pathlib import Path
from typing import Any

import pytest

from unfreeze.jobs.config import SourceConfig
from unfreeze.jobs.data.conll import BrokenFile, read_sentences
from unfreeze.jobs.data.sources import read_source
from unfreeze.jobs.errors import DataError

OF_2003 = """\
-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

# NNP I-NP O
1 CD I-NP O
"""
ROWS = [
    {"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"]},
    {"tokens": ["#", "1"], "tags": ["O", "O"]},
]


def sentences(text: str | bytes) -> list[dict[str, list[str]]]:
    raw = text if isinstance(text, bytes) else text.encode()
    return list(read_sentences(raw.splitlines(keepends=True)))


def read(path: Path, cache: Path) -> list[dict[str, Any]]:
    source = SourceConfig(path=str(path))
    rows: list[dict[str, Any]] = read_source(source, "train", endpoint=None, cache=cache).to_list()
    return rows


def test_the_first_column_is_the_word_and_the_last_one_its_tag() -> None:
    assert sentences(OF_2003) == ROWS


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("gap", ["\t", "  ", " \t ", "\t\t"])
def test_columns_may_have_any_white_space_between_them(gap: str, end: str) -> None:
    lines = [f"EU{gap}B-ORG", f"rejects{gap}O", gap, f"#{gap}O", f"1{gap}O"]
    assert sentences(end.join(lines)) == ROWS


def test_a_word_may_have_blanks_where_tabs_part_the_columns() -> None:
    assert sentences("New York\tB-LOC\n") == [{"tokens": ["New York"], "tags": ["B-LOC"]}]


def test_white_space_of_unicode_is_a_word() -> None:
    text = "\u00a0 O\na\u2028b O\n\tO\n"
    with pytest.raises(BrokenFile, match="line 3 has 1 column"):
        sentences(text.replace("\t", " "))
    assert sentences("\u00a0\tO\na\u2028b\tO\n\tO\n") == [
        {"tokens": ["\u00a0", "a\u2028b", ""], "tags": ["O", "O", "O"]}
    ]


def test_comments_and_openings_of_documents_are_left_out() -> None:
    text = (
        "# id 7f2 domain=en\nEU _ _ O\n# sent_id = 4\n\n# text = what\n-DOCSTART- O O O\nx a b O\n"
    )
    with pytest.raises(BrokenFile, match="line 3 has 6"):  # within a sentence it is a word
        sentences(text.replace("sent_id", "a b sent_id").replace("EU _ _ O", "EU _ O"))
    assert [row["tokens"] for row in sentences(text)] == [["EU", "#"], ["x"]]


def test_a_file_of_one_column_has_words_only() -> None:
    assert sentences("EU\nrejects\n\nit\n") == [{"tokens": ["EU", "rejects"]}, {"tokens": ["it"]}]


def test_a_byte_order_mark_is_no_part_of_a_word() -> None:
    assert sentences(b"\xef\xbb\xbf" + OF_2003.encode()) == ROWS
    assert sentences(b"\xef\xbb\xbfEU O\n") == [{"tokens": ["EU"], "tags": ["O"]}]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            b"EU B-ORG\n\nNew York B-LOC\n",
            "line 3 has 3 columns, expected 2 columns as in line 1: a word first and its tag last",
        ),
        (b"\nEU B-ORG\nrejects\n", "line 3 has 1 column, expected 2 columns as in line 2"),
        (b"EU O\ncaf\xe9 O\n", "line 2 is not UTF-8 text"),
    ],
)
def test_a_broken_line_is_named_with_its_file(tmp_path: Path, text: bytes, problem: str) -> None:
    good, bad = tmp_path / "a/good.conll", tmp_path / "a/more.conll"
    good.parent.mkdir()
    good.write_text("EU O\n")
    bad.write_bytes(text)
    with pytest.raises(DataError) as caught:
        read(good.parent, tmp_path / "cache")
    assert f"data.train: {bad}: {problem}" in caught.value.mistakes[0]


@pytest.mark.parametrize("suffix", [".conll", ".bio", ".iob", ".iob2", ".bioes", ".CONLL"])
def test_files_are_known_by_their_names(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"train{suffix}"
    file.write_text(OF_2003)
    assert read(file, tmp_path / "cache") == ROWS


def test_files_may_be_compressed_and_many(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "a.conll").write_text(OF_2003)
    (folder / "b.conll.gz").write_bytes(gzip.compress(OF_2003.encode()))
    (folder / "c.bio.bz2").write_bytes(bz2.compress(OF_2003.encode()))
    assert read(folder, tmp_path / "cache") == 3 * ROWS


@pytest.mark.parametrize("text", ["\n\n \n", "-DOCSTART- O\n\n"])
def test_a_file_without_sentences_is_a_mistake(tmp_path: Path, text: str) -> None:
    file = tmp_path / "train.conll"
    file.write_text(text)
    with pytest.raises(DataError, match=r"the file is empty|there are no rows in it"):
        read(file, tmp_path / "cache")
