"""Who works on what: the single source of truth between the driver and the lanes (pure).

Time, Ray and waiting are broker_actor.py's. Every call of a lane names the lane's generation: a
lane that was restarted has a new one, so late calls of the dead one change nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from unfreeze.tuning.orders import Assignment, Order, Outcome

_UNWANTED = Outcome("stopped", "stopped by the scheduler")


@dataclass
class _Work:
    order: Order
    lines: list[dict[str, Any]] = field(default_factory=list)
    """Validations, in the order of steps."""
    outcome: Outcome | None = None
    wanted: bool = True
    """False once whoever asked for it wants no more of it."""
    attempts: int = 0
    step: int = 0


@dataclass
class _Lane:
    generation: int = 0
    work: str | None = None


class Broker:
    """Hands orders to lanes, so that no prefix is computed twice at the same time."""

    def __init__(self, *, max_failures: int, known_prefixes: Iterable[str] = ()) -> None:
        self._max_failures = max_failures
        self._work: dict[str, _Work] = {}
        self._queue: list[str] = []
        self._lanes: dict[int, _Lane] = {}
        self._generations = 0
        """Given out to all lanes: a lane that was lost and began anew has none of its old ones."""
        self._published: set[str] = set(known_prefixes)
        self._claims: dict[str, str] = {}
        """Key of a fork point -> id of the work that will publish it."""
        self.is_closed = False
        self.restarts = 0

    # -- whoever wants work done

    def submit(self, order: Order) -> None:
        """Queues an order. One that is known already goes on as it was."""
        if order.id not in self._work:
            self._work[order.id] = _Work(order)
            self._queue.append(order.id)

    def answer(self, id: str, lines: list[dict[str, Any]], outcome: Outcome, order: Order) -> None:
        """Takes note of work that was done in an earlier session."""
        self._work[id] = _Work(order, list(lines), outcome)

    def stop(self, id: str) -> None:
        """Nobody wants any more of this, nor news of it. Nothing happens if it is not known."""
        work = self._work.get(id)
        if not work:
            return
        work.wanted = False
        if id in self._queue:
            self._queue.remove(id)
        if not any(lane.work == id for lane in self._lanes.values()):
            del self._work[id]

    def news(self, id: str, seen: int) -> tuple[list[dict[str, Any]], Outcome | None]:
        """The validations after the first `seen`, and the outcome if it is over."""
        work = self._work.get(id)
        return (work.lines[seen:], work.outcome) if work else ([], _UNWANTED)

    def outcome(self, id: str) -> Outcome | None:
        """How the work ended; None if it has not, or nobody wanted it to."""
        work = self._work.get(id)
        return work.outcome if work else None

    def is_idle(self) -> bool:
        """Whether nothing is queued and no lane works."""
        return not self._queue and not any(lane.work for lane in self._lanes.values())

    def close(self) -> None:
        """Lanes that ask for work are sent home."""
        self.is_closed = True

    # -- lanes

    def register(self, lane: int) -> int:
        """A lane that has (re)started; its generation. What it held is tried again."""
        known = self._lanes.setdefault(lane, _Lane())
        if known.work:
            self.restarts += 1
            self._try_again(known.work, "its lane died")
        self._generations += 1
        known.generation, known.work = self._generations, None
        return known.generation

    def lost(self, lane: int) -> None:
        """A lane that will not come back; what it held is tried again elsewhere."""
        if (known := self._lanes.pop(lane, None)) and known.work:
            self.restarts += 1
            self._try_again(known.work, "its lane was lost")

    def take(self, lane: int, generation: int) -> Assignment | None:
        """The first order that has not to wait for a prefix; None if there is none.

        A lane that asks although it has an order gets it once more.
        """
        if self.is_closed or not self._is_current(lane, generation):
            return None
        id = self._lanes[lane].work or next(filter(self._is_ready, self._queue), None)
        if id is None:
            return None
        if id in self._queue:
            self._queue.remove(id)
        work = self._work[id]
        self._lanes[lane].work = id
        known, forks = self._known_forks(work.order), work.order.forks
        self._claims |= {fork.key: id for fork in forks[known:]}
        starts = [fork.key for fork in forks[:known] if fork.key in self._published]
        return Assignment(work.order, lane, work.attempts, tuple(reversed(starts)), forks[known:])

    def report(self, lane: int, generation: int, id: str, line: dict[str, Any]) -> None:
        """A validation. One that was reported before, by an earlier attempt, changes nothing."""
        work = self._owned(lane, generation, id)
        if work and (not work.lines or line["step"] > work.lines[-1]["step"]):
            work.lines.append(line)

    def progress(self, lane: int, generation: int, id: str, step: int) -> None:
        """How far it is; for people to look at."""
        if work := self._owned(lane, generation, id):
            work.step = step

    def publish(self, key: str) -> None:
        """A fork point is in the store, whoever brought it there."""
        self._published.add(key)
        self._claims.pop(key, None)

    def finish(self, lane: int, generation: int, id: str, outcome: Outcome) -> None:
        """The work is over, one way or another, and the lane is free."""
        if work := self._owned(lane, generation, id):
            work.outcome = outcome
            self._release(id)
            self._lanes[lane].work = None
            if not work.wanted:
                del self._work[id]

    def give_back(self, lane: int, generation: int, id: str, why: str) -> None:
        """The lane could not do it for a reason that is not the work's own; tried again."""
        if self._owned(lane, generation, id):
            self._lanes[lane].work = None
            self._try_again(id, why)

    def is_stopped(self, id: str) -> bool:
        """Whether a lane may leave this work: nobody wants it, or it is over."""
        work = self._work.get(id)
        return work is None or not work.wanted or work.outcome is not None

    # -- for people to look at

    def snapshot(self) -> dict[str, Any]:
        """Lanes and what they do, how much is queued, how many wait for a prefix."""
        lanes = {}
        for number, lane in self._lanes.items():
            work = self._work.get(lane.work or "")
            line = work.lines[-1] if work and work.lines else None
            step = work.step if work else 0
            lanes[number] = {"work": lane.work, "step": step, "line": line}
        return {
            "lanes": lanes,
            "queued": len(self._queue),
            "prefixes": len(self._published),
            "restarts": self.restarts,
        }

    # -- inside

    def _known_forks(self, order: Order) -> int:
        """How many fork points there are up to the furthest one that is in the store."""
        places = [i for i, fork in enumerate(order.forks, 1) if fork.key in self._published]
        return max(places, default=0)

    def _is_ready(self, id: str) -> bool:
        """Whether no other work is on its way to a fork point that this comes to."""
        order = self._work[id].order
        return not any(fork.key in self._claims for fork in order.forks[self._known_forks(order) :])

    def _is_current(self, lane: int, generation: int) -> bool:
        return lane in self._lanes and self._lanes[lane].generation == generation

    def _owned(self, lane: int, generation: int, id: str) -> _Work | None:
        """The work, if it is what the lane does now; its workers may speak of what is over."""
        current = self._is_current(lane, generation)
        return self._work.get(id) if current and self._lanes[lane].work == id else None

    def _release(self, id: str) -> None:
        self._claims = {key: owner for key, owner in self._claims.items() if owner != id}

    def _try_again(self, id: str, why: str) -> None:
        self._release(id)
        work = self._work.get(id)
        if not work or work.outcome:
            return
        work.attempts += 1
        if not work.wanted:
            del self._work[id]
        elif work.attempts > self._max_failures:
            work.outcome = Outcome("failed", f"tried {work.attempts} times: {why}")
        else:
            self._queue.insert(0, id)
