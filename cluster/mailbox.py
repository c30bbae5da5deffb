"""Messages from workers to the driver, in order, without making a worker wait."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import ray

from unfreeze.cluster.placement import beside_the_driver

Message = dict[str, Any]


class _Queue:
    """Holds messages until the driver takes them."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._arrived = asyncio.Event()

    async def put(self, messages: list[Message]) -> None:
        self._messages += messages
        self._arrived.set()

    async def take(self, timeout_s: float) -> list[Message]:
        try:
            await asyncio.wait_for(self._arrived.wait(), timeout_s)
        except TimeoutError:
            return []
        self._arrived.clear()
        taken, self._messages = self._messages, []
        return taken


class Mailbox:
    """The driver's end."""

    def __init__(self) -> None:
        actor: Any = ray.remote(num_cpus=0, scheduling_strategy=beside_the_driver())(_Queue)
        self._queue = actor.remote()

    def sender(self) -> "Sender":
        """A worker's end; can be sent to it."""
        return Sender(self._queue)

    def messages(self, timeout_s: float = 0.5) -> Iterator[Message]:
        """What has come, waiting for it at most so long."""
        yield from ray.get(self._queue.take.remote(timeout_s))


class Sender:
    """A worker's end. Frequent messages go out a few times a second, all others at once."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self._held: list[Message] = []
        self._sent_at = 0.0

    def send(self, message: Message, *, frequent: bool = False) -> None:
        """Sends without waiting; a driver that is gone is no reason to stop."""
        self._held.append(message)
        now = time.monotonic()
        if frequent and now - self._sent_at < 0.3:
            return
        self._queue.put.remote(self._held)
        self._held, self._sent_at = [], now

    def send_and_wait(self, message: Message) -> None:
        """Sends, and returns when it has arrived."""
        ray.get(self._queue.put.remote([*self._held, message]))
        self._held = []
