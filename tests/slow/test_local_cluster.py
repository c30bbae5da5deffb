"""`unfreeze cluster up`, `status` and `down` with a real Ray, from processes of their own.

The tests share one cluster, and are run in this order.
"""

import json
import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import tiny
import yaml
from local_cluster import Shell, local_cluster

from unfreeze.cluster.dashboard import status_of
from unfreeze.cluster.security import check_dashboard

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("local-cluster")


@pytest.fixture(scope="module")
def shell(home: Path) -> Shell:
    return Shell(home)


@pytest.fixture(scope="module")
def said(shell: Shell) -> Iterator[str]:
    """What `up` said."""
    with local_cluster(shell, "--workers", "2", "--cpus-per-node", "1") as said:
        yield said


@pytest.fixture
def state(said: str, home: Path) -> dict[str, Any]:
    """What is written down of the cluster now."""
    found: dict[str, Any] = json.loads((home / "unfreeze" / "cluster.json").read_text())
    return found


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def pids(state: dict[str, Any]) -> set[int]:
    nodes = state["nodes"]
    return {each["pid"] for node in nodes for each in (node["main"], *node["members"])}


def status(shell: Shell) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shell.run("cluster", "status", "--json"))
    return found


def states(shell: Shell) -> dict[str, str]:
    return {node["name"]: node["state"] for node in status(shell)["nodes"]}


def test_up_says_where_it_is_and_what_to_do_next(said: str, state: dict[str, Any]) -> None:
    assert said.startswith("up: a head and 2 worker(s), on this machine only\n")
    assert f"  unfreeze train job.yaml --address {state['address']}\n" in said
    assert f"  unfreeze submit job.yaml --address {state['dashboard']}\n" in said
    assert "  unfreeze cluster down\n" in said


def test_only_we_can_read_what_is_kept(home: Path, state: dict[str, Any]) -> None:
    assert mode(home / "unfreeze" / "ray-token") == 0o600
    assert mode(home / "unfreeze" / "cluster.json") == 0o600
    assert mode(Path(state["folder"])) == 0o700


def test_the_dashboard_lets_nobody_in_without_the_token(state: dict[str, Any]) -> None:
    jobs = f"{state['dashboard']}/api/jobs/"
    assert status_of(jobs) == 401
    assert status_of(jobs, token="another") == 403
    assert check_dashboard(state["dashboard"]) is None


def test_nothing_of_it_is_reached_from_elsewhere(state: dict[str, Any]) -> None:
    listening = {
        (connection.laddr.ip.removeprefix("::ffff:"), connection.laddr.port)
        for pid in pids(state)
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert len(listening) > 10
    assert {address for address, _ in listening} == {"127.0.0.1"}


def test_status_shows_all_nodes(shell: Shell, state: dict[str, Any]) -> None:
    found = status(shell)
    assert found["nodes"][0]["name"] == "head"
    assert states(shell) == {"head": "alive", "worker-1": "alive", "worker-2": "alive"}
    assert [node["cpus"]["total"] for node in found["nodes"]] == [0, 1, 1]
    assert (found["free_cpus"], found["free_gpus"]) == (2, 0)
    assert found["jobs"] == {"ours": [], "others": 0}
    table = shell.run("cluster", "status", "--address", state["address"]).splitlines()
    assert table[0] == f"dashboard {state['dashboard']}"
    assert table[1].split()[:5] == ["node", "address", "role", "CPUs", "GPUs"]
    assert table[2].split()[:5] == ["head", "127.0.0.1", "head", "0/0", "0/0"]
    assert [line.split()[0] for line in table[2:5]] == ["head", "worker-2", "worker-1"]
    assert table[5:] == ["free: 2 CPUs, 0 GPUs", "no jobs run"]


def test_up_again_changes_nothing(shell: Shell, state: dict[str, Any], home: Path) -> None:
    said = shell.run("cluster", "up", "--workers", "2")
    assert said.startswith("it is up already: a head and 2 worker(s)")
    assert json.loads((home / "unfreeze" / "cluster.json").read_text()) == state
    said = shell.run("cluster", "up", "--workers", "1")
    assert "it has 2 workers, not 1; to change that, first run `unfreeze cluster down`" in said


def test_a_job_that_is_sent_to_it_runs_on_both_workers(
    shell: Shell, state: dict[str, Any], inputs: Path, tmp_path: Path
) -> None:
    """All its nodes reach the embedded server, and none takes away what another has unpacked."""
    phases = [{"train": "head", "for": "1ep", "learning_rate": 1e-2}]
    storage = {"uri": "s3://here", "endpoint": "embedded"}
    job = tiny.settings(inputs, name="sent", phases=phases, storage=storage)
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    try:
        said = shell.run("submit", str(tmp_path / "job.yaml"), "--follow")
        assert "sent: 2 workers, results in s3://here/sent\n" in said
        result = json.loads(shell.run("show", str(tmp_path / "job.yaml"), "--json"))
        assert result["phases"][0]["steps"] == 11
        log = shell.run("jobs", "logs", str(tmp_path / "job.yaml"))
    finally:
        shell.run("storage", "down")
    assert "sent: 2 workers" in log
    assert "Traceback" not in said


def test_a_killed_worker_is_shown_as_dead_and_up_starts_another(
    shell: Shell, state: dict[str, Any], home: Path
) -> None:
    (worker,) = [node for node in state["nodes"] if node["name"] == "worker-2"]
    os.kill(worker["main"]["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 90
    while states(shell)["worker-2"] != "dead":
        assert time.monotonic() < deadline
    said = shell.run("cluster", "up", "--workers", "2")
    assert "added worker-3" in said
    assert states(shell) == {
        "head": "alive",
        "worker-1": "alive",
        "worker-2": "dead",
        "worker-3": "alive",
    }
    assert not [pid for pid in pids({"nodes": [worker]}) if psutil.pid_exists(pid)]


def test_down_leaves_nothing(shell: Shell, state: dict[str, Any], home: Path) -> None:
    everything = pids(state)
    assert shell.run("cluster", "down") == "ended: head, worker-1, worker-3\n"
    left = [pid for pid in everything if psutil.pid_exists(pid)]
    assert not [pid for pid in left if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]
    assert not (home / "unfreeze" / "cluster.json").exists()
    assert not Path(state["folder"]).exists()
    assert shell.run("cluster", "down").startswith("nothing to end")
    shell.run("cluster", "status", code=1)
    assert shell.errors.startswith("error: no cluster: `unfreeze cluster up` starts one")
