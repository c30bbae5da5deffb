"""What is written down of the cluster of `unfreeze cluster up`: ${UNFREEZE_HOME}/cluster.json.

It holds addresses and processes, no secrets; 0600 all the same.
"""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unfreeze.cluster.home import home_folder
from unfreeze.cluster.local.processes import Recorded, is_running


@dataclass(frozen=True, slots=True)
class LocalNode:
    """A head or a worker of ours: what it was started with, and its processes."""

    name: str
    cpus: int
    gpus: tuple[str, ...]
    """As in CUDA_VISIBLE_DEVICES."""
    main: Recorded
    """`ray start --block`: it ends the others when it ends."""
    members: tuple[Recorded, ...] = ()
    """The processes that it had started when it was ready."""


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """A head and its workers, on this machine."""

    address: str
    """HOST:PORT, for --address of `unfreeze train`."""
    dashboard: str
    """http://HOST:PORT, for --address of `unfreeze submit`."""
    folder: Path
    """Logs, and Ray's temporary folder. Ours alone, and gone after `down`."""
    nodes: tuple[LocalNode, ...]
    """The head first."""

    @property
    def head(self) -> LocalNode:
        return self.nodes[0]


def state_file() -> Path:
    """Where it is written down."""
    return home_folder() / "cluster.json"


def read_state() -> LocalCluster | None:
    """What was written down last, running or not. An unreadable file is as good as none."""
    try:
        return _cluster_of(json.loads(state_file().read_text()))
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return None


def write_state(cluster: LocalCluster) -> None:
    """Whole or not at all."""
    target = state_file()
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}-{secrets.token_hex(4)}")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(asdict(cluster) | {"folder": str(cluster.folder)}, file, indent=1)
    partial.replace(target)


def remove_state() -> None:
    """Nothing of ours runs any more."""
    state_file().unlink(missing_ok=True)


def running_cluster() -> LocalCluster | None:
    """The cluster of `unfreeze cluster up`, if its head runs."""
    cluster = read_state()
    return cluster if cluster and is_running(cluster.head.main) else None


def local_cluster_at(address: str) -> LocalCluster | None:
    """The cluster of `unfreeze cluster up`, if that is what runs at an address of either kind."""
    cluster = running_cluster()
    if cluster and address.rstrip("/") in (cluster.address, cluster.dashboard):
        return cluster
    return None


def _cluster_of(fields: dict[str, Any]) -> LocalCluster:
    nodes = tuple(
        LocalNode(
            name=str(node["name"]),
            cpus=int(node["cpus"]),
            gpus=tuple(map(str, node["gpus"])),
            main=_recorded_of(node["main"]),
            members=tuple(map(_recorded_of, node["members"])),
        )
        for node in fields["nodes"]
    )
    if not nodes:
        raise ValueError("no head")
    address, dashboard = str(fields["address"]), str(fields["dashboard"])
    return LocalCluster(address, dashboard, Path(fields["folder"]), nodes)


def _recorded_of(fields: dict[str, Any]) -> Recorded:
    return Recorded(int(fields["pid"]), float(fields["started"]))
