"""A folder as an object store: for laptops, shared file systems and tests."""

import errno
import io
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from unfreeze.storage.atomic import PARTIAL, atomic_file
from unfreeze.storage.errors import (
    InvalidUri,
    ObjectExists,
    ObjectNotFound,
    StorageError,
    StoreRefused,
    StoreUnavailable,
)
from unfreeze.storage.store import ObjectInfo, ObjectStore, check_key, check_prefix

COPY_BYTES = 1024 * 1024

_MAY_PASS = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY}
"""What a network file system answers while its server is away."""


class FolderStore:
    """Each object is a file below `root`, which is made at the first put."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()

    def __repr__(self) -> str:
        return f"FolderStore({str(self.root)!r})"

    @property
    def uri(self) -> str:
        return str(self.root)

    def put(self, key: str, data: bytes | Path, *, if_absent: bool = False) -> None:
        target = self._file(key)
        source = io.BytesIO(data) if isinstance(data, bytes) else data.open("rb")
        with source, _translated(target):
            # The name is taken only after all bytes are written: look first, and save the copying.
            if if_absent and target.exists():
                raise FileExistsError
            try:
                with atomic_file(target, exclusive=if_absent) as file:
                    shutil.copyfileobj(source, file, length=COPY_BYTES)
            except FileNotFoundError as error:
                raise StoreUnavailable(f"{target}: a delete took its folder; put again") from error

    def get(self, key: str) -> bytes:
        source = self._file(key)
        with _translated(source):
            return source.read_bytes()

    def fetch(self, key: str, file: Path) -> None:
        source = self._file(key)
        with _translated(source), source.open("rb") as reader, atomic_file(file) as writer:
            shutil.copyfileobj(reader, writer, length=COPY_BYTES)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        # Walk only the folder that the prefix names; the rest of the prefix is compared as text.
        top = self.root / check_prefix(prefix).rpartition("/")[0]
        with _translated(top):
            found = [
                (path.relative_to(self.root).as_posix(), path)
                for folder, _, names in os.walk(top, onerror=_raise_unless_missing)
                for path in (Path(folder, name) for name in names if not name.startswith(PARTIAL))
            ]
        for key, path in found:
            if key.startswith(prefix) and (info := _info(key, path)):
                yield info

    def delete(self, keys: Iterable[str]) -> None:
        for file in [self._file(key) for key in keys]:
            with _translated(file):
                try:
                    file.unlink(missing_ok=True)
                except (IsADirectoryError, NotADirectoryError):
                    continue  # a folder is not an object, so there is no object of that name
                self._remove_empty_folders(file.parent)

    def under(self, prefix: str) -> "FolderStore":
        return FolderStore(self._file(prefix))

    def _file(self, key: str) -> Path:
        file = self.root / check_key(key)
        if file.name.startswith(PARTIAL):
            raise InvalidUri(f"key {key!r}: names that start with {PARTIAL!r} are unfinished files")
        # A link inside the folder could still lead out of it.
        if not file.resolve().is_relative_to(self.root.resolve()):
            raise InvalidUri(f"key {key!r}: it leads out of {self.root}; remove the link")
        return file

    def _remove_empty_folders(self, folder: Path) -> None:
        """In a store folders are only parts of keys; an empty one would be litter."""
        while folder != self.root:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent


def _info(key: str, path: Path) -> ObjectInfo | None:
    """None if the file was removed since it was listed."""
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return ObjectInfo(key, state.st_size, datetime.fromtimestamp(state.st_mtime, UTC))


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """The one place where an OSError becomes one of ours."""
    try:
        yield
    except StorageError:
        raise
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise ObjectNotFound(f"{error.filename or path}: there is no such object") from error
    except FileExistsError as error:
        raise ObjectExists(f"{path}: there is an object of this name already") from error
    except OSError as error:
        reason = f"{path}: {error.strerror or error}"
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StoreRefused(f"{reason}; check who owns the folder") from error
        if error.errno in _MAY_PASS:
            raise StoreUnavailable(f"{reason}; is the file system mounted?") from error
        raise StorageError(f"{reason}; check the file system") from error


_proof: type[ObjectStore] = FolderStore  # mypy: it has all that an ObjectStore must have
