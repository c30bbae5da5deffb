"""Batch prediction for real: on Ray, killed, interrupted."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import worker_tasks
from worker_pool import WorkerPool

from unfreeze.jobs import PredictionFailed
from unfreeze.jobs.config import SourceConfig
from unfreeze.jobs.inputs import cache_folder
from unfreeze.jobs.prediction import workers
from unfreeze.jobs.prediction.parts import Output
from unfreeze.jobs.prediction.predict import Asked, ask, here, on_cluster, predict_to
from unfreeze.jobs.results import find_result, find_run

pytestmark = pytest.mark.slow

ROWS = 2000


@pytest.fixture(scope="module")
def run(one_worker: WorkerPool, inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run, with new rows beside it."""
    folder = tmp_path_factory.mktemp("predict")
    one_worker.run(worker_tasks.run, tiny.settings(inputs, storage={"uri": str(folder)}))
    tiny.write_rows(folder / "new.jsonl", tiny.rows(ROWS, seed=5))
    return folder / "tiny"


def asked(run: Path, rows_per_part: int) -> Asked:
    runs = find_run(str(run))
    return ask(
        runs,
        find_result(runs),
        SourceConfig(path=str(run.parent / "new.jsonl")),
        endpoint=None,
        cache=cache_folder(),
        rows_per_part=rows_per_part,
    )


def quiet(message: dict[str, Any]) -> None:
    pass


def predicted_here(those: Asked, folder: Path) -> bytes:
    """In this process, with as many threads as a worker has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        predict_to(Output(str(folder / "here.jsonl")), those, here(those), quiet)
    finally:
        torch.set_num_threads(threads)
    return (folder / "here.jsonl").read_bytes()


def test_workers_say_the_same_as_one_process_also_when_one_is_killed(
    run: Path, tmp_path: Path, ray_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    those = asked(run, rows_per_part=100)
    expected = predicted_here(those, tmp_path)
    assert len(expected.splitlines()) == ROWS

    done, killed = tmp_path / "done", tmp_path / "killed"

    class KilledOnce(workers._Predictor):  # Ray sends a class of a function by its code
        def predict(self, rows: Any, schema: Any) -> Any:
            if done.exists():
                with suppress(FileExistsError):  # the other worker was it
                    killed.touch(exist_ok=False)
                    os.kill(os.getpid(), signal.SIGKILL)
            return super().predict(rows, schema)

    said: list[dict[str, Any]] = []

    def show(message: dict[str, Any]) -> None:
        said.append(message)
        if message["kind"] == "predicted" and message["rows"] >= 300:
            done.touch()

    monkeypatch.setattr(workers, "_Predictor", KilledOnce)
    output = tmp_path / "out.jsonl"
    with on_cluster(those, 2, ray_address, show) as compute:
        predict_to(Output(str(output)), those, compute, show)
    assert killed.exists()
    assert [m["workers"] for m in said if m["kind"] in ("started", "replaced")] == [2, 1]
    assert output.read_bytes() == expected


def test_rows_that_kill_every_worker_are_named(
    run: Path, tmp_path: Path, ray_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mortal:  # Ray sends a class of a function by its code
        def __init__(self, *args: Any) -> None:
            pass

        def load(self, trained: Any) -> list[Any]:
            return []

        def predict(self, rows: Any, schema: Any) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(workers, "_Predictor", Mortal)
    those = asked(run, rows_per_part=1000)
    with (
        pytest.raises(PredictionFailed, match="rows 1 to 1000: 3 workers died over it"),
        on_cluster(those, 1, ray_address, quiet) as compute,
    ):
        predict_to(Output(str(tmp_path / "out.jsonl")), those, compute, quiet)


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_after_ctrl_c_the_same_command_goes_on(run: Path, tmp_path: Path, ray_address: str) -> None:
    output = tmp_path / "out.jsonl"
    parts = tmp_path / "out.jsonl.parts"
    command = [sys.executable, "-m", "unfreeze.cli.main", "predict", str(run)]
    command += ["--input", str(run.parent / "new.jsonl"), "--output", str(output)]
    command += ["--rows-per-part", "20", "--address", ray_address, "--workers", "1"]
    first = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Where the tests run in the background, a shell has switched Ctrl-C off for them.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_until(lambda: parts.exists() and len(list(parts.iterdir())) >= 3, 300)
    os.killpg(first.pid, signal.SIGINT)
    _, errors = first.communicate(timeout=120)
    assert first.returncode == 130, errors
    assert errors.strip().endswith(f"the same command goes on from {parts}"), errors
    assert not output.exists()
    done = [file for file in parts.iterdir() if not file.name.startswith(".")]

    again = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert f"{len(done) * 20:,} of them from the attempt before" in again.stdout
    assert len(output.read_bytes().splitlines()) == ROWS
    assert not parts.exists()
