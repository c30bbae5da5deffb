"""A store that fails now and then, on a real socket: boto3 sees what a bad day looks like."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flaky_proxy import Proxy, running_proxy

from unfreeze.storage import (
    FolderStore,
    ObjectExists,
    ObjectInfo,
    RetryingStore,
    RetryPolicy,
    StorageError,
    StoreUnavailable,
    check_reachable,
)
from unfreeze.storage.embedded import EmbeddedServer
from unfreeze.storage.s3 import S3Client, S3Store


@pytest.fixture(scope="module")
def relay(server: EmbeddedServer) -> Iterator[Proxy]:
    with running_proxy(server.endpoint) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def relayed(relay: Proxy, server: EmbeddedServer) -> S3Client:
    return S3Client(relay.endpoint, server.keys_file)


@pytest.fixture
def proxy(relay: Proxy) -> Proxy:
    relay.fail("503", 0)
    return relay


@pytest.fixture
def bare(proxy: Proxy, relayed: S3Client, s3_store: S3Store) -> S3Store:
    """The S3 store behind the proxy, without retries."""
    return S3Store(s3_store.bucket, s3_store.prefix.rstrip("/"), client=relayed)


@pytest.fixture
def patient(bare: S3Store) -> RetryingStore:
    return RetryingStore(bare, policy=RetryPolicy(first_wait_s=0.01))


WAYS = ["500", "502", "503", "504", "429", "dropped", "lost answer"]


@pytest.mark.parametrize("way", WAYS)
def test_one_failure_is_seen_as_unavailable_after_one_request(
    way: str, bare: S3Store, proxy: Proxy
) -> None:
    proxy.fail(way, 1)
    with pytest.raises(StoreUnavailable):
        bare.put("key", b"x")
    assert proxy.seen == 1  # boto3 must not retry beside us


@pytest.mark.parametrize("way", WAYS)
def test_three_failures_in_a_row_heal(way: str, patient: RetryingStore, proxy: Proxy) -> None:
    proxy.fail(way, 3)
    patient.put("key", b"value")
    assert proxy.seen == 4
    proxy.fail(way, 3)
    assert patient.get("key") == b"value"
    proxy.fail(way, 3)
    assert [info.key for info in patient.list()] == ["key"]
    proxy.fail(way, 3)
    patient.delete(iter(["key"]))
    assert [*patient.list()] == []


def test_half_an_answer_heals(patient: RetryingStore, proxy: Proxy, tmp_path: Path) -> None:
    patient.put("key", b"0123456789" * 10_000)
    proxy.fail("half an answer", 2)
    assert patient.get("key") == b"0123456789" * 10_000
    proxy.fail("half an answer", 2)
    patient.fetch("key", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"0123456789" * 10_000
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_it_gives_up_at_last(patient: RetryingStore, proxy: Proxy) -> None:
    proxy.fail("503", 99)
    with pytest.raises(StoreUnavailable, match="SlowDown"):
        patient.get("key")
    assert proxy.seen == 6


@pytest.mark.parametrize("as_file", [False, True])
def test_a_conditional_put_whose_answer_was_lost_is_a_success(
    as_file: bool, patient: RetryingStore, proxy: Proxy, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    proxy.fail("lost answer", 2)
    patient.put("key", tmp_path / "file" if as_file else b"mine", if_absent=True)
    assert patient.get("key") == b"mine"


def test_a_conditional_put_that_lost_to_another_is_no_success(
    patient: RetryingStore, proxy: Proxy
) -> None:
    patient.put("key", b"theirs")
    proxy.fail("503", 1)
    with pytest.raises(ObjectExists):
        patient.put("key", b"mine", if_absent=True)
    proxy.fail("503", 0)
    with pytest.raises(ObjectExists):  # no failure before: equal bytes are no excuse
        patient.put("key", b"theirs", if_absent=True)


def test_reachability_is_decided_by_two_requests(patient: RetryingStore, proxy: Proxy) -> None:
    proxy.fail("503", 99)
    with pytest.raises(StoreUnavailable):
        check_reachable(patient)
    assert proxy.seen == 2


def test_nobody_listening_is_unavailable(server: EmbeddedServer) -> None:
    client = S3Client("http://127.0.0.1:9", server.keys_file)
    with pytest.raises(StoreUnavailable, match="check the endpoint and the network"):
        check_reachable(RetryingStore(S3Store("tests", client=client)))


class Flaky(FolderStore):
    """Fails each call once."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.failed: set[str] = set()

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        yield next(super().list(prefix))
        if prefix not in self.failed:
            self.failed.add(prefix)
            raise StoreUnavailable("went away in the middle of a listing")
        yield from [*super().list(prefix)][1:]


def test_a_listing_that_breaks_in_the_middle_is_taken_again_whole(tmp_path: Path) -> None:
    store = RetryingStore(Flaky(tmp_path), sleep=lambda _: None)
    for key in ["a", "b", "c"]:
        store.put(key, b"")
    assert sorted(info.key for info in store.list()) == ["a", "b", "c"]


def test_every_error_of_a_store_is_ours(bare: S3Store, proxy: Proxy) -> None:
    proxy.fail("418", 1)
    with pytest.raises(StorageError, match="SlowDown"):
        bare.get("key")
