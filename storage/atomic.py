"""Files that appear whole or not at all, and their hashes."""

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PARTIAL = ".partial-"
"""Names that start so are files being written, or left by a process that was killed then."""


@contextmanager
def atomic_file(target: Path, *, exclusive: bool = False) -> Iterator[BinaryIO]:
    """A file to write to that becomes `target` when the block ends, and is dropped if it fails.

    `exclusive` raises FileExistsError instead of replacing: linking a name is the one step that
    POSIX promises to do only if the name is free.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.parent / f"{PARTIAL}{secrets.token_hex(8)}"
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if exclusive:
            os.link(partial, target)
        else:
            os.replace(partial, target)
        _sync_folder(target.parent)
    finally:
        partial.unlink(missing_ok=True)


def sha256_of(data: bytes | Path) -> str:
    """The hash of some bytes, or of a file's, read piece by piece."""
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    with data.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    """A new name survives a power cut only once its folder is on disk too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
