"""Processes that outlive us, with all that they start. Found again by more than a number that the
system may reuse."""

import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

CLOCK_SLACK_S = 2.0
"""Start times are computed from the boot time, which moves when the clock is set."""

_START = """
import subprocess, sys
log = open(sys.argv[1], "ab")
started = subprocess.Popen(
    sys.argv[2:], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
)
print(started.pid, flush=True)
"""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A process as written down when it was started."""

    pid: int
    started: float
    """Seconds since 1970."""


def start(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Recorded | None:
    """Starts a process in a session of its own; None if it has ended already.

    Another Python starts it and ends at once, so it is nobody's child: neither Ctrl-C nor the end
    of this process reaches it, and it leaves no zombie here.
    """
    starter = subprocess.run(
        [sys.executable, "-I", "-c", _START, str(log), *command],
        env=dict(environment),
        cwd=log.parent,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return record(int(starter.stdout))


def record(pid: int) -> Recorded | None:
    """None if there is no such process."""
    try:
        return Recorded(pid, psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def is_running(recorded: Recorded) -> bool:
    """Whether it runs still. A zombie does not."""
    return _find(recorded) is not None


def descendants(recorded: Recorded) -> tuple[Recorded, ...]:
    """What it has started, and what that has started, as far as it runs."""
    process = _find(recorded)
    return tuple(_records(_children(process))) if process else ()


def end(
    mains: Iterable[Recorded], others: Iterable[Recorded] = (), *, wait_s: float
) -> tuple[Recorded, ...]:
    """Asks `mains` to stop, and kills what is left of them, of `others` and of what all of these
    had started after `wait_s`. Returns what ran.

    Raises psutil.AccessDenied if one is not ours.
    """
    asked = [process for recorded in mains if (process := _find(recorded))]
    roots = [*asked, *(process for recorded in others if (process := _find(recorded)))]
    everyone = {process for root in roots for process in (root, *_children(root))}
    ran = _records(everyone)
    for process in asked:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    if not asked or not _gone_within(ran, wait_s):
        # What was started meanwhile has a parent among those that are left.
        everyone |= {child for process in everyone for child in _children(process)}
        for process in everyone:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        _gone_within(_records(everyone), 5.0)
    return tuple(ran)


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        found: list[psutil.Process] = process.children(recursive=True)
        return found
    except psutil.NoSuchProcess:
        return []


def _records(processes: Iterable[psutil.Process]) -> list[Recorded]:
    records = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            records.append(Recorded(process.pid, process.create_time()))
    return records


def _gone_within(recorded: Iterable[Recorded], wait_s: float) -> bool:
    """psutil's own wait() would also wait until somebody collects the zombies."""
    left, deadline = list(recorded), time.monotonic() + wait_s
    while left := [each for each in left if is_running(each)]:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _find(recorded: Recorded) -> psutil.Process | None:
    """The live process with that number and that start time."""
    try:
        process = psutil.Process(recorded.pid)
        same = abs(process.create_time() - recorded.started) < CLOCK_SLACK_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None
