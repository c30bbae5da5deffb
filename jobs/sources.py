"""Rows from where people keep them: files, folders, object storage, the hub.

Knows nothing of columns or labels. Whatever is wrong with a source is a DataError of one line that
begins with the setting at fault.
"""

import glob
import hashlib
import json
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
from unfreeze.jobs.errors import DataError
from unfreeze.jobs.file_kinds import (
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
from unfreeze.jobs.squad import FEATURES
from unfreeze.storage import BucketNotFound, InvalidUri, ObjectNotFound, fetch_uri

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_GLOB = re.compile(r"[*?\[]")
_BLANK_LINES = re.compile(r"\A(?:[^\S\n]*\n)+|(?:\n[^\S\n]*)+\Z")  # before and behind a text
_SPLIT_NAMES = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
_NOT_ROWS = ("state.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json")
"""What `datasets` writes beside the rows."""
_BUILT_WITH = f"1 {datasets.__version__}"
"""Part of the cache's keys: raise the number when the same files would give other rows."""


def read_source(
    source: SourceConfig, split: str, *, endpoint: str | None, cache: Path
) -> datasets.Dataset:
    """All rows of a source, memory-mapped from files under `cache`. Raises DataError."""
    where, path = f"data.{split}", source.path
    with _quiet():
        if path.startswith("s3://"):
            files = _fetched(where, path, endpoint, cache)
            if len(files) > 1:
                files = _in_folder(where, path, files, source.split or split)
            return _read_files(files, source, split, cache)
        local = _local_files(where, path, source.split or split)
        if local is not None:
            return _read_files(local, source, split, cache)
        return _read_hub(source, split, cache)


def content_hash(dataset: datasets.Dataset) -> str:
    """Hash of the rows' values, column by column in the data set's order.

    The same on every machine, whatever files the values came from, how they are chunked, and what
    the columns are called. Give it the used columns only (`select_columns`).
    """
    digest = hashlib.sha256()
    names = {
        name: feature.names
        for name, feature in dataset.features.items()
        if isinstance(feature, datasets.ClassLabel)
    }
    digest.update(json.dumps([len(dataset), list(names.values())]).encode())
    for batch in dataset.iter(batch_size=4096):
        values = [batch[name] for name in dataset.column_names]
        digest.update(json.dumps(values, default=repr).encode())
    return digest.hexdigest()


def _fetched(where: str, uri: str, endpoint: str | None, cache: Path) -> list[Path]:
    """The files of an object, or of a folder of objects. What storage cannot do, it raises."""
    if _GLOB.search(uri):
        raise DataError(f"{where}: {uri}: wildcards are for local files; name an object or folder")
    folder = cache / "fetched" / hashlib.sha256(f"{endpoint} {uri}".encode()).hexdigest()[:32]
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        try:
            return sorted(fetch_uri(uri, folder, endpoint))
        except (ObjectNotFound, BucketNotFound, InvalidUri) as error:
            raise DataError(f"{where}: {uri}: {_line(error)}") from error


def _local_files(where: str, path: str, split: str) -> list[Path] | None:
    """The files that `path` names; None if it can only be a hub id."""
    local = Path(path).expanduser()
    if local.is_file():
        return [local]
    if local.is_dir():
        return _in_folder(where, path, sorted(local.iterdir()), split)
    if _GLOB.search(path):
        found = sorted(Path(name) for name in glob.glob(str(local), recursive=True))
        files = [file for file in found if file.is_file()]
        if not files:
            raise DataError(f"{where}: {path}: no file matches")
        return files
    if not _HUB_ID.fullmatch(path) or kind_of(local) or local.parts[0] in _folders_here(local):
        raise DataError(f"{where}: {path}: no such file or folder (from {Path.cwd()})")
    return None


def _folders_here(local: Path) -> set[str]:
    """The first part of `a/b` if `a` is a folder here: then `a/b` is a misspelled path."""
    return {local.parts[0]} if len(local.parts) > 1 and Path(local.parts[0]).is_dir() else set()


def _in_folder(where: str, folder: str, files: Sequence[Path], split: str) -> list[Path]:
    """The data files of a folder: all, or the split's own if files are named by split.

    Without that, `train: reviews/` would take reviews/test.jsonl in as well.
    """
    files = [p for p in files if kind_of(p) and p.name not in _NOT_ROWS and p.is_file()]
    if any(kind_of(file) is not TEXT for file in files):  # beside rows, text is a note on them
        files = [file for file in files if kind_of(file) is not TEXT]
    if not files:
        raise DataError(f"{where}: {folder}: no data files in this folder (jsonl, csv, parquet ..)")
    by_name = {file: _split_in_name(file) for file in files}
    if not any(by_name.values()):
        return files
    wanted = _SPLIT_NAMES.get(split, split)
    chosen = [file for file, name in by_name.items() if name == wanted]
    if not chosen:
        there = ", ".join(file.name for file in files[:5])
        raise DataError(f"{where}: {folder}: no file is named after {split}; there are {there}")
    return chosen


def _split_in_name(file: Path) -> str | None:
    return _SPLIT_NAMES.get(re.split(r"[^a-z]", file.name.lower(), maxsplit=1)[0])


def _read_files(
    files: Sequence[Path], source: SourceConfig, split: str, cache: Path
) -> datasets.Dataset:
    where, path = f"data.{split}", source.path
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
        raise DataError(f"{where}: {path}: mixes {' and '.join(sorted(kinds))} files")
    (kind,) = kinds.values()
    if kind is TEXT:
        kind = replace(kind, options={**kind.options, "sample_by": source.rows or "document"})
    elif source.rows:
        raise DataError(f"{where}.rows: for text files (.txt) only; {files[0].name} has rows")
    folder = cache / "rows" / _key(files, kind)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            _build(files, kind, where, folder)
    return datasets.Dataset.load_from_disk(str(folder))


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
                raise DataError(f"{where}: {files[0]}: {_line(error)}") from error
            raise DataError(f"{where}: {files[0]}: there are no rows in it") from None
        if kind.options.get("sample_by", "document") != "document":
            rows = rows.map(_without_blanks, input_columns="text", batched=True)
        rows.save_to_disk(f"{scratch}/rows")
        os.replace(f"{scratch}/rows", folder)


def _loaded(files: Sequence[Path], kind: Kind, cache: str) -> datasets.Dataset:
    if kind.loader in READERS:
        asked = {"files": tuple(files), "loader": kind.loader}
        features = FEATURES if kind is SQUAD else None
        return datasets.Dataset.from_generator(rows_of, features, cache, gen_kwargs=asked)
    return datasets.load_dataset(
        kind.loader,
        data_files=[str(file.resolve()) for file in files],
        split="train",
        cache_dir=cache,
        **kind.options,
    )


def _without_blanks(texts: Sequence[str]) -> dict[str, list[str]]:
    """Paragraphs or lines, without the blank lines before, between and behind them."""
    return {"text": [_BLANK_LINES.sub("", text) for text in texts if text.strip()]}


def _reason(files: Sequence[Path], kind: Kind, error: Exception) -> str:
    """Which line of which file is broken if that can be found, else what the reader said."""
    for file in files:
        if problem := broken_line(file, kind):
            return f"{file}: {problem}"
    return f"{files[0]}: cannot be read as {kind.name}: {_line(error.__cause__ or error)}"


def _read_hub(source: SourceConfig, split: str, cache: Path) -> datasets.Dataset:
    where = f"data.{split}: {source.path}"
    try:
        rows = datasets.load_dataset(
            source.path,
            source.name,
            split=source.split or split,
            revision=source.revision,
            cache_dir=str(cache / "hub"),
        )
    except ConnectionError as error:
        raise DataError(
            f"{where}: no such file or folder here, and as a data set of the hub it cannot be "
            "reached from this machine"
        ) from error
    except datasets.exceptions.DatasetNotFoundError as error:
        raise DataError(
            f"{where}: no such file or folder here, and no such data set on the hub "
            "(or it needs a token: HF_TOKEN)"
        ) from error
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"{where}: {_line(error)}") from error
    assert isinstance(rows, datasets.Dataset)
    return rows


def _line(error: BaseException) -> str:
    """An error of a library, on one line of bearable length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."


@contextmanager
def _quiet() -> Iterator[None]:
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
