"""Processes that a benchmark starts, and what it waits for."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 300.0
"""Seconds that anything may take."""


class NoStep(Exception):
    """A side did not get as far as it should; the text says how far it got."""


class Kinds:
    """The kinds of the JSON lines that a growing file has."""

    def __init__(self, file: Path) -> None:
        self._file, self._read, self._kinds = file, 0, []

    def so_far(self) -> list[str]:
        """Those of all lines that are whole by now, in order."""
        if self._file.exists():
            with self._file.open("rb") as stream:
                stream.seek(self._read)
                for line in stream:
                    if line.endswith(b"\n"):
                        self._read += len(line)
                        self._kinds.append(json.loads(line)["kind"])
        return self._kinds


@contextmanager
def running(command: list[str], out: Path, folder: Path) -> Iterator[None]:
    """A process that is ended after the block: asked as Ctrl-C does, and killed if need be."""
    with out.open("a") as stream, out.with_suffix(".err").open("a") as errors:
        process = subprocess.Popen(
            command,
            stdout=stream,
            stderr=errors,
            cwd=folder,
            start_new_session=True,
            # Where this runs in the background, a shell has switched Ctrl-C off for it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(condition: Callable[[], bool], problem: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise NoStep(f"{problem} within {PATIENCE:.0f} s")
        time.sleep(0.02)
