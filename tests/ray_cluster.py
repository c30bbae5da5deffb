"""A Ray of the tests' own, and the processes that belong to it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil


class Node:
    """A head or another node, in processes of its own."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        address: str = "127.0.0.1",
        within: Sequence[str] = (),
    ) -> None:
        """`arguments` of `ray start`; `within`: what the command has to begin with."""
        command = [*within, sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
        command += [*arguments, f"--node-ip-address={address}"]
        # The default is one port: the agents of all other Rays on the machine would fail, and with
        # them the Jobs API.
        command += ["--dashboard-agent-listen-port=0"]
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

    def has_ended(self) -> bool:
        """Whether it has ended by itself, or was ended."""
        return self._main.poll() is not None

    def train_workers(self) -> list[psutil.Process]:
        """The workers of Ray Train that run on it now, youngest last."""
        return self.processes("RayTrainWorker")

    def processes(self, words: str) -> list[psutil.Process]:
        """Its processes whose command line has these words, youngest last."""
        found = [process for process in self._members() if words in _name_of(process)]
        return sorted(found, key=lambda process: process.create_time())

    def _members(self) -> list[psutil.Process]:
        if self.has_ended():
            return []
        return psutil.Process(self._main.pid).children(recursive=True)


@contextmanager
def ray_head(
    folder: Path, num_cpus: int, *arguments: str, address: str = "127.0.0.1"
) -> Iterator[tuple[Node, str]]:
    """A head with the tests' token, and where it is. Ended with all processes.

    Meanwhile, the environment points to it: put back at the end, as there may be a Ray around it.
    """
    port, dashboard = _free_port(), _free_port()
    own = {
        "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}",
        "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",  # else `end` takes half a minute
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    head = Node(
        folder,
        *("--head", f"--port={port}", f"--num-cpus={num_cpus}"),
        *(f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1"),
        *arguments,
        address=address,
    )
    try:
        wait_until(lambda: _listens(address, port) and _listens("127.0.0.1", dashboard), 180)
        yield head, f"{address}:{port}"
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


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)


def _listens(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex((address, port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
