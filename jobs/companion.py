"""The seam for whoever follows a run while it goes. A search does; a plain job has nobody."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from unfreeze.jobs.progress import Progress
from unfreeze.storage import CheckpointStore


@dataclass(frozen=True)
class Signals:
    """What is wanted after a step, the same on all ranks."""

    stop: bool
    """End the run here."""
    checkpoint: bool
    """Write a checkpoint here."""


@dataclass(frozen=True)
class Fork:
    """A place for a state that other runs may start from."""

    store: CheckpointStore
    """Where it goes; it is the only checkpoint there."""
    published: Callable[[], None]
    """Called on rank 0 when it is there."""


class Companion(Protocol):
    """Follows a run, and may stop it. The same calls are made on all ranks."""

    keeps_last: bool
    """Whether the last state of the run has to be in the store when it ends."""

    def signals(self, *, is_best: bool, is_due: bool) -> Signals:
        """After each step. `is_best`: a new best was just measured; `is_due`: by the job file, a
        checkpoint is to be written. A collective call."""

    def forks_at(self, progress: Progress) -> list[Fork]:
        """Where the state at this step is to be published, for other runs to start from."""


class Alone:
    """Nobody follows: checkpoints are written as the job file says, and nothing else happens."""

    keeps_last = True

    def signals(self, *, is_best: bool, is_due: bool) -> Signals:
        return Signals(stop=False, checkpoint=is_best or is_due)

    def forks_at(self, progress: Progress) -> list[Fork]:
        return []
