"""What kind of rows a file holds by its name, and whether its first bytes agree.

Libraries answer a parquet file named .jsonl with a parser's error; a person wants to be told.
"""

import bz2
import csv
import gzip
import json
import lzma
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path
from types import MappingProxyType
from typing import Any

from unfreeze.jobs.data.conll import read_sentences
from unfreeze.jobs.data.squad import is_squad, read_questions


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file, and how `datasets` loads it, or we do (READERS)."""

    name: str
    loader: str
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    text: bool = True


# Only an empty field means "nothing": "NA", "None" and "null" are texts that people write.
_CSV = {"keep_default_na": False, "na_values": [""]}
_JSON_LINES = Kind("JSON lines", "json")
CONLL = Kind("CoNLL", "conll")
SQUAD = Kind("SQuAD", "squad")
READERS: dict[str, Callable[[BufferedIOBase], Iterator[dict[str, Any]]]] = {
    CONLL.loader: read_sentences,
    SQUAD.loader: read_questions,
}
"""What reads the rows of a file that `datasets` cannot read. They raise ValueError."""
TEXT = Kind("text", "text", {"encoding": "utf-8-sig"})
_PARQUET = Kind("parquet", "parquet", text=False)
_KINDS = {
    ".jsonl": _JSON_LINES,
    ".ndjson": _JSON_LINES,
    ".json": Kind("JSON", "json"),
    ".csv": Kind("csv", "csv", _CSV),
    ".tsv": Kind("tsv", "csv", _CSV | {"sep": "\t"}),
    **dict.fromkeys((".conll", ".bio", ".iob", ".iob2", ".bioes", ".bilou", ".bmes"), CONLL),
    ".parquet": _PARQUET,
    ".pq": _PARQUET,
    ".arrow": Kind("arrow", "arrow", text=False),
    ".txt": TEXT,
}
_COMPRESSED = (".gz", ".bz2", ".xz")
_MAGIC = {
    b"PAR1": "a parquet file",
    b"ARROW1": "an arrow file",
    b"\xff\xff\xff\xff": "an arrow file",
    b"\x1f\x8b": "a gzip file",
    b"PK\x03\x04": "a zip or Excel file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\x00": "an xz file",
    b"\xff\xfe": "text in UTF-16 (save it as UTF-8)",
    b"\xfe\xff": "text in UTF-16 (save it as UTF-8)",
    b"version https://git-lfs": "a Git LFS pointer (run `git lfs pull`)",
}


def kind_of(file: Path) -> Kind | None:
    """By the name; a compression suffix does not count. None if it is no data file of ours."""
    if file.name.startswith((".", "_")):
        return None
    name = file.with_suffix("") if file.suffix.lower() in _COMPRESSED else file
    return _KINDS.get(name.suffix.lower())


def kind_within(file: Path, kind: Kind) -> Kind:
    """JSON may be laid out as SQuAD is: then it is of that kind."""
    with _open(file) as stream:
        return SQUAD if kind.name == "JSON" and is_squad(stream.read(4096)) else kind


def unlike_its_name(file: Path) -> str | None:
    """What is wrong with the file's first bytes, in words; None if they fit its name."""
    kind = kind_of(file)
    if kind is None:
        return "unknown kind of file"
    try:
        with _open(file) as stream:
            start = stream.read(4096)
    except (OSError, EOFError, lzma.LZMAError) as error:
        return f"cannot be read: {' '.join(str(error).split())}"
    if not start.strip():
        return "the file is empty"
    found = _sniffed(start)
    expected = "an arrow file" if kind.name == "arrow" else "a parquet file"
    if found == (None if kind.text else expected):
        return _not_json(start) if kind.loader == "json" else None
    return f"is not what its name says: expected {kind.name}, found {found or 'text'}"


def broken_line(file: Path, kind: Kind) -> str | None:
    """The first line that cannot be read, in words; None if all can or if lines mean nothing."""
    if not kind.text:
        return None
    with _open(file) as stream:
        if kind.loader in READERS:
            try:
                deque(READERS[kind.loader](stream), maxlen=0)
            except ValueError as error:
                return str(error)
            return None
        for number, line in enumerate(stream, 1):
            try:
                text = line.decode("utf-8-sig")
            except UnicodeDecodeError:
                return f"line {number} is not UTF-8 text"
            if kind is _JSON_LINES and text.strip() and (problem := _not_an_object(text)):
                return f"line {number} {problem}"
    return None


def lines_of(file: Path, kind: Kind, rows: Sequence[int]) -> dict[int, int]:
    """In which lines these rows begin (both from 1), of a kind that has its rows in lines."""
    with _open(file) as stream:
        if kind is _JSON_LINES:
            begins: Iterator[int] = (n for n, line in enumerate(stream, 1) if line.strip())
        elif kind.loader == "csv":
            begins = _lines_of_csv(stream, kind.options.get("sep", ","))
        else:
            return {}
        numbered = zip(range(1, max(rows, default=0) + 1), begins, strict=False)
        return {row: line for row, line in numbered if row in rows}


def _lines_of_csv(stream: BufferedIOBase, separator: str) -> Iterator[int]:
    """Where the rows after the first begin; a field may hold line breaks."""
    reader = csv.reader((line.decode("utf-8", "replace") for line in stream), delimiter=separator)
    end, is_header = 0, True
    try:
        for fields in reader:
            begin, end = end + 1, reader.line_num
            if fields and not is_header:
                yield begin
            is_header &= not fields
    except csv.Error:  # such as a field that is too long for it: then lines are not known
        return


def rows_of(files: Sequence[Path], loader: str) -> Iterator[dict[str, Any]]:
    """Of files of a kind that has a reader, one at a time. Raises ValueError."""
    for file in files:
        with _open(file) as stream:
            yield from READERS[loader](stream)


def _not_an_object(text: str) -> str | None:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        return f"is not JSON: {error.msg} at column {error.colno}"
    return None if isinstance(value, dict) else "is not a JSON object with the row's columns"


def _open(file: Path) -> BufferedIOBase:
    match file.suffix.lower():
        case ".gz":
            return gzip.open(file)
        case ".bz2":
            return bz2.open(file)
        case ".xz":
            return lzma.open(file)
    return file.open("rb")


def _sniffed(start: bytes) -> str | None:
    """What the first bytes say; None for plain text."""
    for magic, what in _MAGIC.items():
        if start.startswith(magic):
            return what
    return "binary data" if b"\0" in start else None


def _not_json(start: bytes) -> str | None:
    first = start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return None if first in (b"{", b"[") else "is not what its name says: found text, not JSON"
