"""Files as rows: built once as arrow files, whatever kind they are of, and memory-mapped."""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
from filelock import FileLock

from unfreeze.jobs.config import SourceConfig
from unfreeze.jobs.data.file_kinds import (
    READERS,
    SQUAD,
    TEXT,
    Kind,
    broken_line,
    kind_of,
    kind_within,
    rows_of,
    unlike_its_name,
)
from unfreeze.jobs.data.squad import FEATURES
from unfreeze.jobs.errors import DataError

_BLANK_LINES = re.compile(r"\A(?:[^\S\n]*\n)+|(?:\n[^\S\n]*)+\Z")  # before and behind a text
_BUILT_WITH = f"1 {datasets.__version__}"
"""Part of the cache's keys: raise the number when the same files would give other rows."""


def read_files(
    files: Sequence[Path], source: SourceConfig, where: str, cache: Path
) -> datasets.Dataset:
    """All rows of the files, one file after the other, memory-mapped from a folder in `cache`.
    Raises DataError; `where` is the setting at fault."""
    kind = kind_of_all(files, source, where)
    folder = cache / "rows" / _key(files, kind)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            _build(files, kind, where, folder)
    return datasets.Dataset.load_from_disk(str(folder))


def rows_in(file: Path, kind: Kind) -> int:
    """How many rows a file gives. It is read for it."""
    with tempfile.TemporaryDirectory() as scratch, quiet():
        try:
            return len(_loaded([file], kind, scratch))
        except ValueError:  # there is nothing in it
            return 0


def kind_of_all(files: Sequence[Path], source: SourceConfig, where: str) -> Kind:
    """The kind that all files are of. Raises DataError if there is none."""
    unknown = [file.name for file in files if not kind_of(file)]
    if unknown:
        raise DataError(
            f"{where}: {unknown[0]}: unknown kind of file; "
            "known are jsonl, json, csv, tsv, conll, parquet, arrow and txt"
        )
    for file in files:
        if problem := unlike_its_name(file):
            raise DataError(f"{where}: {file}: {problem}")
    found = [kind_within(file, kind) for file in files if (kind := kind_of(file))]
    kinds = {kind.name: kind for kind in found}
    if len(kinds) > 1:
        raise DataError(f"{where}: {source.path}: mixes {' and '.join(sorted(kinds))} files")
    (kind,) = kinds.values()
    if kind is TEXT:
        kind = replace(kind, options={**kind.options, "sample_by": source.rows or "document"})
    elif source.rows:
        raise DataError(f"{where}.rows: for text files (.txt) only; {files[0].name} has rows")
    return kind


def _key(files: Sequence[Path], kind: Kind) -> str:
    """By content, not by name and time as `datasets` does: a changed file is always noticed,
    and one that is only fetched again is not built again."""
    rows = kind.options.get("sample_by", "")
    digest = hashlib.sha256(f"{_BUILT_WITH} {kind.name} {rows}".encode())
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:32]


def _build(files: Sequence[Path], kind: Kind, where: str, folder: Path) -> None:
    """Writes the rows of `files` as arrow into `folder`, all or nothing."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".building-") as scratch:
        try:
            rows = _loaded(files, kind, f"{scratch}/datasets")
        except datasets.exceptions.DatasetGenerationError as error:
            raise DataError(f"{where}: {_reason(files, kind, error)}") from error
        except ValueError as error:
            if "corresponds to no data" not in str(error):
                raise DataError(f"{where}: {files[0]}: {one_line(error)}") from error
            raise DataError(f"{where}: {files[0]}: there are no rows in it") from None
        rows.save_to_disk(f"{scratch}/rows")
        os.replace(f"{scratch}/rows", folder)


def _loaded(files: Sequence[Path], kind: Kind, cache: str) -> datasets.Dataset:
    if kind.loader in READERS:
        asked = {"files": tuple(files), "loader": kind.loader}
        features = FEATURES if kind is SQUAD else None
        return datasets.Dataset.from_generator(rows_of, features, cache, gen_kwargs=asked)
    rows = datasets.load_dataset(
        kind.loader,
        data_files=[str(file.resolve()) for file in files],
        split="train",
        cache_dir=cache,
        **kind.options,
    )
    assert isinstance(rows, datasets.Dataset)
    if kind.options.get("sample_by", "document") != "document":
        rows = rows.map(_without_blanks, input_columns="text", batched=True)
    return rows


def _without_blanks(texts: Sequence[str]) -> dict[str, list[str]]:
    """Paragraphs or lines, without the blank lines before, between and behind them."""
    return {"text": [_BLANK_LINES.sub("", text) for text in texts if text.strip()]}


def _reason(files: Sequence[Path], kind: Kind, error: Exception) -> str:
    """Which line of which file is broken if that can be found, else what the reader said."""
    for file in files:
        if problem := broken_line(file, kind):
            return f"{file}: {problem}"
    return f"{files[0]}: cannot be read as {kind.name}: {one_line(error.__cause__ or error)}"


def one_line(error: BaseException) -> str:
    """An error of a library, on one line of bearable length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, no log lines about errors that we raise anyway."""
    logging: Any = datasets.logging
    bars, level = datasets.are_progress_bars_disabled(), logging.get_verbosity()
    datasets.disable_progress_bars()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if not bars:
            datasets.enable_progress_bars()
