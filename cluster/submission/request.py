"""A submission: what is sent to the Ray Jobs API, and what is to be done about those before it."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unfreeze.cluster.errors import SubmissionRefused
from unfreeze.cluster.verbosity import worker_settings

RUN, CONTENT, VERSION = "run", "content", "unfreeze"
"""Keys of the metadata that we leave with the Jobs API: the run's uri, the hash of what was sent,
and the version of the code that went with it."""

# Of the driver and the workers. Anybody with the token reads it: no secrets.
_ENVIRONMENT = {
    # Paths of the job file are relative to the shipment, which lies elsewhere on each node.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_COLOR_PREFIX": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
}

ALIVE = ("PENDING", "RUNNING")

_HANDLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,149}")


@dataclass(frozen=True)
class Request:
    """What is sent."""

    handle: str
    """The submission id."""
    entrypoint: str
    """One shell line."""
    py_modules: tuple[str, ...]
    """Folders with our code."""
    working_dir: str
    """Folder with the shipment."""
    metadata: Mapping[str, str]

    @property
    def runtime_env(self) -> dict[str, Any]:
        """As Ray takes it."""
        return {
            "py_modules": list(self.py_modules),
            "working_dir": self.working_dir,
            "env_vars": {**worker_settings(), **_ENVIRONMENT},
        }

    def as_attempt(self, attempt: int) -> "Request":
        """The same, sent again: under another handle."""
        handle = handle_of(*_parts_of(self.handle), attempt)
        words = [handle if word == self.handle else word for word in shlex.split(self.entrypoint)]
        return replace(self, handle=handle, entrypoint=shlex.join(words))


@dataclass(frozen=True)
class Submitted:
    """What the Jobs API knows of a submission."""

    handle: str
    status: str
    """PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED."""
    metadata: Mapping[str, str]
    message: str = ""
    error_type: str | None = None
    """Ray's JobErrorType, for those that failed."""
    exit_code: int | None = None
    """Of the driver; None while it runs, and where it was lost."""
    started: float | None = None
    """Seconds since 1970."""
    ended: float | None = None

    @property
    def is_alive(self) -> bool:
        """Whether it waits or runs."""
        return self.status in ALIVE

    @property
    def is_ours(self) -> bool:
        """Whether it came of `unfreeze submit`."""
        return RUN in self.metadata and CONTENT in self.metadata


@dataclass(frozen=True)
class Send:
    """Nothing of this run is alive: send it."""

    attempt: int
    """From 1, for each run and content."""


@dataclass(frozen=True)
class Attach:
    """The same is there already."""

    handle: str


def request(
    name: str,
    command: Sequence[str],
    *,
    metadata: Mapping[str, str],
    py_modules: Sequence[str],
    working_dir: str,
) -> Request:
    """The first attempt. `command`: what `python -m` runs on the cluster; the handle is added."""
    handle = handle_of(name, metadata[CONTENT], 1)
    entrypoint = shlex.join(["python", "-m", *command, handle])
    return Request(handle, entrypoint, tuple(py_modules), working_dir, metadata)


def handle_of(name: str, content: str, attempt: int) -> str:
    """`<name>-<8 digits of the content hash>-<attempt>`."""
    return check_handle(f"{name}-{content[:8]}-{attempt}")


def check_handle(handle: str) -> str:
    """`handle`, if it can be one: it becomes part of addresses and of keys in the store.

    Raises SubmissionRefused.
    """
    if not _HANDLE.fullmatch(handle):
        raise SubmissionRefused(
            f"{handle!r} is no handle; `unfreeze jobs list` shows those of the cluster"
        )
    return handle


def next_step(
    known: Iterable[Submitted], run: str, content: str, *, after: int = 0
) -> Send | Attach:
    """Whether to send a run, after what the cluster knows, and after an attempt that it may have
    forgotten.

    Raises SubmissionRefused while the run is alive with other contents: two would write to one
    place in the store.
    """
    of_run = [each for each in known if each.is_ours and each.metadata[RUN] == run]
    for each in of_run:
        if each.is_alive and each.metadata[CONTENT] == content:
            return Attach(each.handle)
    for each in of_run:
        if each.is_alive:
            raise SubmissionRefused(
                f"{run}: {each.handle} is {each.status.lower()} with other settings, files or "
                f"code; end it with `unfreeze jobs cancel {each.handle}`, or give the job another "
                "name"
            )
    same = [each.handle for each in of_run if each.metadata[CONTENT] == content]
    return Send(max(max(map(attempt_of, same), default=0), after) + 1)


def attempt_of(handle: str) -> int:
    """The number at the end of a handle; 0 if there is none."""
    number = handle.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def _parts_of(handle: str) -> tuple[str, str]:
    name, content, _ = handle.rsplit("-", 2)
    return name, content
