"""Rows from where people keep them: files, folders, object storage, the hub.

Knows nothing of columns or labels. Whatever is wrong with a source is a DataError of one line that
begins with the setting at fault.
"""

import glob
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

import datasets
from filelock import FileLock

from unfreeze.jobs.config import SourceConfig
from unfreeze.jobs.data.file_kinds import TEXT, kind_of
from unfreeze.jobs.data.row_files import one_line, quiet, read_files
from unfreeze.jobs.errors import DataError
from unfreeze.storage import BucketNotFound, InvalidUri, ObjectNotFound, fetch_uri, is_glob

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
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


def read_source(
    source: SourceConfig, split: str, *, endpoint: str | None, cache: Path
) -> datasets.Dataset:
    """All rows of a source, memory-mapped from files under `cache`. Raises DataError."""
    with quiet():
        files = files_of(source, split, endpoint=endpoint, cache=cache)
        if files is None:
            return _read_hub(source, split, cache)
        return read_files(list(files), source, f"data.{split}", cache)


def files_of(
    source: SourceConfig, split: str, *, endpoint: str | None, cache: Path, fetch: bool = True
) -> dict[Path, str] | None:
    """The files of a source on this machine, in order, and what people call them; None if it is a
    data set of the hub. Without `fetch` those that were fetched before. Raises DataError."""
    where, path = f"data.{split}", source.path
    if path.startswith("s3://"):
        folder, files = _fetched(where, path, endpoint, cache, fetch=fetch)
        if len(files) > 1 and not is_glob(path):
            files = _in_folder(where, path, files, source.split or split)
        above = (
            re.split(r"[*?[]", path)[0].rpartition("/")[0] if is_glob(path) else path.rstrip("/")
        )
        names = [file.relative_to(folder).as_posix() for file in files]
        return {
            file: path if path.endswith(f"/{name}") else f"{above}/{name}"
            for file, name in zip(files, names, strict=True)
        }
    local = _local_files(where, path, source.split or split)
    if local is None:
        return None
    return {file: str(file) for file in local}


def _fetched(
    where: str, uri: str, endpoint: str | None, cache: Path, *, fetch: bool
) -> tuple[Path, list[Path]]:
    """The files of an object, of a folder of objects, or of those that match a pattern; and the
    folder that they lie in. What storage cannot do, it raises."""
    folder = cache / "fetched" / hashlib.sha256(f"{endpoint} {uri}".encode()).hexdigest()[:32]
    folder.mkdir(parents=True, exist_ok=True)
    listed = folder.with_suffix(".json")  # for older versions of the folder may have left files
    with FileLock(folder.with_suffix(".lock")):
        if fetch:
            try:
                found = sorted(fetch_uri(uri, folder, endpoint))
            except (ObjectNotFound, BucketNotFound, InvalidUri) as error:
                raise DataError(f"{where}: {uri}: {one_line(error)}") from error
            listed.write_text(json.dumps([str(file) for file in found]))
        return folder, list(map(Path, json.loads(listed.read_text())))


def _local_files(where: str, path: str, split: str) -> list[Path] | None:
    """The files that `path` names; None if it can only be a hub id."""
    local = Path(path).expanduser()
    if local.is_file():
        return [local]
    if local.is_dir():
        return _in_folder(where, path, sorted(local.iterdir()), split)
    if is_glob(path):
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
        raise DataError(f"{where}: {one_line(error)}") from error
    assert isinstance(rows, datasets.Dataset)
    return rows
