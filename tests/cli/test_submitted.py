"""What runs on the cluster beside a verb: its log is in the store, its exit code is passed on."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from unfreeze.storage import open_store
from unfreeze.storage.log_chunks import read_log

pytestmark = pytest.mark.slow

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Runs a job file as the Jobs API would; the verb finds what is wrong with it, and ends."""

    def call(**settings: Any) -> subprocess.Popen[str]:
        job = {
            "name": "x",
            "model": {"path": "./gone"},
            "task": "text-classification",
            "data": {"train": "gone.csv"},
            "storage": {"uri": str(tmp_path / "runs")},
        }
        (tmp_path / "job.yaml").write_text(yaml.safe_dump(job | settings))
        return subprocess.Popen(
            [sys.executable, "-m", "unfreeze.cli.submitted", "job.yaml", "x-1-1"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return call


def test_the_log_is_in_the_store_and_the_exit_code_is_the_verbs(
    start: Start, tmp_path: Path
) -> None:
    out, _ = (running := start()).communicate(timeout=120)
    assert running.returncode == 2
    assert "error: model: ./gone: no such folder" in out
    log = read_log(open_store(str(tmp_path / "runs")).under("x/logs/x-1-1"))
    assert log.decode() == out


def test_a_store_that_cannot_be_written_to_changes_nothing_but_is_said(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    out, _ = (running := start(storage={"uri": str(tmp_path / "file")})).communicate(timeout=120)
    assert running.returncode == 2
    assert "the end of this log is not in the store: " in out.splitlines()[-1]


def test_asked_to_end_it_takes_the_verb_along_before_ray_kills_both(start: Start) -> None:
    running = start()
    process = psutil.Process(running.pid)
    while not process.children():
        time.sleep(0.01)
    (verb,) = process.children()
    time.sleep(0.3)
    began = time.monotonic()
    running.send_signal(signal.SIGTERM)
    assert running.wait(10) == 128 + signal.SIGTERM
    assert time.monotonic() - began < 3
    assert not verb.is_running()
