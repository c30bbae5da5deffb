"""`unfreeze cluster doctor` on a real Ray: a head and another node, on one host."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from ray_cluster import Node, ray_head

pytestmark = pytest.mark.slow

SECRETS = {"AWS_SECRET_ACCESS_KEY": "planted-secret-key", "AWS_ACCESS_KEY_ID": "planted-key-id"}
OF_THIS_MACHINE = ("another Ray runs on the host", "left of", "are left", "/dev/shm has")
OF_THIS_MACHINE += ("is other code there",)
"""What may be true where the tests run, and is no concern of theirs; the last where somebody edits
the checkout meanwhile."""


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a cluster of two nodes, all with planted secrets in their environment."""
    folder = tmp_path_factory.mktemp("doctor")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        _, address = stack.enter_context(ray_head(folder, num_cpus=1))
        other = Node(folder, f"--address={address}", "--num-cpus=1")
        try:
            _wait_for(other, folder / "ray.log")
            yield address
        finally:
            other.end()


def _wait_for(node: Node, log: Path) -> None:
    deadline = time.monotonic() + 120
    while log.read_text().count("Ray runtime started.") < 2:
        assert time.monotonic() < deadline, "the second node did not start"
        assert not node.has_ended(), log.read_text()
        time.sleep(0.2)


@contextmanager
def other_gcs(session: str) -> Iterator[int]:
    """A process that looks like another cluster's: its pid. It waits for its input to end."""
    line = ["/planted/gcs_server", "-c", "read line", f"--session-name={session}"]
    with subprocess.Popen(line, executable="/bin/sh", stdin=subprocess.PIPE) as process:
        yield process.pid
        assert process.stdin
        process.stdin.close()


def doctor(address: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and what was told."""
    command = [sys.executable, "-m", "unfreeze.cli.main", "cluster", "doctor"]
    command += ["--address", address, "--json", "--quick", *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert answer.returncode in (0, 1), answer.stderr
    for secret in (*SECRETS.values(), os.environ["RAY_AUTH_TOKEN"]):
        assert secret not in answer.stdout + answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return answer.returncode, found


def problems(found: dict[str, Any]) -> list[dict[str, str]]:
    bad = [finding for finding in found["findings"] if finding["severity"] != "ok"]
    return [f for f in bad if not any(known in f["text"] for known in OF_THIS_MACHINE)]


def test_a_sound_cluster_passes_and_another_ray_on_its_host_is_seen(
    two_nodes: str, tmp_path: Path
) -> None:
    with other_gcs("session_planted") as pid:
        code, found = doctor(two_nodes, "--store", str(tmp_path))
    assert problems(found) == []
    assert code == 0
    head, other = found["nodes"]
    assert (head["is_head"], other["is_head"]) == (True, False)
    for node in (head, other):
        assert node["problem"] is None
        assert node["machine"]["versions"] == found["this_machine"]["versions"]
        assert node["machine"]["memory_available_bytes"] > 0
        assert abs(node["clock"]["seconds"]) <= node["clock"]["error_s"] + 0.001
        answer = found["answers"][node["name"]]
        assert answer["failed"] is None
        assert answer["sees_marker"] is True
        assert answer["put_bytes_per_s"] > 0
    (pair,) = found["pairs"]
    assert {pair["first"], pair["second"]} == {head["name"], other["name"]}
    assert pair["bytes_per_s"] > 0
    assert pair["backend"] == "gloo"
    assert len(set(pair["interfaces"])) == 1  # both nodes have the same address
    assert found["dashboard"]["status"] == 401
    assert found["dashboard"]["is_loopback"] is True
    planted = {"name": "gcs_server", "pid": pid, "session": "session_planted"}
    assert planted in head["machine"]["ray_processes"]
    assert planted in other["machine"]["ray_processes"]
    (warning,) = [f for f in found["findings"] if "another Ray runs" in f["text"]]
    assert warning["severity"] == "warning"
    assert warning["subject"] == f"{head['name']}, {other['name']}"
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_no_node_reaches_is_an_error_and_the_exit_code_says_so(two_nodes: str) -> None:
    code, found = doctor(two_nodes, "--store", "s3://runs", "--endpoint", "http://127.0.0.1:9")
    assert code == 1
    (finding,) = problems(found)
    assert finding["severity"] == "error"
    assert finding["subject"] == ", ".join(found["answers"])
    assert len(found["answers"]) == 3
    assert finding["text"].startswith("s3://runs cannot be written: ")
    assert "no usable answer" in finding["text"]
    assert found["summary"].startswith("1 error")
