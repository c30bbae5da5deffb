"""A worker's ear for notices: its machine will go away, or the driver wants it to leave."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

LISTEN_EVERY_S = 2.0

_terminated = threading.Event()


def take_sigterm_as_notice() -> None:
    """From now on a SIGTERM to this process is a notice, and does not end it.

    To be called in the main thread, before training begins in another one. Who wants the process
    gone at once sends SIGKILL, as Ray itself does.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: _terminated.set())


class Heard(NamedTuple):
    """What one worker has heard, or after a step: any of them."""

    preempted: bool = False
    """A machine goes away: its node drains, or a worker was sent a SIGTERM."""
    asked: bool = False
    """The driver wants the workers to leave."""


class Notices:
    """What this worker has heard so far. The others learn of it in the next step."""

    def __init__(self) -> None:
        self._preempted, self._asked = threading.Event(), threading.Event()

    def heard(self) -> Heard:
        """Answers at once."""
        return Heard(self._preempted.is_set() or _terminated.is_set(), self._asked.is_set())

    def note(self, *, preempted: bool = False, asked: bool = False) -> None:
        """Takes in a notice."""
        if preempted:
            self._preempted.set()
        if asked:
            self._asked.set()

    @contextmanager
    def listening(self, bell: Any = None, every_s: float = LISTEN_EVERY_S) -> Iterator[None]:
        """Meanwhile, a thread asks whether this node drains and whether the bell has rung.

        `bell`: a Listener, on one rank; None: nobody rings.
        """
        from unfreeze.cluster import own_node_drains

        ended = threading.Event()

        def listen() -> None:
            while not ended.wait(every_s):
                self.note(preempted=_said_yes(own_node_drains))
                self.note(asked=bool(bell) and _said_yes(bell.has_rung))

        threading.Thread(target=listen, name="notices", daemon=True).start()
        try:
            yield
        finally:
            ended.set()


def _said_yes(ask: Callable[[], bool]) -> bool:
    """What cannot be known now is asked again: Ray's head may be away for a moment."""
    import ray

    try:
        return ask()
    except (ray.exceptions.RayError, ConnectionError, RuntimeError):
        return False
