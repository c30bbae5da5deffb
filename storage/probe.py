"""Tries a store as a job uses it, with objects of its own, which it removes."""

import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unfreeze.storage.errors import CorruptObject, ObjectExists, ObjectNotFound, StorageError
from unfreeze.storage.store import ObjectStore

PROBE_BYTES = 8 * 1024**2
FOLDER = "unfreeze-doctor"
"""All that is put is below this prefix of the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreProbe:
    """What was found. Fields keep their defaults where an earlier step failed."""

    failed: str | None = None
    """The step that failed: put, get, condition, list, marker or delete."""

    problem: str | None = None
    """What the store said then."""

    put_bytes_per_s: float | None = None
    get_bytes_per_s: float | None = None
    is_conditional: bool | None = None
    """Whether a put that must not replace an object is refused when there is one."""

    sees_marker: bool | None = None
    """Whether it has the object that another machine put; None: none was named."""

    clock_ahead_s: float | None = None
    """How far the store's clock is ahead of this machine's (behind: negative)."""

    clock_error_s: float = 0.0
    """How far `clock_ahead_s` may be from the truth. S3 tells whole seconds."""


def put_marker(store: ObjectStore) -> str:
    """Puts an object for other machines to look for: its key. Raises StorageError."""
    key = f"{FOLDER}/{secrets.token_hex(8)}/marker"
    store.put(key, b"put by unfreeze cluster doctor")
    return key


def probe(
    store: ObjectStore, *, num_bytes: int = PROBE_BYTES, marker_key: str | None = None
) -> StoreProbe:
    """Puts and gets so many bytes, tries a conditional put, compares clocks, looks for a marker.

    An error of the store is told, not raised. The store's clock is that of its listings, which in
    S3 is that of its Date header, too.
    """
    place = f"{FOLDER}/{secrets.token_hex(8)}"
    own = {name: f"{place}/{name}" for name in ("object", "condition", "clock")}
    data = os.urandom(num_bytes)
    steps: dict[str, Callable[[], dict[str, Any]]] = {
        "put": lambda: _timed("put", num_bytes, lambda: store.put(own["object"], data)),
        "get": lambda: _timed("get", num_bytes, lambda: _get(store, own["object"], data)),
        "condition": lambda: {"is_conditional": _is_conditional(store, own["condition"])},
        "list": lambda: _clock(store, own["clock"]),
        "marker": lambda: {"sees_marker": _exists(store, marker_key) if marker_key else None},
    }
    found: dict[str, Any] = {}
    for step, attempt in steps.items():
        try:
            found |= attempt()
        except StorageError as error:
            found |= _failure(step, error, place)
            break
    try:
        store.delete(own.values())
    except StorageError as error:
        found = _failure("delete", error, place) | found
    return StoreProbe(**found)


def _failure(step: str, error: StorageError, place: str) -> dict[str, str]:
    """The error without the random part of the key, so that machines that met the same one say
    the same."""
    return {"failed": step, "problem": str(error).replace(place, FOLDER)}


def _timed(what: str, num_bytes: int, call: Callable[[], None]) -> dict[str, float]:
    began = time.perf_counter()
    call()
    return {f"{what}_bytes_per_s": num_bytes / (time.perf_counter() - began)}


def _get(store: ObjectStore, key: str, data: bytes) -> None:
    if store.get(key) != data:
        raise CorruptObject(f"{store.uri}/{key}: other bytes came back than were put")


def _is_conditional(store: ObjectStore, key: str) -> bool:
    store.put(key, b"first", if_absent=True)
    try:
        store.put(key, b"second", if_absent=True)
    except ObjectExists:
        return True
    return False


def _clock(store: ObjectStore, key: str) -> dict[str, Any]:
    """How far ahead the store's clock is, from when it says that an object was put."""
    before = time.time()
    store.put(key, b"")
    after = time.time()
    info = next(store.list(key), None)
    if info is None:
        raise CorruptObject(f"{store.uri}/{key}: it was put, and is not in the listing")
    # S3 cuts the time to seconds, so half a second more is the better guess.
    cut_s = 0.0 if info.modified.microsecond else 0.5
    ahead = info.modified.timestamp() + cut_s - (before + after) / 2
    return {"clock_ahead_s": ahead, "clock_error_s": cut_s + (after - before) / 2}


def _exists(store: ObjectStore, key: str) -> bool:
    try:
        store.get(key)
    except ObjectNotFound:
        return False
    return True
