"""The cluster of `unfreeze cluster up`: a head and workers on this machine, until `down`.

One for each user, on loopback only, behind a token. With workers the head has no CPUs to train
on, as in production; so what runs here has been through the wire.

    ${UNFREEZE_HOME:-~/.unfreeze}/
      cluster.json       addresses and processes; 0600
      ray-token          0600; stays after `down`
    /tmp/unfreeze-up-*/  0700, and gone after `down`
      NAME.log           what `ray start` said
      ray/               Ray's sockets and logs; Ray lets everybody write to it
"""

import fcntl
import os
import shutil
import socket
import time
from collections.abc import Iterator, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from unfreeze.cluster import dashboard
from unfreeze.cluster.addresses import host_of
from unfreeze.cluster.errors import ClusterError, ClusterUnreachable
from unfreeze.cluster.home import home_folder
from unfreeze.cluster.local import processes
from unfreeze.cluster.local.nodes import (
    LOOPBACK,
    Machine,
    NodeShape,
    Ports,
    Wanted,
    differences,
    head_and_workers,
    more_workers,
    node_environment,
    start_command,
    visible_gpus,
)
from unfreeze.cluster.local.state import (
    LocalCluster,
    LocalNode,
    read_state,
    remove_state,
    write_state,
)
from unfreeze.cluster.nodes import rows_of
from unfreeze.cluster.private_folder import make_ray_folder
from unfreeze.cluster.resources import local_resources
from unfreeze.cluster.tokens import make_token, settings_for, token_file
from unfreeze.cluster.view import LISTED

READY_WITHIN_S = 180.0
"""Of one node. 6 to 12 s on a quiet machine; one that has ended is noticed at once."""
ATTEMPTS = 3
"""Of each node. Ray gives up on its own parts after 15 s, which a busy machine may take."""
STOP_WITHIN_S = 10.0
"""Then what is left is killed."""
FOLDER_PREFIX = "unfreeze-up-"


@dataclass(frozen=True, slots=True)
class Up:
    """What `up` found or made."""

    cluster: LocalCluster
    was_up: bool
    notes: tuple[str, ...] = ()
    """What differs from what was asked for, or was cleaned up: sentences."""


def up(wanted: Wanted) -> Up:
    """Starts the cluster, or the workers that it lacks, and waits until all nodes are alive.

    Does nothing if it runs as wanted. What is left of one whose head has died is ended first. Safe
    to call from several processes at once. Raises ClusterError: then nothing that it has started
    runs on.
    """
    settings_for(None, os.environ)  # refuses to start anything without a token
    with _locked():
        last = read_state()
        if last and processes.is_running(last.head.main):
            return _complete(last, wanted)
        notes: tuple[str, ...] = ()
        if last:
            _end(last)
            notes = ("the head of the last cluster had died; what it left is cleaned up",)
        return Up(_start(wanted), was_up=False, notes=notes)


def down() -> LocalCluster | None:
    """Ends what `up` started and nothing else. None if there is nothing."""
    with _locked():
        last = read_state()
        return last if last and _end(last) else None


def _start(wanted: Wanted) -> LocalCluster:
    token = make_token(token_file())
    shapes = head_and_workers(wanted, _machine())
    folder = make_ray_folder(FOLDER_PREFIX)
    ports = _free_ports()
    cluster = LocalCluster(ports.address, ports.dashboard_url, folder, ())
    return _add(cluster, shapes, ports, token)


def _complete(cluster: LocalCluster, wanted: Wanted) -> Up:
    """A cluster that runs, with the workers that it lacks."""
    states = _wait_until(cluster, {"head"})
    # A drained node's `ray start` goes on without its raylet; of a killed one Ray hears late.
    dead = [
        node
        for node in cluster.nodes
        if states.get(node.name) != "ALIVE" or not processes.is_running(node.main)
    ]
    _end_nodes(dead)
    cluster = replace(cluster, nodes=tuple(node for node in cluster.nodes if node not in dead))
    write_state(cluster)
    head, *workers = map(_shape_of, cluster.nodes)
    notes = differences(wanted, head, workers)
    missing = (wanted.workers or 0) - len(workers)
    if missing > 0:
        machine = _machine(without=head.gpus)
        total = len(workers) + missing
        shapes = more_workers(wanted, machine, workers, total, names=states)
        cluster = _add(cluster, shapes, _ports_of(cluster), token_file())
        notes.append(f"added {', '.join(shape.name for shape in shapes)}")
    return Up(cluster, was_up=True, notes=tuple(notes))


def _shape_of(node: LocalNode) -> NodeShape:
    return NodeShape(node.name, node.cpus, node.gpus)


