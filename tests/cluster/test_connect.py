"""What connecting does to this process: a token that only we can read, and nothing that stays.

Ray is a stand-in here; tests/slow/ has the real one.
"""

import os
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from unfreeze.cluster import (
    WORKER_SETTINGS,
    ClusterLost,
    ClusterUnreachable,
    connect,
    home_folder,
)
from unfreeze.cluster.connect import _use_token


class Lost(Exception):
    """What Ray raises when a part of it is gone."""


class FakeRay(SimpleNamespace):
    """Notes what it was asked, and in which environment."""

    def __init__(self, failure: Exception | None = None) -> None:
        exceptions = SimpleNamespace(RayError=Lost)
        super().__init__(asked=[], ended=0, environment={}, failure=failure, exceptions=exceptions)

    def init(self, **asked: Any) -> None:
        self.asked.append(asked)
        self.environment = dict(os.environ)
        if self.failure:
            raise self.failure

    def shutdown(self) -> None:
        self.ended += 1


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)  # type: ignore[arg-type]
    return fake


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNFREEZE_HOME", str(tmp_path / "home"))
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    return tmp_path / "home"


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a program that has not imported it yet; what is set meanwhile is taken back."""
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "taken back at the end of the test")
        monkeypatch.delenv(name)


def test_a_cluster_is_asked_for_by_its_address_and_left_in_the_end(ray: FakeRay) -> None:
    before = dict(os.environ)
    with connect("10.0.0.1:6379"):
        assert ray.asked[0]["address"] == "10.0.0.1:6379"
        assert ray.ended == 0
        assert dict(os.environ) == before
    assert ray.ended == 1


def test_a_ray_of_our_own_is_on_loopback_and_as_large_as_what_we_may_use(ray: FakeRay) -> None:
    with connect():
        (asked,) = ray.asked
    assert asked["address"] == "local"
    assert asked["num_cpus"] == len(os.sched_getaffinity(0))
    assert asked["dashboard_host"] == "127.0.0.1"
    port = asked["dashboard_port"]
    assert ray.environment["RAY_API_SERVER_ADDRESS"] == f"http://127.0.0.1:{port}"
    assert WORKER_SETTINGS.items() <= ray.environment.items()


def test_the_environment_is_as_it_was_after_a_job(ray: FakeRay) -> None:
    before = dict(os.environ)
    with connect():
        os.environ["SET_BY_RAY"] = "1"
        del os.environ["UNFREEZE_HOME"]
    assert dict(os.environ) == before


def test_the_environment_is_as_it_was_after_a_job_that_failed(ray: FakeRay) -> None:
    before = dict(os.environ)
    with pytest.raises(KeyError), connect():
        raise KeyError
    assert dict(os.environ) == before
    assert ray.ended == 1


@pytest.mark.parametrize("failure", [ConnectionError, RuntimeError, ValueError])
@pytest.mark.parametrize("address", ["10.0.0.1:6379", None])
def test_a_cluster_that_does_not_answer_is_named_on_one_line(
    ray: FakeRay, failure: type[Exception], address: str | None
) -> None:
    before = dict(os.environ)
    ray.failure = failure("nobody there\nand a long tail")
    with pytest.raises(ClusterUnreachable) as error, connect(address):
        pytest.fail("connected")
    where = address or "this machine"
    assert str(error.value) == f"no Ray cluster at {where}: nobody there"
    assert dict(os.environ) == before


def test_a_ray_that_goes_away_while_it_is_used_is_said_on_one_line(ray: FakeRay) -> None:
    said = r"^Ray failed: the actor died\. The same command goes on"
    with pytest.raises(ClusterLost, match=said), connect("10.0.0.1:6379"):
        raise Lost("the actor died\nThe actor is dead because its owner has died.")
    assert ray.ended == 1


def test_a_cluster_that_fails_without_a_word_is_unreachable_too(ray: FakeRay) -> None:
    ray.failure = ConnectionError()
    with pytest.raises(ClusterUnreachable), connect("10.0.0.1:6379"):
        pytest.fail("connected")


@pytest.mark.usefixtures("without_ray")
def test_the_token_is_ours_alone_and_stays_the_same(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ray-token"
    umask = os.umask(0)
    try:
        _use_token(path)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    token = path.read_text()
    assert len(token) == 64
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert os.environ["RAY_AUTH_TOKEN_PATH"] == str(path)
    del os.environ["RAY_AUTH_MODE"]
    _use_token(path)
    assert path.read_text() == token


@pytest.mark.usefixtures("without_ray")
def test_two_homes_have_two_tokens(tmp_path: Path) -> None:
    tokens = []
    for name in ("a", "b"):
        _use_token(tmp_path / name)
        tokens.append((tmp_path / name).read_text())
        del os.environ["RAY_AUTH_MODE"]
    assert tokens[0] != tokens[1]


@pytest.mark.usefixtures("without_ray")
def test_a_token_that_the_user_has_set_up_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    _use_token(tmp_path / "ray-token")
    assert not (tmp_path / "ray-token").exists()
    assert os.environ["RAY_AUTH_MODE"] == "disabled"


def test_a_program_that_has_ray_already_keeps_its_settings(ray: FakeRay, tmp_path: Path) -> None:
    _use_token(tmp_path / "ray-token")
    assert not (tmp_path / "ray-token").exists()
    assert "RAY_AUTH_MODE" not in os.environ


def test_home_is_where_the_environment_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home_folder() == home
    monkeypatch.delenv("UNFREEZE_HOME")
    assert home_folder() == Path.home() / ".unfreeze"
