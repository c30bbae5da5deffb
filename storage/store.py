"""The seam: what an object store can do, and what a key looks like. No store lives here."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from unfreeze.storage.errors import InvalidUri

MAX_KEY_BYTES = 1024
"""S3's limit for a whole key, prefix included."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One line of a listing."""

    key: str
    size_bytes: int
    modified: datetime
    """When it was put, by the store's clock; timezone-aware."""


class ObjectStore(Protocol):
    """Named bytes. Keys are relative to the store's uri, with forward slashes.

    Every method may raise StoreUnavailable, StoreRefused, BucketNotFound, and InvalidUri for a key
    that cannot be one. Stores can be pickled, and used from several threads.
    """

    @property
    def uri(self) -> str:
        """The full address, as `open_store` takes it."""

    def put(self, key: str, data: bytes | Path, *, if_absent: bool = False) -> None:
        """Store bytes, or a file's bytes, whole or not at all.

        `if_absent` makes it a compare-and-set: raises ObjectExists if the key is taken.
        """

    def get(self, key: str) -> bytes:
        """Raises ObjectNotFound."""

    def fetch(self, key: str, file: Path) -> None:
        """Stream an object to `file`, which appears whole or not at all. Raises ObjectNotFound."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects whose key starts with `prefix` (a plain string prefix), in any order."""

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are not there are no error."""

    def under(self, prefix: str) -> "ObjectStore":
        """The part of this store whose keys start with `prefix/`, as a store of its own."""


def check_key(key: str) -> str:
    """`key`, if every store can hold it and none can be made to leave its root by it."""
    if problem := _problem_with(key):
        raise InvalidUri(f"key {key!r}: {problem}; use a relative name such as 'run/metrics.jsonl'")
    return key


def check_prefix(prefix: str) -> str:
    """`prefix`, if it can begin a key. Unlike a key it may be empty or end in a slash."""
    if prefix:
        check_key(prefix.removesuffix("/"))
    return prefix


def _problem_with(key: str) -> str | None:
    if not key:
        return "it is empty"
    if any(ord(character) < 32 or ord(character) == 127 for character in key):
        return "it has control characters"
    if "\\" in key:
        return "it has a backslash"
    if any(part in ("", ".", "..") for part in key.split("/")):
        return "it has an empty part, '.' or '..' between its slashes"
    if not _fits(key):
        return f"it is not UTF-8 of at most {MAX_KEY_BYTES} bytes"
    return None


def _fits(key: str) -> bool:
    try:
        return len(key.encode()) <= MAX_KEY_BYTES
    except UnicodeEncodeError:
        return False
