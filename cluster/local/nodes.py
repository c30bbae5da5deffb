"""The nodes of a cluster on this machine: how many, with what, started how (pure)."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unfreeze.cluster.connect import LOCAL_SETTINGS
from unfreeze.cluster.errors import NotEnoughResources
from unfreeze.cluster.tokens import MODE, TOKEN, TOKEN_PATH
from unfreeze.cluster.verbosity import worker_settings

LOOPBACK = "127.0.0.1"

OBJECT_STORE_BYTES = 500_000_000
"""Of each node. Only messages go through it; Ray would give every node a third of the memory."""

_NOT_HANDED_ON = ("RAY_ADDRESS", "RAY_NAMESPACE", "RAY_REDIS_ADDRESS", TOKEN)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for; None: as it fits the machine."""

    workers: int | None = None
    cpus_per_node: int | None = None
    gpus_per_node: int | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to share out."""

    cpus: int
    gpus: tuple[str, ...]
    """Those that may be used, as in CUDA_VISIBLE_DEVICES."""


@dataclass(frozen=True, slots=True)
class NodeShape:
    """A node that is to be started."""

    name: str
    cpus: int
    gpus: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the head listens; workers let the system choose."""

    gcs: int
    dashboard: int
    client: int

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.gcs}"

    @property
    def dashboard_url(self) -> str:
        return f"http://{LOOPBACK}:{self.dashboard}"


def visible_gpus(count: int, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Names of `count` GPUs, as CUDA_VISIBLE_DEVICES of our own environment has them."""
    named = [part for part in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if part]
    return tuple(named[:count]) if len(named) >= count else tuple(map(str, range(count)))


def head_and_workers(wanted: Wanted, machine: Machine) -> list[NodeShape]:
    """A head that trains if it is alone, else one that only drives, and its workers.

    CPUs are shared out evenly, at least one to each; they may be more than the machine has (a
    rehearsal). GPUs may not, and no two nodes have the same. Raises NotEnoughResources.
    """
    workers = wanted.workers or 0
    if not workers:
        cpus = wanted.cpus_per_node if wanted.cpus_per_node is not None else machine.cpus
        return [NodeShape("head", cpus, _share_of_gpus(wanted, machine, 0, 1))]
    return [NodeShape("head", 0, ()), *more_workers(wanted, machine, [], workers)]


def more_workers(
    wanted: Wanted,
    machine: Machine,
    running: Sequence[NodeShape],
    total: int,
    *,
    names: Iterable[str] = (),
) -> list[NodeShape]:
    """Workers that are missing to `total` beside those that run. They get none of the names that
    the cluster has seen. Raises NotEnoughResources.
    """
    taken = {gpu for node in running for gpu in node.gpus}
    free = Machine(machine.cpus, tuple(gpu for gpu in machine.gpus if gpu not in taken))
    missing = total - len(running)
    cpus = wanted.cpus_per_node
    if cpus is None:
        cpus = running[0].cpus if running else max(1, machine.cpus // total)
    numbers = [name.partition("-")[2] for name in names]
    first = 1 + max((int(number) for number in numbers if number.isdecimal()), default=0)
    return [
        NodeShape(f"worker-{first + place}", cpus, _share_of_gpus(wanted, free, place, missing))
        for place in range(missing)
    ]


def _share_of_gpus(wanted: Wanted, machine: Machine, place: int, of: int) -> tuple[str, ...]:
    have = len(machine.gpus)
    each = wanted.gpus_per_node if wanted.gpus_per_node is not None else have // of
    if each * of > have:
        raise NotEnoughResources(
            f"--gpus-per-node: {of} nodes with {each} GPUs need {each * of}; {have} are free on "
            "this machine"
        )
    return machine.gpus[place * each : (place + 1) * each]


def differences(wanted: Wanted, head: NodeShape, workers: Sequence[NodeShape]) -> list[str]:
    """What a cluster that runs has otherwise than asked for, and adding workers does not change."""
    found, first_down = [], "to change that, first run `unfreeze cluster down`"
    if wanted.workers is not None and wanted.workers < len(workers):
        found.append(f"it has {len(workers)} workers, not {wanted.workers}; {first_down}")
    if wanted.workers and head.cpus:
        found.append(f"its head has {head.cpus} CPUs and trains, too; {first_down}")
    for node in workers or [head]:
        if wanted.cpus_per_node not in (None, node.cpus):
            found.append(f"{node.name} has {node.cpus} CPUs; {first_down}")
        if wanted.gpus_per_node not in (None, len(node.gpus)):
            found.append(f"{node.name} has {len(node.gpus)} GPUs; {first_down}")
    return found


def start_command(node: NodeShape, ports: Ports, folder: Path) -> list[str]:
    """`ray start` for a node; the one named head is the head. All on loopback."""
    if node.name == "head":
        own = [
            "--head",
            f"--port={ports.gcs}",
            f"--dashboard-host={LOOPBACK}",
            f"--dashboard-port={ports.dashboard}",
            f"--ray-client-server-port={ports.client}",
            f"--temp-dir={folder}",
        ]
    else:
        own = [f"--address={ports.address}"]
    return [
        *(sys.executable, "-m", "unfreeze.cluster.local.loopback_node", "start", "--block"),
        *own,
        f"--node-ip-address={LOOPBACK}",
        f"--node-name={node.name}",
        f"--num-cpus={node.cpus}",
        f"--num-gpus={len(node.gpus)}",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        # Nodes share a host: fixed ports and ranges would clash.
        *("--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"),
    ]


def node_environment(
    environment: Mapping[str, str], node: NodeShape, ports: Ports, token_file: Path
) -> dict[str, str]:
    """The environment of a node, which its workers inherit: ours, with the token by its path.

    What leads to another Ray is left out, and a token as a value.
    """
    kept = {name: value for name, value in environment.items() if name not in _NOT_HANDED_ON}
    gpus = {"CUDA_VISIBLE_DEVICES": ",".join(node.gpus)} if node.gpus else {}
    # A job's entrypoint is found by PATH: it is to be our Python.
    path = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    return {
        **kept,
        **LOCAL_SETTINGS,
        # The head asks this often, not 5 times, before it takes a node for dead: a machine with
        # more work than cores lets a node wait.
        "RAY_health_check_failure_threshold": "12",
        **worker_settings(verbose=False),  # jobs ask for more themselves
        **gpus,
        "PATH": path.rstrip(os.pathsep),
        "RAY_API_SERVER_ADDRESS": ports.dashboard_url,
        MODE: "token",
        TOKEN_PATH: str(token_file),
    }
