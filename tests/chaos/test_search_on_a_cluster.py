"""A search on a cluster that grows, loses a node, and is lost as a whole."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import searches
import yaml
from ray_cluster import Node, ray_head

pytestmark = [pytest.mark.slow, pytest.mark.chaos]


def start(file: Path, address: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "unfreeze.cli.main", "search", str(file), "--json"]
    return subprocess.Popen(
        [*command, "--address", address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@contextmanager
def ended_after(running: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield running
    finally:
        running.kill()


def wait_until(
    condition: Callable[[], bool], running: subprocess.Popen[str], seconds: float = 120
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_search_outlives_its_nodes_and_its_whole_ray(inputs: Path, tmp_path: Path) -> None:
    uri = str(tmp_path / "runs")
    settings = searches.settings(inputs, uri, checkpoint_every_s=2)
    # Trials of many seconds: a new node has a lane while there is something left to do for it.
    settings["job"]["phases"][1]["for"] = "40ep"
    settings["job"]["training"]["validate_every"] = "10ep"
    file = tmp_path / "search.yaml"
    file.write_text(yaml.safe_dump(settings))

    def ended() -> dict[str, dict[str, Any]]:
        return searches.records(uri)

    with (
        ray_head(tmp_path, 1) as (head, address),
        ended_after(start(file, address)) as running,
    ):
        wait_until(lambda: len(ended()) >= 1, running)
        assert len(head.train_workers()) == 1

        other = Node(tmp_path, f"--address={address}", "--num-cpus=1")
        try:
            wait_until(lambda: len(other.train_workers()) == 1, running)
            seen = len(ended())
            wait_until(lambda: len(ended()) >= seen + 2, running)
        finally:
            other.kill()
        seen = len(ended())
        wait_until(lambda: len(ended()) >= seen + 1, running)
        head.kill()
        before = ended()
        _, errors = running.communicate(timeout=150)
    assert running.returncode == 1, errors
    assert "Traceback" not in errors
    assert len(before) < 12, "nothing was left to do"

    with ray_head(tmp_path, 2) as (_, address):
        out, errors = start(file, address).communicate(timeout=400)
    result = json.loads(out)
    assert {entry["state"] for entry in result["trials"]} == {"finished"}
    assert len(result["trials"]) == 12
    after = ended()
    assert {id: after[id] for id in before} == before, "a finished trial ran again"
