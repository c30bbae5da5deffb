"""What connecting does to this process: the right address and token, and nothing that stays.

Ray is a stand-in here; tests/slow/ has the real one.
"""

import os
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from unfreeze.cluster import (
    AddressInvalid,
    AuthenticationOff,
    ClusterLost,
    ClusterUnreachable,
    connect,
    home_folder,
    worker_settings,
)
from unfreeze.cluster.local.processes import Recorded
from unfreeze.cluster.local.state import LocalCluster, LocalNode, write_state


class Lost(Exception):
    """What Ray raises when a part of it is gone."""


class FakeRay(SimpleNamespace):
    """Notes what it was asked, and in which environment."""

    def __init__(self, failure: Exception | None = None) -> None:
        exceptions = SimpleNamespace(RayError=Lost)
        super().__init__(asked=[], ended=0, environment={}, failure=failure, exceptions=exceptions)

    def init(self, **asked: Any) -> None:
        self.asked.append(asked)
        if folder := asked.get("_temp_dir"):
            assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
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
def local_cluster() -> LocalCluster:
    """Written down as running: its head is this process."""
    here = Recorded(os.getpid(), psutil.Process().create_time())
    head = LocalNode("head", 0, (), here)
    cluster = LocalCluster("127.0.0.1:1", "http://127.0.0.1:2", Path("/tmp/none"), (head,))
    write_state(cluster)
    return cluster


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
    assert not Path(asked["_temp_dir"]).exists(), "it was ours, and it is over"
    port = asked["dashboard_port"]
    assert ray.environment["RAY_API_SERVER_ADDRESS"] == f"http://127.0.0.1:{port}"
    assert worker_settings().items() <= ray.environment.items()


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


def test_the_local_cluster_is_found_by_auto_and_by_either_of_its_addresses(
    ray: FakeRay, local_cluster: LocalCluster
) -> None:
    before = dict(os.environ)
    for address in ("auto", local_cluster.address, local_cluster.dashboard):
        with connect(address):
            assert ray.asked.pop()["address"] == local_cluster.address
            assert os.environ["RAY_API_SERVER_ADDRESS"] == local_cluster.dashboard
        assert dict(os.environ) == before


def test_auto_is_rays_own_where_the_environment_names_a_cluster(
    ray: FakeRay, local_cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with connect("auto"):
        assert ray.asked[0]["address"] == "auto"
    assert "RAY_API_SERVER_ADDRESS" not in os.environ


def test_auto_is_rays_own_where_no_local_cluster_runs(ray: FakeRay) -> None:
    dead = LocalNode("head", 0, (), Recorded(os.getpid(), 12345.0))
    write_state(LocalCluster("127.0.0.1:1", "http://127.0.0.1:2", Path("/tmp/none"), (dead,)))
    with connect("auto"):
        assert ray.asked[0]["address"] == "auto"


def test_the_dashboard_of_another_cluster_is_no_address_for_a_driver(ray: FakeRay) -> None:
    with (
        pytest.raises(AddressInvalid, match="is a dashboard, which `unfreeze submit` takes"),
        connect("http://10.0.0.1:8265"),
    ):
        pytest.fail("connected")
    assert not ray.asked


def test_no_ray_is_started_that_asks_for_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    before = dict(os.environ)
    with pytest.raises(AuthenticationOff), connect():
        pytest.fail("connected")
    assert dict(os.environ) == before
    assert "ray" not in sys.modules


def test_home_is_where_the_environment_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home_folder() == home
    monkeypatch.delenv("UNFREEZE_HOME")
    assert home_folder() == Path.home() / ".unfreeze"


def test_ray_is_quiet_unless_somebody_asks_it_to_speak(
    ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect("10.0.0.1:6379"):
        pass
    monkeypatch.setenv("UNFREEZE_VERBOSE", "1")
    with connect("10.0.0.1:6379"):
        pass
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")  # as in what was submitted
    with connect("10.0.0.1:6379"):
        pass
    quiet, spoken, submitted = ray.asked
    assert (quiet["log_to_driver"], quiet["logging_level"]) == (False, "CRITICAL")
    assert "runtime_env" not in quiet
    assert (spoken["log_to_driver"], spoken["logging_level"]) == (True, "INFO")
    assert spoken["runtime_env"] == {"env_vars": worker_settings(verbose=True)}
    assert submitted["log_to_driver"]
    assert "runtime_env" not in submitted
