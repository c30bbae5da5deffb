"""Following a submission to its end, and sending it again when the driver or the head is lost.

What to do is decided by `verdict_on`, of what the cluster answers and nothing else.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from unfreeze.cluster.errors import ClusterUnreachable
from unfreeze.cluster.submission.jobs_api import JobsApi
from unfreeze.cluster.submission.request import Submitted

T = TypeVar("T")

LOST = 75
"""Exit code of a driver that lost its cluster (sysexits.h: EX_TEMPFAIL)."""

PATIENCE_S = 600.0
"""A head that does not answer for so long is given up."""

_MISTAKE = 2
_KILLED = 128
"""A shell's exit code for a command that a signal ended is this and more."""

_WOULD_FAIL_AGAIN = (
    "RUNTIME_ENV_SETUP_FAILURE",
    "JOB_ENTRYPOINT_COMMAND_START_ERROR",
    "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE",
)
"""Ray's JobErrorType, of submissions whose driver was never started."""


class Verdict(Enum):
    """What to do about a submission."""

    WAIT = "wait"
    AGAIN = "again"
    """The driver or the head is lost; the run goes on from its store."""
    END = "end"


def verdict_on(job: Submitted | None) -> Verdict:
    """What to do after the answer of a cluster; None: it does not know the submission (any more).

    Only what another attempt may mend is tried again: not a mistake (exit code 2), not a failure
    of the training (1), and never what somebody has cancelled.
    """
    if job is None:
        return Verdict.AGAIN
    if job.is_alive:
        return Verdict.WAIT
    if job.status != "FAILED":
        return Verdict.END
    if job.exit_code is None:
        return Verdict.END if job.error_type in _WOULD_FAIL_AGAIN else Verdict.AGAIN
    was_killed = job.exit_code < 0 or job.exit_code >= _KILLED
    return Verdict.AGAIN if was_killed or job.exit_code == LOST else Verdict.END


def words_for(job: Submitted | None) -> str:
    """What became of a submission, in a few words."""
    if job is None:
        return "the cluster does not know it"
    if job.status != "FAILED":
        return {
            "PENDING": "waits for the cluster",
            "RUNNING": "runs",
            "STOPPED": "was cancelled",
            "SUCCEEDED": "finished",
        }.get(job.status, job.status)
    code = job.exit_code
    if code is None:
        lines = job.message.strip().splitlines()
        return f"its driver was lost or never started: {lines[0] if lines else job.error_type}"
    if code == LOST:
        return "its driver lost the cluster"
    if code == _MISTAKE:
        return "the file, its data or its files are wrong"
    if code < 0 or code >= _KILLED:
        return f"its driver was killed (signal {-code if code < 0 else code - _KILLED})"
    return f"failed with exit code {code}"


def exit_code_for(job: Submitted | None) -> int:
    """Ours, for a submission that has ended: 0 done, 2 the user's mistake, else 1."""
    if job is None:
        return 1
    if job.status == "SUCCEEDED":
        return 0
    return _MISTAKE if job.status == "FAILED" and job.exit_code == _MISTAKE else 1


@dataclass
class Follower:
    """Shows the log of a submission as it comes, and keeps its run going."""

    api: JobsApi
    show: Callable[[str], None]
    """Gets the log, piece by piece."""
    say: Callable[[str], None]
    """Gets what there is to say besides, a line each."""
    send_again: Callable[[str], str] | None = None
    """Gets the handle of an attempt that was lost, and gives that of the next; None: whoever
    follows is not the one who sent it."""
    most_resubmits: int = 0
    patience_s: float = PATIENCE_S

    def follow(self, handle: str) -> tuple[str, Submitted | None]:
        """To its end; the last handle, and what became of it.

        Raises ClusterUnreachable when the cluster does not answer any more.
        """
        resubmits = 0
        while True:
            job = self._follow_one(handle)
            may_send = self.send_again is not None and resubmits < self.most_resubmits
            if verdict_on(job) is Verdict.END or not may_send:
                return handle, job
            assert self.send_again is not None
            resubmits += 1
            lost, handle = handle, self._patiently(self.send_again, handle)
            of = f"{resubmits} of at most {self.most_resubmits}"
            self.say(f"{lost}: {words_for(job)}; sent again as {handle} ({of})")

    def _follow_one(self, handle: str) -> Submitted | None:
        """Until there is something to do about it."""
        shown = 0
        while True:
            # In this order: what it wrote before it ended is in the log then.
            job = self._patiently(self.api.find, handle)
            log = self._log(handle) if job and job.status != "PENDING" else ""
            self.show(log[shown:])
            shown = max(shown, len(log))
            if verdict_on(job) is not Verdict.WAIT:
                return job
            time.sleep(_pause_s(len(log)))

    def _log(self, handle: str) -> str:
        try:
            return self.api.log(handle) or ""
        except ClusterUnreachable:  # its node is away; whether it runs, the head has said
            return ""

    def _patiently(self, ask: Callable[[str], T], handle: str) -> T:
        """Asks until there is an answer."""
        since = time.monotonic()
        told = False
        while True:
            try:
                answer = ask(handle)
            except ClusterUnreachable as error:
                if time.monotonic() - since > self.patience_s:
                    raise
                if not told:
                    minutes = round(self.patience_s / 60)
                    self.say(f"{error}; asking again for up to {minutes} min")
                told = True
                time.sleep(2)
            else:
                if told:
                    self.say("the cluster answers again")
                return answer


def _pause_s(log_characters: int) -> float:
    """Between two looks: each brings the whole log."""
    return 1.0 + log_characters / 1e6
