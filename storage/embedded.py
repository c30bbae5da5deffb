"""The embedded S3 server: SeaweedFS on this machine, for laptops, demos and tests.

One per user, shared by all jobs, and left running until `down`. It is reachable from this machine
only; a cluster of several machines needs a store that all of them reach.

Memory: 310 to 349 MB resident at most, 241 to 248 MB at rest, over 768 MB of uploads by four
threads (benchmarks/embedded_memory.py). Without the limits in weed.py it was 1.3 GB.

    ${UNFREEZE_HOME:-~/.unfreeze}/s3/   0700
      keys.json       its key pair, made at random at the first start; 0600
      server.json     the process and ports of the last start
      server.log      of the last start
      data/           survives `down`
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from unfreeze.storage import process, weed
from unfreeze.storage.atomic import atomic_file
from unfreeze.storage.credentials import (
    Credentials,
    new_credentials,
    read_credentials,
    write_credentials,
)
from unfreeze.storage.errors import EmbeddedStoreError, StorageError
from unfreeze.storage.s3 import S3Client

READY_WITHIN_S = 30.0
STOP_WITHIN_S = 2.0
"""Then it is killed: asked to stop, weed always waits 15 s for connections within itself. Whatever
it has acknowledged is with the operating system by then, so nothing is lost."""


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A server that is running."""

    endpoint: str
    pid: int
    keys_file: Path
    data_dir: Path


@dataclass(frozen=True, slots=True)
class EmbeddedStatus:
    """What `unfreeze storage status` shows."""

    running: bool
    endpoint: str | None
    pid: int | None
    rss_bytes: int
    data_bytes: int
    """On disk, whether it runs or not."""


def up() -> EmbeddedServer:
    """Start the server, unless it runs already, and wait until it answers a signed request.

    One that runs and does not answer is ended, and started anew on its data. Safe to call from
    several processes at once. Raises EmbeddedStoreError.
    """
    home = _home()
    with _locked(home):
        last = _read_state(home)
        if last.process and process.is_running(last.process):
            try:
                _wait_until_ready(home, last.process, last.ports)
                return _server(home, last.process, last.ports)
            except EmbeddedStoreError:
                process.end(last.process, STOP_WITHIN_S)
        weed.remove_sockets(last.ports)  # of a server that was killed
        if not _keys_file(home).exists():
            write_credentials(_keys_file(home), new_credentials())
        _data_dir(home).mkdir(exist_ok=True)
        ports = weed.choose_ports(last.ports)
        started = _launch(home, ports)
        _write_state(home, State(started, ports))
        try:
            _wait_until_ready(home, started, ports)
        except BaseException:
            process.end(started, STOP_WITHIN_S)
            raise
        return _server(home, started, ports)


def down() -> bool:
    """Stop the server that `up` started, and keep its data. False if it is not running."""
    home = _home()
    with _locked(home):
        last = _read_state(home)
        ended = last.process is not None and process.end(last.process, STOP_WITHIN_S)
        weed.remove_sockets(last.ports)
        _write_state(home, State(None, last.ports))
        return ended


def status() -> EmbeddedStatus:
    """How the server is, without starting it."""
    home = _home()
    last = _read_state(home)
    data = sum(file.stat().st_size for file in _data_dir(home).rglob("*") if file.is_file())
    rss = process.rss_bytes(last.process) if last.process else None
    if last.process is None or rss is None:
        return EmbeddedStatus(False, None, None, 0, data)
    return EmbeddedStatus(True, _endpoint(last.ports), last.process.pid, rss, data)


def credentials() -> Credentials:
    """The keys, for tools that need them said (aws, s5cmd). Raises EmbeddedStoreError."""
    return read_credentials(_keys_file(_home()))


@dataclass(frozen=True, slots=True)
class State:
    """What server.json holds."""

    process: process.Recorded | None
    ports: weed.Ports


def _home() -> Path:
    root = os.environ.get("UNFREEZE_HOME") or "~/.unfreeze"
    home = Path(root).expanduser().absolute() / "s3"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    home.chmod(0o700)  # it may have been made by someone with another umask
    return home


def _keys_file(home: Path) -> Path:
    return home / "keys.json"


def _data_dir(home: Path) -> Path:
    return home / "data"


def _endpoint(ports: weed.Ports) -> str:
    return f"http://127.0.0.1:{ports['s3.port']}"


def _server(home: Path, running: process.Recorded, ports: weed.Ports) -> EmbeddedServer:
    return EmbeddedServer(_endpoint(ports), running.pid, _keys_file(home), _data_dir(home))


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """One at a time among all processes and threads of this user; the system frees it at death."""
    with (home / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read_state(home: Path) -> State:
    """An unreadable file is as good as none: ports are chosen anew."""
    try:
        fields = json.loads((home / "server.json").read_text())
        ports = {name: int(fields["ports"][name]) for name in weed.PORT_NAMES}
        pid, started = fields["pid"], fields["started"]
        recorded = None if pid is None else process.Recorded(int(pid), float(started))
        return State(recorded, ports)
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return State(None, {})


def _write_state(home: Path, state: State) -> None:
    fields = {
        "pid": state.process.pid if state.process else None,
        "started": state.process.started if state.process else None,
        "ports": state.ports,
    }
    with atomic_file(home / "server.json") as file:
        file.write(json.dumps(fields, indent=1).encode())


def _launch(home: Path, ports: weed.Ports) -> process.Recorded:
    arguments = weed.command(weed.find_weed(), _data_dir(home), _keys_file(home), ports)
    pid = weed.launch(arguments, weed.environment(home), home, home / "server.log")
    return process.record(pid) or _fail(home, "ended at once")


def _wait_until_ready(home: Path, running: process.Recorded, ports: weed.Ports) -> None:
    client = S3Client(_endpoint(ports), _keys_file(home))
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            client.bucket_names()
            return
        except StorageError as error:
            if not process.is_running(running):
                _fail(home, "ended while starting")
            if time.monotonic() > deadline:
                _fail(home, f"is not ready after {READY_WITHIN_S:.0f} s ({error})")
        time.sleep(0.1)


def _fail(home: Path, what: str) -> NoReturn:
    log = home / "server.log"
    lines = log.read_text(errors="replace").splitlines()[-12:] if log.exists() else []
    raise EmbeddedStoreError(
        "\n  ".join([f"the embedded store {what}; the end of {log} says why:", *lines])
    )