def _add(
    cluster: LocalCluster, shapes: Sequence[NodeShape], ports: Ports, token: Path
) -> LocalCluster:
    """The cluster with nodes of these shapes, alive. Ends what it has started if that fails."""
    before = cluster
    try:
        for shape in shapes:  # two that start at once would choose the same name for their sockets
            for attempt in range(1, ATTEMPTS + 1):
                cluster = _with_node(cluster, shape, ports, token)
                try:
                    _wait_until(cluster, {shape.name})
                    break
                except ClusterUnreachable:
                    if attempt == ATTEMPTS or processes.is_running(cluster.nodes[-1].main):
                        raise
                    cluster = replace(cluster, nodes=cluster.nodes[:-1])
        cluster = replace(cluster, nodes=tuple(map(_with_members, cluster.nodes)))
        write_state(cluster)
        return cluster
    except BaseException:
        _end_nodes(cluster.nodes[len(before.nodes) :])
        if before.nodes:
            write_state(before)
        else:
            remove_state()
        raise


def _with_node(cluster: LocalCluster, shape: NodeShape, ports: Ports, token: Path) -> LocalCluster:
    """The cluster with one more node, which begins to start."""
    log = cluster.folder / f"{shape.name}.log"
    main = processes.start(
        start_command(shape, ports, cluster.folder / "ray"),
        node_environment(os.environ, shape, ports, token),
        log,
    )
    if main is None:
        _fail(f"{shape.name} ended at once", log)
    node = LocalNode(shape.name, shape.cpus, shape.gpus, main)
    cluster = replace(cluster, nodes=(*cluster.nodes, node))
    write_state(cluster)  # at once: `down` can end it whatever happens to us
    return cluster


def _with_members(node: LocalNode) -> LocalNode:
    return replace(node, members=processes.descendants(node.main))


def _wait_until(cluster: LocalCluster, names: Set[str]) -> dict[str, str]:
    """Until the dashboard says that nodes of these names are alive; the states of all by name."""
    token = token_file().read_text().strip()
    waited_for = [node for node in cluster.nodes if node.name in names]
    deadline, problem = time.monotonic() + READY_WITHIN_S, ""
    while True:
        for node in waited_for:
            if not processes.is_running(node.main):
                _fail(f"{node.name} ended while starting", cluster.folder / f"{node.name}.log")
        try:
            states = _states(cluster.dashboard, token)
            missing = sorted(name for name in names if states.get(name) != "ALIVE")
            if not missing:
                return states
            problem = f"{missing[0]} is not alive"
        except ClusterError as error:
            problem, missing = str(error), sorted(names)
        if time.monotonic() > deadline:
            log = cluster.folder / f"{missing[0]}.log"
            what = f"not ready after {READY_WITHIN_S:.0f} s: {problem}"
            _fail(f"{what}; `unfreeze cluster down` ends what runs", log)
        time.sleep(0.2)


def _states(address: str, token: str) -> dict[str, str]:
    """By name. Of nodes of the same name, the one that is alive counts."""
    listed = rows_of(dashboard.fetch(address, LISTED, token=token, timeout_s=5))
    in_order = sorted(listed, key=lambda node: bool(node["state"] == "ALIVE"))
    return {str(node["node_name"]): str(node["state"]) for node in in_order}


def _end(cluster: LocalCluster) -> bool:
    """Ends a cluster and removes its traces. Whether anything of it ran."""
    ran = _end_nodes(cluster.nodes)
    remove_state()
    if cluster.folder.name.startswith(FOLDER_PREFIX):
        shutil.rmtree(cluster.folder, ignore_errors=True)
    return ran


def _end_nodes(nodes: Sequence[LocalNode]) -> bool:
    """Workers first: a raylet that has lost its head waits for it."""
    workers = [node for node in nodes if node.name != "head"]
    ran = False
    for some in (workers, [node for node in nodes if node.name == "head"]):
        mains = [node.main for node in some]
        members = [member for node in some for member in node.members]
        ran |= bool(processes.end(mains, members, wait_s=STOP_WITHIN_S))
    return ran


def _machine(without: Sequence[str] = ()) -> Machine:
    have = local_resources()
    gpus = visible_gpus(int(have.gpus), os.environ)
    return Machine(int(have.cpus), tuple(gpu for gpu in gpus if gpu not in without))


def _free_ports() -> Ports:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(3)]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return Ports(*(int(probe.getsockname()[1]) for probe in probes))


def _ports_of(cluster: LocalCluster) -> Ports:
    assert host_of(cluster.address) == LOOPBACK
    gcs, http = (int(each.rpartition(":")[2]) for each in (cluster.address, cluster.dashboard))
    return Ports(gcs, http, client=0)  # only the head is told of the client's


@contextmanager
def _locked() -> Iterator[None]:
    """One at a time among all processes of this user; the system frees it at death."""
    home_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home_folder() / "cluster.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fail(what: str, log: Path) -> NoReturn:
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    said = [line.strip() for line in lines if line.strip() and " INFO " not in line][-8:]
    raise ClusterUnreachable(
        "\n  ".join([f"the local cluster: {what}; the logs are in {log.parent}:", *said])
    )
