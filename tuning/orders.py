"""What a lane is asked to do, and what it answers. Plain data that travels through Ray."""

from dataclasses import dataclass, field
from typing import Any, Literal

from unfreeze.jobs.config import JobConfig
from unfreeze.tuning.prefixes import ForkPoint

State = Literal["finished", "stopped", "failed"]


@dataclass(frozen=True)
class Order:
    """One piece of work for a lane: a trial, or the judging of a finalist."""

    id: str
    """Unique in the search; the broker knows the work by it."""
    place: str
    """Where its files go, below the search's place in the store."""
    job: JobConfig
    forks: tuple[ForkPoint, ...] = ()
    """Its fork points, in the order in which it comes to them; none if nothing is shared."""
    kind: Literal["trial", "judge"] = "trial"
    keeps_best: bool = False
    """Whether the best state is to stay in the store."""
    exports: bool = False
    """Whether a judged model goes into model/."""


@dataclass(frozen=True)
class Assignment:
    """An order, as a lane gets it."""

    order: Order
    lane: int
    attempt: int
    """0 for the first."""
    starts: tuple[str, ...]
    """Keys of fork points that are in the store, the longest first."""
    publishes: tuple[ForkPoint, ...]
    """Fork points that others wait for."""


@dataclass(frozen=True)
class Outcome:
    """How a piece of work ended."""

    state: State
    why: str
    cost: dict[str, Any] = field(default_factory=dict)
    """What it took; see trial_run.py."""
