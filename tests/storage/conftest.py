"""One embedded server for all storage tests, started by two processes at once."""

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from unfreeze.storage import FolderStore, ObjectStore, embedded
from unfreeze.storage.s3 import S3Client, S3Store

START = "from unfreeze.storage import embedded; print(embedded.up().pid)"


@pytest.fixture(scope="session")
def starter_pids(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[int]]:
    """The server's pid as each of its two starters saw it; both have ended since."""
    home = tmp_path_factory.mktemp("unfreeze-home")
    environment = os.environ | {"UNFREEZE_HOME": str(home)}
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", START], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNFREEZE_HOME", str(home))
        try:
            yield [int(starter.communicate(timeout=60)[0]) for starter in starters]
        finally:
            embedded.down()


@pytest.fixture(scope="session")
def server(starter_pids: list[int]) -> embedded.EmbeddedServer:
    return embedded.up()


@pytest.fixture(scope="session")
def s3_client(server: embedded.EmbeddedServer) -> S3Client:
    client = S3Client(server.endpoint, server.keys_file)
    S3Store("tests", client=client).make_bucket()
    return client


@pytest.fixture(autouse=True)
def no_keys_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests must not find the keys of whoever runs them, nor ask for an instance role."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session")
def prefixes() -> Iterator[str]:
    """Making a bucket takes half a second, so tests share one and get a prefix each."""
    return (f"test-{number}" for number in count())


@pytest.fixture
def s3_store(s3_client: S3Client, prefixes: Iterator[str]) -> S3Store:
    return S3Store("tests", next(prefixes), client=s3_client)


@pytest.fixture
def folder_store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    """Every store must pass every test that asks for this fixture."""
    found: ObjectStore = request.getfixturevalue(f"{request.param}_store")
    return found
