"""The command as people run it: Ctrl-C, the same command again, and once more."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import tiny
import yaml

from unfreeze.storage import embedded

pytestmark = [pytest.mark.slow, pytest.mark.chaos]


def processes_of(marker: str) -> list[psutil.Process]:
    """Running processes that have the marker in their environment, but for the S3 server."""
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.environ().get("UNFREEZE_TEST_MARKER") == marker
                and process.status() != psutil.STATUS_ZOMBIE
                and "weed" not in process.name()
            ):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_an_interrupted_job_ends_cleanly_and_the_same_command_goes_on(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNFREEZE_HOME", str(tmp_path / "home"))
    settings = tiny.settings(
        inputs,
        name="interrupted",
        phases=[{"train": "head", "for": "30ep"}, {"train": "all", "for": "3st"}],
        checkpoints={"every": "10st"},
        storage={"uri": "s3://interrupted", "endpoint": "embedded"},
    )
    job_file = tmp_path / "job.yaml"
    job_file.write_text(yaml.safe_dump(settings))
    ray_settings = {name for name in os.environ if name.startswith("RAY_")}
    environment = {k: v for k, v in os.environ.items() if k not in ray_settings}
    environment["UNFREEZE_TEST_MARKER"] = str(tmp_path)
    command = [sys.executable, "-m", "unfreeze.cli.main", "train", str(job_file)]
    try:
        first = subprocess.Popen(
            [*command, "--json"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # Where the tests run in the background, a shell has switched Ctrl-C off for them.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert first.stdout is not None
        for line in first.stdout:
            message = json.loads(line)
            if message["kind"] == "checkpoint" and message["step"] >= 20:
                break
        os.killpg(first.pid, signal.SIGINT)  # as a terminal does
        _, errors = first.communicate(timeout=60)
        assert first.returncode == 130, errors
        assert errors.strip().endswith("goes on from the newest checkpoint"), errors
        assert "Traceback" not in errors
        deadline = time.monotonic() + 30
        while (left := processes_of(str(tmp_path))) and time.monotonic() < deadline:
            time.sleep(0.5)
        assert not left, [process.cmdline() for process in left]

        again = subprocess.run(
            [*command, "--json"], env=environment, capture_output=True, text=True, timeout=300
        )
        assert again.returncode == 0, again.stderr
        messages = [json.loads(line) for line in again.stdout.splitlines()]
        resumed = [message["step"] for message in messages if message["kind"] == "resumed"]
        assert resumed and resumed[0] >= 20
        assert messages[-1]["kind"] == "result"
        assert messages[-1]["steps"] == 333

        third = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert third.returncode == 0
        assert "is finished; nothing to do" in third.stdout

        changed = subprocess.run(
            [*command, "phases.0.learning_rate=0.5"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert changed.returncode == 2
        assert "phases.0.learning_rate: was 0.001, is 0.5" in changed.stderr
    finally:
        embedded.down()
