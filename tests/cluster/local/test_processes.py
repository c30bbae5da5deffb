"""Processes of ours are found again, and ended with all that they have started; no others are."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from unfreeze.cluster.local import processes
from unfreeze.cluster.local.processes import Recorded

SLEEP = "import time; time.sleep(60)"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}]).wait()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1); {SLEEP}"

Start = Callable[[str], Recorded]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts Python code; what is left of it is killed."""
    started: list[Recorded] = []

    def call(code: str) -> Recorded:
        command = [sys.executable, "-u", "-c", code]
        found = processes.start(command, os.environ, tmp_path / "log")
        assert found
        started.append(found)
        return found

    yield call
    processes.end([], started, wait_s=0)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_is_nobodys_child_and_has_a_session_of_its_own(start: Start) -> None:
    started = start(SLEEP)
    assert os.getsid(started.pid) == started.pid != os.getsid(0)
    assert psutil.Process(started.pid).ppid() != os.getpid()
    assert processes.is_running(started)


def test_what_it_has_started_ends_with_it(start: Start) -> None:
    parent = start(PARENT)
    wait_until(lambda: len(processes.descendants(parent)) == 1)
    (child,) = processes.descendants(parent)
    assert {*processes.end([parent], wait_s=5)} == {parent, child}
    assert not processes.is_running(parent)
    assert not processes.is_running(child)
    assert processes.end([parent], [child], wait_s=5) == ()


def test_what_does_not_stop_is_killed(start: Start, tmp_path: Path) -> None:
    stubborn = start(STUBBORN)
    wait_until(lambda: "1" in (tmp_path / "log").read_text())
    began = time.monotonic()
    assert processes.end([stubborn], wait_s=0.3) == (stubborn,)
    assert 0.3 <= time.monotonic() - began < 5
    assert not processes.is_running(stubborn)


def test_what_a_killed_one_has_left_is_ended_too(start: Start) -> None:
    parent = start(PARENT)
    wait_until(lambda: len(processes.descendants(parent)) == 1)
    members = processes.descendants(parent)
    psutil.Process(parent.pid).kill()
    wait_until(lambda: not processes.is_running(parent))
    assert processes.is_running(members[0])
    assert processes.end([parent], members, wait_s=5) == members
    assert not processes.is_running(members[0])


def test_another_process_with_the_same_number_is_left_alone() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        reused = Recorded(other.pid, 12345.0)
        assert not processes.is_running(reused)
        assert processes.descendants(reused) == ()
        assert processes.end([reused], [reused], wait_s=1) == ()
        assert other.poll() is None
        other.communicate(b"\n")


def test_one_that_ends_at_once_is_not_found(start: Start, tmp_path: Path) -> None:
    found = processes.start([sys.executable, "-c", "print('gone')"], os.environ, tmp_path / "log")
    wait_until(lambda: found is None or not processes.is_running(found))
    assert (tmp_path / "log").read_text() == "gone\n"
