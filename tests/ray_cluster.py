"""A Ray of the tests' own, and the processes that belong to it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil


class Node:
    """A head or another node, in processes of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        """`arguments` of `ray start`."""
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *arguments]
        command += ["--node-ip-address=127.0.0.1"]
        with (folder / "ray.log").open("a") as log:
            self._main = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def end(self) -> None:
        """As `ray stop` does. What stays is killed."""
        members = self._members()
        self._main.send_signal(signal.SIGTERM)
        psutil.wait_procs(members, timeout=15)
        _kill(members)
        self._main.wait(15)

    def kill(self) -> None:
        """As a power cut does."""
        members = self._members()
        self._main.kill()
        _kill(members)
        self._main.wait(15)

    def train_workers(self) -> list[psutil.Process]:
        """The workers of Ray Train that run on it now, youngest last."""
        found = [p for p in self._members() if "RayTrainWorker" in _name_of(p)]
        return sorted(found, key=lambda process: process.create_time())

    def _members(self) -> list[psutil.Process]:
        if self._main.poll() is not None:
            return []
        return psutil.Process(self._main.pid).children(recursive=True)


@contextmanager
def ray_head(folder: Path, num_cpus: int) -> Iterator[tuple[Node, str]]:
    """A head with the tests' token, on loopback, and its address. Ended with all processes.

    Meanwhile, the environment points to it: put back at the end, as there may be a Ray around it.
    """
    port, dashboard = _free_port(), _free_port()
    own = {
        "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}",
        "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    head = Node(
        folder,
        *("--head", f"--port={port}", f"--num-cpus={num_cpus}"),
        *(f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1"),
    )
    try:
        _wait_until(lambda: _listens(port) and _listens(dashboard), 60)
        yield head, f"127.0.0.1:{port}"
    finally:
        head.end()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _name_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _wait_until(condition: object, seconds: float) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "Ray did not start"
        time.sleep(0.2)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
