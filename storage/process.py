"""A process that outlives us, recognised by more than a number that the system may reuse."""

import time
from dataclasses import dataclass

import psutil

CLOCK_SLACK_S = 2.0
"""Start times are computed from the boot time, which moves when the clock is set."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A process as written down when it was started."""

    pid: int
    started: float
    """Seconds since 1970."""


def record(pid: int) -> Recorded | None:
    """None if there is no such process."""
    try:
        return Recorded(pid, psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def rss_bytes(recorded: Recorded) -> int | None:
    """Its resident memory, or None if it is not running."""
    process = _find(recorded)
    try:
        return process.memory_info().rss if process else None
    except psutil.NoSuchProcess:
        return None


def is_running(recorded: Recorded) -> bool:
    return _find(recorded) is not None


def end(recorded: Recorded, wait_s: float) -> bool:
    """Ask it to stop, make it stop after `wait_s`. False if it was not running.

    Raises psutil.AccessDenied if it is not ours.
    """
    process = _find(recorded)
    if process is None:
        return False
    try:
        process.terminate()
        if not _gone_within(recorded, wait_s):
            process.kill()
            _gone_within(recorded, wait_s)
    except psutil.NoSuchProcess:
        pass  # it ended by itself meanwhile
    return True


def _gone_within(recorded: Recorded, wait_s: float) -> bool:
    """psutil's own wait() would also wait until somebody collects the zombie."""
    deadline = time.monotonic() + wait_s
    while is_running(recorded):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _find(recorded: Recorded) -> psutil.Process | None:
    """The live process with that number and that start time. A zombie is not alive."""
    try:
        process = psutil.Process(recorded.pid)
        same = abs(process.create_time() - recorded.started) < CLOCK_SLACK_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None
