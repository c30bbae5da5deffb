"""Stores that cannot be used: said soon, on one line, and nothing is started or made there."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from refusals import Run, check_lines, in_one_worker

from unfreeze.storage import embedded
from unfreeze.storage.s3 import S3Client

pytestmark = pytest.mark.usefixtures("nothing_is_started", "no_keys_of_the_developer")

SOON_S = 8.0
"""Two attempts at a store that refuses connections, on a busy machine."""


def test_a_store_that_is_a_file_is_refused(
    run: Run, job: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("not a folder")
    code, lines = run("train", job(**in_one_worker(storage=str(tmp_path / "taken"))))
    check_lines(lines, "taken")
    assert code in (1, 2)
    assert (tmp_path / "taken").read_text() == "not a folder"


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def s3(url: str, bucket: str = "runs") -> dict[str, Any]:
    return in_one_worker(storage={"uri": f"s3://{bucket}", "endpoint": url})


def test_a_store_that_cannot_be_reached_is_said_soon_with_exit_code_1(
    run: Run, job: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    run("plan", job(modle=1))  # not to time the imports
    url = f"http://127.0.0.1:{closed_port()}"
    began = time.monotonic()
    code, lines = run("train", job(**s3(url)))
    assert time.monotonic() - began < SOON_S
    check_lines(lines, f"s3://runs: no usable answer .*{url}.*check the endpoint and the network")
    assert code == 1


def test_a_store_without_any_keys_is_said_with_exit_code_1(
    run: Run, job: Callable[..., str]
) -> None:
    code, lines = run("train", job(**s3(f"http://127.0.0.1:{closed_port()}")))
    check_lines(lines, "s3://runs: no usable keys .*; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS")
    assert code == 1


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.EmbeddedServer]:
    """A server of these tests alone, with no buckets; used by its url like any other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNFREEZE_HOME", str(tmp_path_factory.mktemp("own-home")))
        try:
            yield embedded.up()
        finally:
            embedded.down()


@pytest.fixture
def buckets(server: embedded.EmbeddedServer) -> Iterator[None]:
    """There are none, and none are made."""
    client = S3Client(server.endpoint, server.keys_file)
    assert client.bucket_names() == []
    yield
    assert client.bucket_names() == []


@pytest.mark.usefixtures("buckets")
@pytest.mark.parametrize("verb", [["train"], ["show"], ["checkpoints", "list"]])
def test_a_bucket_that_does_not_exist_is_the_users_to_make(
    run: Run,
    job: Callable[..., str],
    server: embedded.EmbeddedServer,
    monkeypatch: pytest.MonkeyPatch,
    verb: list[str],
) -> None:
    keys = embedded.credentials()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_key)
    code, lines = run(*verb, job(**s3(server.endpoint, "nothing-here")))
    check_lines(lines, "s3://nothing-here.*: there is no such bucket; create it or check its name")
    assert code == 2
    assert not any(keys.secret_key in line for line in lines)


@pytest.mark.usefixtures("buckets")
@pytest.mark.parametrize("wrong", ["access key", "secret"])
def test_a_store_that_refuses_the_keys_is_said_with_exit_code_1(
    run: Run,
    job: Callable[..., str],
    server: embedded.EmbeddedServer,
    monkeypatch: pytest.MonkeyPatch,
    wrong: str,
) -> None:
    keys = embedded.credentials()
    access_key = "NOBODY" if wrong == "access key" else keys.access_key
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "guessed")
    code, lines = run("train", job(**s3(server.endpoint)))
    check_lines(lines, "s3://runs: .*; check the keys, what they may do, and this machine's clock")
    assert code == 1


def test_a_mistake_in_the_job_file_is_told_before_a_server_is_started(
    run: Run,
    job: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UNFREEZE_HOME", str(tmp_path / "home"))
    file = job(phases=[{"train": "haed"}], storage={"uri": "s3://runs", "endpoint": "embedded"})
    code, lines = run("train", file)
    check_lines(lines, "'haed' matches no block")
    assert code == 2
    assert not (tmp_path / "home").exists()
