"""Workers that hear that a machine goes away: a checkpoint, and all leave after the same step."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import notice_tasks
import pytest
import tiny
import worker_tasks
from worker_pool import WorkerPool

from unfreeze.jobs.notices import Heard, Notices
from unfreeze.storage import CheckpointStore, open_store

SIGTERM = """
import os, signal, threading, time
from unfreeze.jobs.notices import Notices, take_sigterm_as_notice
take_sigterm_as_notice()
notices = Notices()
print(any(notices.heard()))
os.kill(os.getpid(), signal.SIGTERM)
found = []
thread = threading.Thread(target=lambda: found.append(notices.heard()))
thread.start()
thread.join()
print(found[0].preempted, found[0].asked)
"""


def test_a_sigterm_is_a_notice_and_does_not_end_the_process() -> None:
    ran = subprocess.run([sys.executable, "-c", SIGTERM], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["False", "True", "False"]


def test_what_was_heard_stays_heard() -> None:
    notices = Notices()
    assert notices.heard() == Heard(preempted=False, asked=False)
    notices.note(asked=True)
    notices.note(preempted=False, asked=False)
    assert notices.heard() == Heard(preempted=False, asked=True)


class Bell:
    """Rings the second time that it is asked; the first time it cannot be reached."""

    def __init__(self) -> None:
        self.asked = 0

    def has_rung(self) -> bool:
        self.asked += 1
        if self.asked == 1:
            raise ConnectionError("no route")
        return True


def test_a_bell_that_cannot_be_reached_is_asked_again_until_nobody_listens() -> None:
    notices, bell = Notices(), Bell()
    with notices.listening(bell, every_s=0.01):
        deadline = time.monotonic() + 10
        while not notices.heard().asked and time.monotonic() < deadline:
            time.sleep(0.01)
    assert notices.heard().asked
    time.sleep(0.1)
    before = bell.asked
    time.sleep(0.1)
    assert bell.asked == before


def checkpoints(settings: dict[str, Any]) -> list[int]:
    store = open_store(settings["storage"]["uri"]).under(settings["name"])
    return [info.step for info in CheckpointStore(store).list()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "asked"), [(6, False), (11, True), (22, False)], ids=["step 6", "phase end", "job end"]
)
def test_a_notice_to_one_rank_makes_all_leave_with_a_checkpoint_and_changes_no_loss(
    two_workers: WorkerPool, inputs: Path, tmp_path: Path, step: int, asked: bool
) -> None:
    changes: dict[str, Any] = {"checkpoints": {"every": "100st", "keep_latest": 1}}
    whole = tiny.settings(inputs, storage={"uri": str(tmp_path / "whole")}, **changes)
    left = tiny.settings(inputs, storage={"uri": str(tmp_path / "left")}, **changes)
    two_workers.run(worker_tasks.run, whole)

    (told, *how), (_, *how_too) = two_workers.run(notice_tasks.run_until_noticed, left, step, asked)

    assert how == how_too == [step, asked]
    assert told[-1] == {"kind": "leaving", "step": step, "asked": asked, "kept": True}
    assert step in checkpoints(left)
    again = two_workers.run(worker_tasks.run, left)[0]
    assert [m["step"] for m in again if m["kind"] == "resumed"] == [step]
    assert worker_tasks.metrics(left) == worker_tasks.metrics(whole)
