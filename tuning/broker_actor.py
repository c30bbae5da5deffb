"""The broker in a Ray actor: the same calls, and some that wait.

Ray is imported late: it reads its token settings when it is imported, and `connect` sets them.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from unfreeze.cluster.placement import beside_the_driver
from unfreeze.tuning.broker import Broker
from unfreeze.tuning.orders import Assignment

T = TypeVar("T")
MOST_WAITING = 1000
"""Calls that may wait at once: one or two for each trial that runs, and one for each lane."""
GO_HOME = "go home"
"""What a lane gets instead of an order when there will be no more."""


class _BrokerActor:
    """Every call is short, or waits without holding up the others."""

    def __init__(self, max_failures: int, known_prefixes: Iterable[str]) -> None:
        self._broker = Broker(max_failures=max_failures, known_prefixes=known_prefixes)
        self._changed = asyncio.Condition()

    async def call(self, name: str, *args: Any) -> Any:
        """A call of the broker; whoever waits looks again."""
        result = getattr(self._broker, name)(*args)
        async with self._changed:
            self._changed.notify_all()
        return result

    async def take(self, lane: int, generation: int, patience_s: float) -> Assignment | str | None:
        """Work for a lane, GO_HOME, or None if there was none for so long."""
        found = await self._until(lambda: self._work_for(lane, generation), patience_s)
        if isinstance(found, Assignment):  # another order may be the next one now
            async with self._changed:
                self._changed.notify_all()
        return found

    def _work_for(self, lane: int, generation: int) -> Assignment | str | None:
        if self._broker.is_closed:
            return GO_HOME
        return self._broker.take(lane, generation)

    async def news(
        self, id: str, seen: int, patience_s: float
    ) -> tuple[list[dict[str, Any]], bool]:
        """Validations after the first `seen`, and whether it is over; waits for either.

        Plain values, for a process of Tune that needs nothing more of ours.
        """
        await self._until(lambda: any(self._broker.news(id, seen)), patience_s)
        lines, outcome = self._broker.news(id, seen)
        return lines, outcome is not None

    async def stopped(self, id: str) -> bool:
        """Returns when nobody wants this work any more, or it is over."""
        while not await self._until(lambda: self._broker.is_stopped(id), 60.0):
            pass
        return True

    async def _until(self, look: Callable[[], T], patience_s: float) -> T:
        """What `look` finds, as soon as it finds something; at the latest what it finds then."""
        deadline = asyncio.get_running_loop().time() + patience_s
        async with self._changed:
            while not (found := look()):
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0:
                    break
                try:
                    await asyncio.wait_for(self._changed.wait(), left)
                except TimeoutError:
                    break
            return found


class BrokerHandle:
    """A way to the broker, for drivers, trials and lanes; can be sent to them."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    @classmethod
    def start(cls, *, max_failures: int, known_prefixes: Iterable[str]) -> "BrokerHandle":
        """Starts a broker, which ends with the driver."""
        import ray

        actor: Any = ray.remote(num_cpus=0, scheduling_strategy=beside_the_driver())(_BrokerActor)
        several = actor.options(max_concurrency=MOST_WAITING)
        return cls(several.remote(max_failures, list(known_prefixes)))

    def ask(self, name: str, *args: Any) -> Any:
        """A call of the broker, and its answer."""
        import ray

        return ray.get(self.actor.call.remote(name, *args))

    def tell(self, name: str, *args: Any) -> None:
        """A call of the broker, without waiting for it. It may overtake the one before it."""
        self.actor.call.remote(name, *args)

    def take(self, lane: int, generation: int, patience_s: float = 10.0) -> Any:
        """An Assignment, GO_HOME, or None."""
        import ray

        return ray.get(self.actor.take.remote(lane, generation, patience_s))

    def stop_of(self, id: str) -> Any:
        """A reference that is ready when the work is no longer wanted."""
        return self.actor.stopped.remote(id)
