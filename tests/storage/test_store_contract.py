"""What every store must do. `store` is each of them in turn."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from unfreeze.storage import (
    InvalidUri,
    ObjectExists,
    ObjectNotFound,
    ObjectStore,
    RetryingStore,
    check_reachable,
    s3,
)

ODD_KEYS = ["a", "a b+c%20&=?#.txt", "deep/er/file.json", "name with \u00fc", "x.y/z~(1)"]


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return sorted(info.key for info in store.list(prefix))


@pytest.mark.parametrize("key", ODD_KEYS)
def test_what_was_put_can_be_got_and_listed(store: ObjectStore, key: str) -> None:
    store.put(key, b"bytes")
    assert store.get(key) == b"bytes"
    assert keys(store) == [key]


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    store.put("empty", b"")
    assert store.get("empty") == b""
    assert [info.size_bytes for info in store.list()] == [0]


def test_a_second_put_replaces_the_first(store: ObjectStore) -> None:
    store.put("key", b"long old value")
    store.put("key", b"new")
    assert store.get("key") == b"new"


def test_a_file_is_put_and_fetched_by_its_bytes(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(bytes(range(256)) * 1000)
    store.put("file", tmp_path / "in")
    store.fetch("file", tmp_path / "new folder" / "out")
    assert (tmp_path / "new folder" / "out").read_bytes() == (tmp_path / "in").read_bytes()


def test_fetching_replaces_an_older_file(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("old")
    store.put("key", b"new")
    store.fetch("key", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "new"


def test_a_missing_object_is_named_in_the_error(store: ObjectStore) -> None:
    with pytest.raises(ObjectNotFound, match=r"no/such.object"):
        store.get("no/such.object")


def test_a_failed_fetch_leaves_no_file(store: ObjectStore, tmp_path: Path) -> None:
    target = tmp_path / "folder" / "out"
    with pytest.raises(ObjectNotFound):
        store.fetch("missing", target)
    assert not target.exists()
    assert not target.parent.exists() or not any(target.parent.iterdir())


def test_a_conditional_put_never_replaces(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"third")
    store.put("key", b"first", if_absent=True)
    with pytest.raises(ObjectExists):
        store.put("key", b"second", if_absent=True)
    with pytest.raises(ObjectExists):
        store.put("key", tmp_path / "file", if_absent=True)
    assert store.get("key") == b"first"


def test_of_many_conditional_puts_at_once_one_wins(store: ObjectStore) -> None:
    def attempt(number: int) -> bool:
        try:
            store.put("key", b"%d" % number, if_absent=True)
        except ObjectExists:
            return False
        return True

    patient = RetryingStore(store)  # S3 may answer a conflict with "try again"
    store, bare = patient, store
    with ThreadPoolExecutor(8) as pool:
        won = [*pool.map(attempt, range(8))]
    assert sum(won) == 1
    assert bare.get("key") == b"%d" % won.index(True)


def test_a_listing_tells_size_and_age(store: ObjectStore) -> None:
    for key, size in {"b": 2, "a/c": 3, "a-b": 1}.items():
        store.put(key, b"x" * size)
    infos = [*store.list()]
    assert {info.key: info.size_bytes for info in infos} == {"b": 2, "a/c": 3, "a-b": 1}
    for info in infos:
        assert abs(datetime.now(UTC) - info.modified) < timedelta(minutes=1)


def test_a_prefix_is_plain_text(store: ObjectStore) -> None:
    for key in ["run/1", "run/12", "run-2/1", "other"]:
        store.put(key, b"")
    assert keys(store, "run/") == ["run/1", "run/12"]
    assert keys(store, "run/1") == ["run/1", "run/12"]
    assert keys(store, "ru") == ["run-2/1", "run/1", "run/12"]
    assert keys(store, "nothing/") == []


def test_more_names_than_fit_one_answer_are_all_listed_and_all_deleted(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "BATCH_KEYS", 3)
    names = sorted(
        f"{folder}{number}" for folder in ("a/", "a-", "b/c/", "") for number in range(5)
    )
    for name in names:
        store.put(name, b"x")
    assert keys(store) == names
    store.delete(names[1:])
    assert keys(store) == names[:1]


def test_a_listing_of_nothing_is_empty(store: ObjectStore) -> None:
    assert keys(store) == []


def test_deleting_takes_what_is_there_and_ignores_the_rest(store: ObjectStore) -> None:
    for key in ["a/1", "a/2", "b"]:
        store.put(key, b"x")
    store.delete(key for key in ["a/1", "a/2", "never/was", "a"])
    assert keys(store) == ["b"]
    store.delete([])


def test_a_store_under_a_prefix_sees_only_its_own(store: ObjectStore) -> None:
    inner = store.under("run/one")
    inner.put("key", b"inner")
    store.put("run/one-more", b"outer")
    assert keys(inner) == ["key"]
    assert store.get("run/one/key") == b"inner"
    assert inner.under("deeper").uri == f"{store.uri}/run/one/deeper"


@pytest.mark.parametrize(
    "key", ["", "/abs", "../up", "a/../../up", "a//b", "a/", "./a", "a\\b", "a\nb", "\ud800"]
)
def test_a_key_that_could_escape_is_refused_everywhere(
    store: ObjectStore, key: str, tmp_path: Path
) -> None:
    for use in (
        lambda: store.put(key, b""),
        lambda: store.get(key),
        lambda: store.fetch(key, tmp_path / "out"),
        lambda: store.delete([key]),
        lambda: store.under(key),
    ):
        with pytest.raises(InvalidUri, match="use a relative name"):
            use()


def test_a_prefix_that_could_escape_is_refused(store: ObjectStore) -> None:
    with pytest.raises(InvalidUri):
        keys(store, "../")


def test_a_pickled_store_is_the_same_store(store: ObjectStore) -> None:
    store.put("key", b"value")
    assert pickle.loads(pickle.dumps(store)).get("key") == b"value"


def test_many_threads_share_one_store(store: ObjectStore) -> None:
    def put_and_get(number: int) -> bytes:
        store.put(f"key-{number}", b"%d" % number)
        return store.get(f"key-{number}")

    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(put_and_get, range(40))] == [b"%d" % number for number in range(40)]


def test_a_store_that_answers_is_reachable(store: ObjectStore) -> None:
    check_reachable(store)
