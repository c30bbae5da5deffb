"""To a Ray cluster and back: a local one that lives as long as the block, or one that runs."""

import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unfreeze.cluster.addresses import is_url
from unfreeze.cluster.errors import AddressInvalid, ClusterLost, ClusterUnreachable
from unfreeze.cluster.local.state import local_cluster_at, running_cluster
from unfreeze.cluster.private_folder import make_ray_folder
from unfreeze.cluster.resources import local_resources
from unfreeze.cluster.tokens import use_token
from unfreeze.cluster.verbosity import is_verbose, worker_settings

LOCAL_SETTINGS = {
    "RAY_COLOR_PREFIX": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Actors that need no CPU are many here, and Ray warns of each four.
    "RAY_worker_maximum_startup_concurrency": "16",
    # In spite of its name: stay on loopback. Else Ray takes the machine's outer address, and
    # listens on it.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
"""Environment of a Ray on this machine: quiet, and sure of its address where several share a host
(facts page, sections 0 and 5)."""


@contextmanager
def connect(address: str | None = None) -> Iterator[None]:
    """Connects to the Ray at `address`; None starts one here, with a token, and ends it after.

    `auto` is the cluster of `unfreeze cluster up` if it runs and RAY_ADDRESS names no other.
    Raises AddressInvalid, ClusterUnreachable, Insecure, and ClusterLost when Ray fails within the
    block.
    """
    environment = dict(os.environ)
    address = _own_address(address)
    use_token(address)
    folder = None
    if address is None:
        folder = make_ray_folder("unfreeze-")
        port = _free_port()
        os.environ["RAY_API_SERVER_ADDRESS"] = f"http://127.0.0.1:{port}"
        os.environ.update({**LOCAL_SETTINGS, **worker_settings()})
    elif local := local_cluster_at(address):
        os.environ.update({**LOCAL_SETTINGS, "RAY_API_SERVER_ADDRESS": local.dashboard})
    import ray

    try:
        if address is None:
            ray.init(
                address="local",
                num_cpus=int(local_resources().cpus),
                include_dashboard=True,
                dashboard_host="127.0.0.1",
                dashboard_port=port,
                _temp_dir=str(folder),
                **_how_loud(),
            )
        else:
            ray.init(address=address, **_how_loud(), **_environment())
    except (ConnectionError, RuntimeError, ValueError) as error:
        _leave_no_trace(environment, folder)
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
        _leave_no_trace(environment, folder)


def _how_loud() -> dict[str, Any]:
    spoken = is_verbose()
    return {"log_to_driver": spoken, "logging_level": "INFO" if spoken else "CRITICAL"}


def _environment() -> dict[str, Any]:
    """Of all processes of ours, whose nodes know nothing of this one's environment."""
    # What was submitted has it from the Jobs API, and Ray refuses to be told twice.
    if not is_verbose() or "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        return {}
    return {"runtime_env": {"env_vars": worker_settings()}}


def _own_address(address: str | None) -> str | None:
    """Ray's own address for what people may write. Raises AddressInvalid."""
    if address == "auto" and not os.environ.get("RAY_ADDRESS"):
        local = running_cluster()
        return local.address if local else address
    if address is None or not is_url(address):
        return address
    if local := local_cluster_at(address):
        return local.address
    raise AddressInvalid(
        f"{address} is a dashboard, which `unfreeze submit` takes; expected Ray's own address, "
        "HOST:PORT, or auto"
    )


def _leave_no_trace(environment: Mapping[str, str], folder: Path | None) -> None:
    # Ray has read its token settings for good, so they stay.
    kept = {key: value for key, value in os.environ.items() if key.startswith("RAY_AUTH")}
    os.environ.clear()
    os.environ.update({**environment, **kept})
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
