"""A clean environment, and worker processes that all tests share."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray_cluster import Node, ray_head
from worker_pool import WorkerPool

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Ray reads these when it is imported, which some test files do when they are collected.
os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keys, servers and caches of the tests are their own."""
    folder = tmp_path_factory.mktemp("home")
    before = dict(os.environ)
    os.environ["UNFREEZE_HOME"] = str(folder / "home")
    os.environ["UNFREEZE_CACHE"] = str(folder / "cache")
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def one_worker() -> Iterator[WorkerPool]:
    pool = WorkerPool(1)
    yield pool
    pool.close()


@pytest.fixture(scope="session")
def two_workers() -> Iterator[WorkerPool]:
    pool = WorkerPool(2)
    yield pool
    pool.close()


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny model and its data; see tiny.settings."""
    return tmp_path_factory.mktemp("inputs")


@pytest.fixture(scope="session")
def ray_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, str]]:
    """One Ray for all tests that need one, with room for two workers, and its address."""
    with ray_head(tmp_path_factory.mktemp("ray"), num_cpus=2) as node:
        yield node


@pytest.fixture(scope="session")
def ray_address(ray_node: tuple[Node, str]) -> str:
    """The address of the tests' Ray."""
    return ray_node[1]
