"""A log that grows, in a store that knows only whole objects: numbered chunks, never rewritten."""

import threading
from collections.abc import Callable
from pathlib import PurePosixPath

from unfreeze.storage.errors import ObjectExists, StorageError
from unfreeze.storage.store import ObjectInfo, ObjectStore

LOGS = "logs"
"""Where a run keeps its logs, each under a name of its own."""

EVERY_S = 5.0
"""What a machine that dies takes with it is at most this much of the log."""


class LogWriter:
    """Writes what it is given to a store, a chunk every few seconds, from a thread of its own.

    A store that is away holds nobody up: the text waits, and goes into the next chunk.
    """

    def __init__(self, open_log: Callable[[], ObjectStore], *, every_s: float = EVERY_S) -> None:
        """`open_log` gives the part of a store that is this log's own; called in the thread."""
        self._open_log, self._every_s = open_log, every_s
        self._store: ObjectStore | None = None
        self._number = 0
        self._pending = bytearray()
        self._closing = False
        self._changed = threading.Condition()
        self.failure: str | None = None
        """Why the last attempt to write failed; None if it did not."""
        self._thread = threading.Thread(target=self._write_chunks, name="log", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Takes the data, and returns at once."""
        with self._changed:
            self._pending += data

    def close(self, patience_s: float) -> bool:
        """Writes the last chunk; whether the store has the whole log now."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(patience_s)
        return not self._thread.is_alive() and not self._pending

    def _write_chunks(self) -> None:
        closing = False
        while not closing:
            with self._changed:
                self._changed.wait_for(lambda: self._closing, self._every_s)
                data, closing = bytes(self._pending), self._closing
            if data and self._put(data):
                with self._changed:
                    del self._pending[: len(data)]

    def _put(self, data: bytes) -> bool:
        try:
            if self._store is None:
                store = self._open_log()
                # An earlier life of the cluster may have used the same name.
                self._number = max(map(_number, store.list()), default=-1) + 1
                self._store = store
            self._store.put(f"{self._number:05d}.log", data, if_absent=True)
        except ObjectExists:
            self._number += 1
            return self._put(data)
        except StorageError as error:
            self.failure = str(error)
            return False
        self._number += 1
        self.failure = None
        return True


def read_log(log: ObjectStore) -> bytes:
    """The whole log in this part of a store; empty if there is none."""
    return b"".join(log.get(info.key) for info in sorted(log.list(), key=_number))


def logs_in(logs: ObjectStore) -> list[str]:
    """Names of the logs below this part of a store, the one that grew last at the end."""
    grown = sorted(logs.list(), key=lambda info: info.modified)
    names = [PurePosixPath(info.key).parts[0] for info in grown if "/" in info.key]
    return sorted(set(names), key=lambda name: len(names) - names[::-1].index(name))


def _number(chunk: ObjectInfo) -> int:
    return int(PurePosixPath(chunk.key).stem)
