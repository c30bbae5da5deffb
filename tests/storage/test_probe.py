"""Trying a store: on each kind, and on stores that misbehave."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from unfreeze.storage import (
    BucketNotFound,
    FolderStore,
    ObjectInfo,
    ObjectStore,
    RetryPolicy,
    StoreRefused,
    StoreUnavailable,
    open_store,
)
from unfreeze.storage.probe import FOLDER, probe, put_marker
from unfreeze.storage.s3 import S3Client, S3Store

SMALL = 64 * 1024


@dataclass
class Changed:
    """A store that is as `inner`, but for the methods that are given."""

    inner: ObjectStore
    methods: dict[str, Callable[..., Any]]

    def under(self, prefix: str) -> "Changed":
        return Changed(self.inner.under(prefix), self.methods)

    def __getattr__(self, name: str) -> Any:
        if name not in self.methods:
            return getattr(self.inner, name)
        return lambda *given, **named: self.methods[name](self.inner, *given, **named)


def keys(store: ObjectStore) -> list[str]:
    return [info.key for info in store.list()]


def test_a_sound_store_passes_and_is_left_as_it_was(store: ObjectStore) -> None:
    marker = put_marker(store)
    found = probe(store, num_bytes=SMALL, marker_key=marker)
    assert found.failed is None
    assert found.problem is None
    assert found.is_conditional is True
    assert found.sees_marker is True
    assert found.put_bytes_per_s is not None
    assert found.put_bytes_per_s > 0
    assert found.get_bytes_per_s is not None
    assert found.get_bytes_per_s > 0
    assert keys(store) == [marker]
    assert marker.startswith(f"{FOLDER}/")


def test_nothing_is_left_in_a_folder_not_even_folders(folder_store: FolderStore) -> None:
    key = put_marker(folder_store)
    probe(folder_store, num_bytes=SMALL, marker_key=key)
    folder_store.delete([key])
    assert list(folder_store.root.iterdir()) == []


def test_machines_that_meet_the_same_error_say_the_same(folder_store: FolderStore) -> None:
    def fail(inner: ObjectStore, key: str, data: bytes | Path, if_absent: bool = False) -> None:
        raise StoreUnavailable(f"{inner.uri}/{key}: away")

    away = Changed(folder_store, {"put": fail})
    assert probe(away) == probe(away)
    assert probe(away).problem == f"{folder_store.uri}/{FOLDER}/object: away"


def test_the_store_on_this_machine_has_this_machines_clock(store: ObjectStore) -> None:
    found = probe(store, num_bytes=SMALL)
    assert found.clock_ahead_s is not None
    # A file system's clock ticks up to 10 ms late.
    assert abs(found.clock_ahead_s) <= found.clock_error_s + 0.02
    assert found.clock_error_s < 5


def test_a_marker_that_is_not_there_is_not_seen_and_none_is_not_looked_for(
    store: ObjectStore,
) -> None:
    assert probe(store, num_bytes=SMALL, marker_key=f"{FOLDER}/0/marker").sees_marker is False
    assert probe(store, num_bytes=SMALL).sees_marker is None


def test_a_store_that_ignores_the_condition_is_found_out(store: ObjectStore) -> None:
    def put(inner: ObjectStore, key: str, data: bytes | Path, if_absent: bool = False) -> None:
        inner.put(key, data)

    found = probe(Changed(store, {"put": put}), num_bytes=SMALL)
    assert found.is_conditional is False
    assert found.failed is None
    assert keys(store) == []


def test_a_store_whose_clock_is_off_is_found_out(store: ObjectStore) -> None:
    def late(inner: ObjectStore, prefix: str = "") -> Iterable[ObjectInfo]:
        for info in inner.list(prefix):
            yield ObjectInfo(info.key, info.size_bytes, info.modified + timedelta(seconds=90))

    found = probe(Changed(store, {"list": late}), num_bytes=SMALL)
    assert found.clock_ahead_s is not None
    assert abs(found.clock_ahead_s - 90) <= found.clock_error_s + 0.02


def test_a_store_that_gives_other_bytes_is_found_out(folder_store: FolderStore) -> None:
    flipped = Changed(folder_store, {"get": lambda inner, key: inner.get(key)[::-1]})
    found = probe(flipped, num_bytes=SMALL)
    assert found.failed == "get"
    assert found.problem is not None
    assert "other bytes came back than were put" in found.problem
    assert found.put_bytes_per_s is not None
    assert found.get_bytes_per_s is None


def test_a_store_that_lets_nothing_be_deleted_is_found_out(folder_store: FolderStore) -> None:
    def delete(inner: ObjectStore, names: Iterable[str]) -> None:
        raise StoreRefused("no")

    found = probe(Changed(folder_store, {"delete": delete}), num_bytes=SMALL)
    assert (found.failed, found.problem) == ("delete", "no")
    assert found.is_conditional is True


def test_the_first_failure_is_the_one_that_is_told(folder_store: FolderStore) -> None:
    def fail(*given: Any, **named: Any) -> None:
        raise StoreUnavailable("away")

    found = probe(Changed(folder_store, {"put": fail, "delete": fail}), num_bytes=SMALL)
    assert (found.failed, found.problem) == ("put", "away")


def test_an_endpoint_where_nothing_listens_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "knows-this-one")
    policy = RetryPolicy(attempts=1)
    found = probe(open_store("s3://bucket", endpoint="http://127.0.0.1:9", policy=policy))
    assert found.failed == "put"
    assert found.problem is not None
    assert "no usable answer" in found.problem
    assert "knows-this-one" not in found.problem


def test_a_missing_bucket_is_told(s3_client: S3Client) -> None:
    store = S3Store("no-such-bucket-here", client=s3_client)
    with pytest.raises(BucketNotFound):
        store.get("key")
    found = probe(store, num_bytes=SMALL)
    assert found.failed in ("put", "get")
