"""One word from the driver to a worker, which hears it without being asked to wait."""

import asyncio
from typing import Any

import ray

from unfreeze.cluster.placement import beside_the_driver


class _Rung:
    """Knows whether the bell has been rung."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    async def ring(self) -> None:
        self._rung.set()

    async def wait(self) -> None:
        await self._rung.wait()


class Bell:
    """The driver's end. It can be rung once."""

    def __init__(self) -> None:
        actor: Any = ray.remote(num_cpus=0, scheduling_strategy=beside_the_driver())(_Rung)
        self._rung = actor.remote()

    def ring(self) -> None:
        """Rings, without waiting for anybody to hear it."""
        self._rung.ring.remote()

    def listener(self) -> "Listener":
        """A worker's end; can be sent to it."""
        return Listener(self._rung)


class Listener:
    """A worker's end."""

    def __init__(self, rung: Any) -> None:
        self._rung = rung
        self._wait: Any = None

    def has_rung(self) -> bool:
        """Whether the bell has been rung. Answers at once. Raises RayError if the bell is gone."""
        if self._wait is None:
            self._wait = self._rung.wait.remote()
        if not ray.wait([self._wait], timeout=0)[0]:
            return False
        ray.get(self._wait)
        return True
