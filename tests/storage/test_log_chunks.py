"""Logs in a store: whole, in order, and kept whatever the store does meanwhile."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from unfreeze.storage import FolderStore, ObjectStore, StoreUnavailable
from unfreeze.storage.log_chunks import LogWriter, logs_in, read_log


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_log_grows_by_chunks_and_is_read_whole(store: ObjectStore) -> None:
    writer = LogWriter(lambda: store, every_s=0.05)
    writer.write(b"one\n")
    wait_until(lambda: read_log(store) == b"one\n")
    writer.write(b"two\n")
    writer.write(b"three\n")
    assert writer.close(10)
    assert read_log(store) == b"one\ntwo\nthree\n"
    assert {"00000.log"} < {info.key for info in store.list()}


def test_nothing_is_written_when_there_is_nothing_to_say(folder_store: FolderStore) -> None:
    writer = LogWriter(lambda: folder_store, every_s=0.01)
    time.sleep(0.05)
    assert writer.close(10)
    assert list(folder_store.list()) == []
    assert read_log(folder_store) == b""


def test_a_log_of_an_earlier_life_is_gone_on_with(folder_store: FolderStore) -> None:
    for text in (b"before\n", b"after\n"):
        writer = LogWriter(lambda: folder_store)
        writer.write(text)
        assert writer.close(10)
    assert read_log(folder_store) == b"before\nafter\n"
    assert folder_store.get("00000.log") == b"before\n"


def test_chunks_stand_in_the_order_of_their_numbers(folder_store: FolderStore) -> None:
    for number in (100000, 99999, 7):
        folder_store.put(f"{number:05d}.log", f"{number} ".encode())
    assert read_log(folder_store) == b"7 99999 100000 "


class Away(FolderStore):
    """A store that is away for a while."""

    away = True

    def put(self, key: str, data: bytes | Path, *, if_absent: bool = False) -> None:
        if self.away:
            raise StoreUnavailable("away")
        super().put(key, data, if_absent=if_absent)


def test_a_store_that_is_away_gets_everything_when_it_is_back(tmp_path: Path) -> None:
    store = Away(tmp_path)
    writer = LogWriter(lambda: store, every_s=0.01)
    writer.write(b"early ")
    wait_until(lambda: writer.failure == "away")
    writer.write(b"late")
    store.away = False
    assert writer.close(10)
    assert read_log(store) == b"early late"
    assert writer.failure is None


def test_what_could_not_be_written_is_said(tmp_path: Path) -> None:
    writer = LogWriter(lambda: Away(tmp_path), every_s=0.01)
    writer.write(b"lost")
    assert not writer.close(10)
    assert writer.failure == "away"


@pytest.mark.parametrize("order", [["a", "b"], ["b", "a"]])
def test_logs_are_named_with_the_one_that_grew_last_at_the_end(
    folder_store: FolderStore, order: list[str]
) -> None:
    for name in ("a", "b", *order):
        log = folder_store.under(name)
        log.put(f"{sum(1 for _ in log.list()):05d}.log", b"x")
        time.sleep(0.02)  # the file system's clock ticks
    assert logs_in(folder_store) == order
    assert logs_in(folder_store.under("none")) == []
