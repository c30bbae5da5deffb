"""The console script in this process, where nothing may be started."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import tiny
import yaml
from refusals import Run

from unfreeze.cli.main import main


@pytest.fixture
def no_keys_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ray must not be asked to start, and no new server may be a child of ours afterwards."""
    import ray

    before = set(psutil.Process().children(recursive=True))

    def start(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("Ray was asked to start")

    monkeypatch.setattr(ray, "init", start)
    yield
    assert not ray.is_initialized()
    new = set(psutil.Process().children(recursive=True)) - before
    assert not {child.name() for child in new} & {"raylet", "gcs_server", "weed"}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """The console script in this process: its exit code and what it said on stderr."""

    def call(*arguments: str) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["unfreeze", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return int(left.value.code or 0), said.err.splitlines()

    yield call
    logging.captureWarnings(False)


@pytest.fixture
def job(inputs: Path, tmp_path: Path) -> Callable[..., str]:
    """Writes the tiny job, with changes, to a file; its runs would go to `tmp_path`/runs."""

    def write(**changes: Any) -> str:
        settings = tiny.settings(inputs, **{"storage": {"uri": str(tmp_path / "runs")}, **changes})
        file = tmp_path / "job.yaml"
        file.write_text(yaml.safe_dump(settings))
        return str(file)

    return write
