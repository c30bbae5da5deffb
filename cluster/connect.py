"""To a Ray cluster and back: a local one that lives as long as the block, or one that runs."""

import os
import secrets
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unfreeze.cluster.errors import ClusterLost, ClusterUnreachable
from unfreeze.cluster.resources import local_resources

# Quiet, and sure of its address where several Rays share a host (facts page, sections 0 and 5).
_LOCAL_SETTINGS = {
    "RAY_COLOR_PREFIX": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Actors that need no CPU are many here, and Ray warns of each four.
    "RAY_worker_maximum_startup_concurrency": "16",
}

WORKER_SETTINGS = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    # torch 2.13 warns at every collective call, on every rank.
    "PYTHONWARNINGS": "ignore",
}
"""Environment of the workers."""


@contextmanager
def connect(address: str | None = None) -> Iterator[None]:
    """Connects to the Ray at `address`; None starts one here, with a token, and ends it after.

    Raises ClusterUnreachable, and ClusterLost when Ray fails within the block.
    """
    environment = dict(os.environ)
    if address is None:
        port = _free_port()
        os.environ["RAY_API_SERVER_ADDRESS"] = f"http://127.0.0.1:{port}"
        os.environ.update({**_LOCAL_SETTINGS, **WORKER_SETTINGS})
        _use_token(home_folder() / "ray-token")
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL"}
    try:
        if address is None:
            ray.init(
                address="local",
                num_cpus=int(local_resources().cpus),
                include_dashboard=True,
                dashboard_host="127.0.0.1",
                dashboard_port=port,
                **quiet,
            )
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        _restore(environment)
        reason = [*str(error).splitlines(), type(error).__name__][0]
        raise ClusterUnreachable(
            f"no Ray cluster at {address or 'this machine'}: {reason}"
        ) from error
    try:
        yield
    except ray.exceptions.RayError as error:
        reason = [*str(error).strip().splitlines(), type(error).__name__][0]
        raise ClusterLost(
            f"Ray failed: {reason}. The same command goes on from what is in the store"
        ) from error
    finally:
        ray.shutdown()
        _restore(environment)


def home_folder() -> Path:
    """Where this user's keys and servers are kept."""
    return Path(os.environ.get("UNFREEZE_HOME", "~/.unfreeze")).expanduser()


def _use_token(path: Path) -> None:
    """A token of our own, in a file that only we can read. Ray's own is readable to others.

    Ray reads these settings when it is imported; a program that has imported it keeps its own.
    """
    if "ray" in sys.modules or "RAY_AUTH_MODE" in os.environ:
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    else:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32))
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)


def _restore(environment: Mapping[str, str]) -> None:
    # Ray has read its token settings for good, so they stay.
    kept = {key: value for key, value in os.environ.items() if key.startswith("RAY_AUTH")}
    os.environ.clear()
    os.environ.update({**environment, **kept})


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
