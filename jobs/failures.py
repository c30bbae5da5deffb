"""What happened to the workers, and whether the job may go on (pure).

Ray starts the workers again whatever happened. Which failures are worth that, and how often, is
decided here. Classes of Ray and torch are known by name: neither has to be imported.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from unfreeze.jobs.errors import JobError, NodeLeaving
from unfreeze.storage import StorageError

MOST_TRACEBACK_LINES = 30
"""What a screen holds."""


class Kind(StrEnum):
    """Classes of failures. Where ranks fail in several ways, the first here is the root of it."""

    LEFT = "left"
    """The workers left after a notice; a checkpoint of their last step is in the store."""
    MACHINE = "machine"
    """A machine, or Ray on it, is gone or was cut off."""
    MEMORY = "memory"
    """A worker ran out of memory."""
    PROCESS = "process"
    """A worker's process died, and its machine lives."""
    CAUSE = "cause"
    """Something that another attempt would only meet again."""
    NETWORK = "network"
    """The ranks lost each other, and nobody died. Mostly what others see of the above."""


ENDS_THE_GROUP = (Kind.MEMORY, Kind.CAUSE)
"""Ray is not to start the workers again as they were."""

_OUT_OF_MEMORY = {"MemoryError", "OutOfMemoryError"}  # Python's; torch's and Ray's
_OUT_OF_MEMORY_TEXTS = ("can't allocate memory", "out of memory", "alloc_failed")
_MACHINE_GONE = {
    "ActorUnavailableError",
    "LocalRayletDiedError",
    "NodeDiedError",
    "ObjectLostError",
    "RpcError",
    "WorkerHealthCheckTimeoutError",
}
_MACHINE_GONE_TEXTS = ("its node has died", "node was terminated", "node was preempted")
_PROCESS_DIED = {"RayActorError", "WorkerCrashedError"}
_LOST_EACH_OTHER = {"ConnectionError", "DistError", "TimeoutError"}
# What gloo, NCCL and TCP say in a RuntimeError on the ranks that are left when one has died.
_LOST_EACH_OTHER_TEXTS = (
    "connection closed by peer",
    "connection refused",
    "connection reset",
    "broken pipe",
    "socket timeout",
    "gloo",
    "nccl",
)


@dataclass(frozen=True)
class Failure:
    """What ended one rank."""

    rank: int
    """-1: not a rank, but what looks after the workers."""
    kind: Kind
    text: str
    """The error, on one line."""
    traceback: str = ""
    """Of the worker, cut to a screen."""

    def __str__(self) -> str:
        if self.rank < 0:
            return f"Ray could not look after the workers: {self.text}"
        return {
            Kind.LEFT: "the workers left before a machine went away",
            Kind.MACHINE: f"the machine of rank {self.rank} is gone",
            Kind.MEMORY: f"rank {self.rank} ran out of memory: {self.text}",
            Kind.PROCESS: f"the process of rank {self.rank} died",
            Kind.CAUSE: f"rank {self.rank}: {self.text}",
            Kind.NETWORK: f"rank {self.rank} lost the others: {self.text}",
        }[self.kind]


def kind_of(error: BaseException) -> Kind:
    """The class of what ended a worker, or of what Ray says of a worker that does not answer."""
    error = getattr(error, "health_check_failure", error)  # Ray Train wraps what it met
    names = {cls.__name__ for cls in type(error).__mro__}
    text = str(error).lower()
    if isinstance(error, NodeLeaving):
        return Kind.LEFT
    if isinstance(error, JobError | StorageError):
        return Kind.CAUSE
    if names & _OUT_OF_MEMORY:
        return Kind.MEMORY
    if names & _MACHINE_GONE or getattr(error, "preempted", False):
        return Kind.MACHINE
    if names & _PROCESS_DIED:
        return Kind.MACHINE if _says(text, _MACHINE_GONE_TEXTS) else Kind.PROCESS
    if names & _LOST_EACH_OTHER:
        return Kind.NETWORK
    if isinstance(error, RuntimeError):
        if _says(text, _OUT_OF_MEMORY_TEXTS):
            return Kind.MEMORY
        if _says(text, _LOST_EACH_OTHER_TEXTS):
            return Kind.NETWORK
    return Kind.CAUSE


def _says(text: str, signs: Sequence[str]) -> bool:
    return any(sign in text for sign in signs)


def failure_of(rank: int, error: BaseException, traceback: str = "") -> Failure:
    """The failure that an error is."""
    return Failure(rank, kind_of(error), _one_line(error), _one_screen(traceback))


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    if isinstance(error, JobError | StorageError):
        return " ".join(lines)
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _one_screen(traceback: str) -> str:
    lines = traceback.strip().splitlines()
    if len(lines) > MOST_TRACEBACK_LINES:
        lines = [lines[0], "  ...", *lines[2 - MOST_TRACEBACK_LINES :]]
    return "\n".join(lines)


def root_cause(failures: Sequence[Failure], told: Mapping[int, Failure]) -> Failure:
    """The failure that the others came of. `told`: what ranks said themselves, with more detail."""
    order = list(Kind)
    root = min(failures, key=lambda failure: (order.index(failure.kind), failure.rank))
    if root.rank in told and told[root.rank].kind is root.kind:
        return told[root.rank]
    return root


@dataclass(frozen=True)
class Attempt:
    """The workers' life from a start to an end."""

    workers: int
    from_step: int | None = None
    """Where it began; None as long as it has not."""
    reached: int = 0
    """The last step that was heard of."""

    def at(self, step: int) -> "Attempt":
        """The attempt, now that it is at this step."""
        began = step if self.from_step is None else self.from_step
        return replace(self, from_step=began, reached=max(self.reached, step))

    def to_data(self, ended: str) -> dict[str, Any]:
        """A line of result.json."""
        return {
            "workers": self.workers,
            "from_step": self.from_step,
            "to_step": self.reached,
            "ended": ended,
        }


class Tally:
    """Counts the attempts in a row that came to nothing.

    If a machine or Ray is to blame, an attempt came to something when it took a step: machines may
    go away as often as they like, but a job that cannot even begin must end. If a process died or
    lost the others, the job may be to blame, so it has to have come further than ever: a crash
    that hangs on the data or the state comes again at the same step, and never gets further; one
    that comes at random does not end a long job when it comes for the fourth time in a week.
    """

    def __init__(self, max_failures: int) -> None:
        self.max_failures = max_failures
        self.in_vain = 0
        self._furthest = 0

    def may_go_on(self, kind: Kind, attempt: Attempt) -> bool:
        """Takes in how an attempt ended; whether there may be another one."""
        began = attempt.from_step or 0
        before = began if kind is Kind.MACHINE else max(self._furthest, began)
        self._furthest = max(self._furthest, attempt.reached)
        if kind is not Kind.LEFT:
            self.in_vain = 0 if attempt.reached > before else self.in_vain + 1
        return self.in_vain <= self.max_failures


def halved(micro_batch_size: int) -> int | None:
    """The micro-batch to try after running out of memory; None if there is nothing to halve."""
    return micro_batch_size // 2 or None
