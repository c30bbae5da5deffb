"""Any store, with patience: the wrapper that every store from `open_store` comes in."""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from unfreeze.storage.errors import ObjectExists, StoreUnavailable
from unfreeze.storage.retry import DEFAULT_POLICY, RetryPolicy, retry
from unfreeze.storage.store import ObjectInfo, ObjectStore

QUICK = RetryPolicy(attempts=2)


class RetryingStore:
    """Repeats each call of `inner` that ends in StoreUnavailable, as `policy` says."""

    def __init__(
        self,
        inner: ObjectStore,
        *,
        policy: RetryPolicy = DEFAULT_POLICY,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.inner = inner
        self._policy = policy
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"RetryingStore({self.inner!r})"

    @property
    def uri(self) -> str:
        return self.inner.uri

    def put(self, key: str, data: bytes | Path, *, if_absent: bool = False) -> None:
        """As the seam says; an attempt that arrived though its answer was lost is a success."""
        answer_lost = False

        def attempt() -> None:
            nonlocal answer_lost
            try:
                self.inner.put(key, data, if_absent=if_absent)
            except StoreUnavailable:
                answer_lost = True
                raise
            except ObjectExists:
                # The object may be our own earlier attempt. If another writer put the same bytes,
                # what the caller wanted is true as well.
                if not answer_lost or self.inner.get(key) != _bytes_of(data):
                    raise

        retry(attempt, policy=self._policy, sleep=self._sleep)

    def get(self, key: str) -> bytes:
        return retry(lambda: self.inner.get(key), policy=self._policy, sleep=self._sleep)

    def fetch(self, key: str, file: Path) -> None:
        retry(lambda: self.inner.fetch(key, file), policy=self._policy, sleep=self._sleep)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        # Whole listings, not pages, are repeated: a half-yielded one could not be started again.
        infos = retry(lambda: [*self.inner.list(prefix)], policy=self._policy, sleep=self._sleep)
        return iter(infos)

    def delete(self, keys: Iterable[str]) -> None:
        names = [*keys]  # an iterator would be empty at the second attempt
        retry(lambda: self.inner.delete(names), policy=self._policy, sleep=self._sleep)

    def under(self, prefix: str) -> "RetryingStore":
        return RetryingStore(self.inner.under(prefix), policy=self._policy, sleep=self._sleep)


def check_reachable(store: ObjectStore) -> None:
    """Ask the store for one page of names, at most twice, so that a wrong address fails soon.

    Raises StoreUnavailable, StoreRefused or BucketNotFound.
    """
    impatient = store.inner if isinstance(store, RetryingStore) else store
    retry(lambda: next(impatient.list(), None), policy=QUICK)


def _bytes_of(data: bytes | Path) -> bytes:
    return data if isinstance(data, bytes) else data.read_bytes()


_proof: type[ObjectStore] = RetryingStore  # mypy: it has all that an ObjectStore must have
