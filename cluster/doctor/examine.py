"""Looks at every node of the connected cluster. What it means is said in `findings`."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unfreeze.cluster.doctor import pair_bandwidth, probes
from unfreeze.cluster.doctor.clock import estimate_offset
from unfreeze.cluster.doctor.facts import (
    ClockOffset,
    Dashboard,
    Examination,
    Machine,
    Node,
    Pair,
    RayProcess,
    Space,
    Unanswered,
)
from unfreeze.cluster.doctor.node_actors import (
    ANSWER_WITHIN_S,
    NodeActors,
    gather,
    reason_of,
    sent_by_value,
)

CHECK_WITHIN_S = 120.0
"""For the caller's own check, which may wait for time-outs of its own."""

PINGS = 8

Check = Callable[[], Any]
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Thoroughness:
    """How much is sent between nodes."""

    message_bytes: int = pair_bandwidth.MESSAGE_BYTES
    repetitions: int = pair_bandwidth.REPETITIONS
    few_pairs: bool = False


THOROUGH = Thoroughness()
QUICK = Thoroughness(1024**2, 3, few_pairs=True)


def examine(
    check: Check | None = None,
    *,
    thoroughness: Thoroughness = THOROUGH,
    tell: Tell = lambda doing: None,
) -> Examination:
    """Looks at all nodes that Ray holds alive; each has ANSWER_WITHIN_S to answer.

    `check` runs on all nodes at once, as a job would. It is sent by reference: a node without
    unfreeze cannot run it. `tell` gets what is being done. Ray must be connected.
    """
    import ray

    with sent_by_value(), NodeActors() as actors:
        nodes = nodes_of(ray.nodes())
        tell(f"looking at {len(nodes)} node(s)")
        for node in nodes:  # all of them start at once
            actors.probe(node)
            actors.rank(node)
            if len(nodes) == 1:
                actors.rank(node, 1)
        this_machine = machine_of(probes.look())
        nodes = _look(nodes, actors)
        answering = [node for node in nodes if node.machine]
        dashboard = _ask_dashboard(answering, actors)
        answers: Mapping[str, Any] = {}
        if check:
            tell("trying the store from each node")
            calls = {node.name: actors.probe(node).call.remote(check) for node in answering}
            answers = gather(calls, CHECK_WITHIN_S)
        pairs, left_out = _measure_pairs(answering, actors, thoroughness, tell)
    return Examination(
        session=_own_node().session_name,
        this_machine=this_machine,
        nodes=nodes,
        pairs=pairs,
        pairs_left_out=left_out,
        dashboard=dashboard,
        answers=answers,
    )


def nodes_of(listed: Sequence[Mapping[str, Any]]) -> list[Node]:
    """What `ray.nodes()` lists, the head first, without those that are gone."""
    alive = [node for node in listed if node["Alive"]]
    addresses = [node["NodeManagerAddress"] for node in alive]
    nodes = []
    for node in alive:
        address, resources = node["NodeManagerAddress"], node["Resources"]
        alone = addresses.count(address) == 1
        nodes.append(
            Node(
                name=address if alone else f"{address} ({node['NodeID'][:6]})",
                node_id=node["NodeID"],
                address=address,
                hostname=node["NodeManagerHostname"],
                is_head="node:__internal_head__" in resources,
                ray_gpus=resources.get("GPU", 0.0),
                object_store_bytes=resources.get("object_store_memory", 0.0),
            )
        )
    return sorted(nodes, key=lambda node: (not node.is_head, node.name))


def machine_of(found: Mapping[str, Any]) -> Machine:
    """What `probes.look` gave."""
    spaces = {what: Space(**space) for what, space in found["folders"].items()}
    processes = tuple(RayProcess(**process) for process in found["ray_processes"])
    return Machine(**{**found, "folders": spaces, "ray_processes": processes})


def _look(nodes: Sequence[Node], actors: NodeActors) -> list[Node]:
    """The nodes, with what was found there, or why nothing was."""
    found = gather({node.name: actors.probe(node).look.remote() for node in nodes})
    looked = []
    for node in nodes:
        answer = found[node.name]
        if isinstance(answer, Unanswered):
            looked.append(replace(node, problem=answer.reason))
        else:
            clock = _ask_clock(actors.probe(node))
            looked.append(replace(node, machine=machine_of(answer), clock=clock))
    return looked


def _ask_clock(probe: Any) -> ClockOffset | None:
    """None if the node went away meanwhile."""
    import ray

    pings = []
    try:
        for _ in range(PINGS):
            asked = time.time()
            there = ray.get(probe.now.remote(), timeout=ANSWER_WITHIN_S)
            pings.append((asked, there, time.time()))
    except ray.exceptions.RayError:
        return None
    return estimate_offset(pings)


def _ask_dashboard(nodes: Sequence[Node], actors: NodeActors) -> Dashboard:
    """Asked from the head, as it may listen on the loopback alone."""
    url = _own_node().webui_url
    if not url:
        return Dashboard(None)
    head = next((node for node in nodes if node.is_head), None)
    if head is None:
        return Dashboard(f"http://{url}", problem="the head does not answer")
    asked = actors.probe(head).ask_dashboard.remote(f"http://{url}")
    answer = gather({head.name: asked})[head.name]
    if isinstance(answer, Unanswered):
        return Dashboard(f"http://{url}", problem=answer.reason)
    return Dashboard(**answer)


def _measure_pairs(
    nodes: Sequence[Node], actors: NodeActors, thoroughness: Thoroughness, tell: Tell
) -> tuple[list[Pair], int]:
    """One after the other, so that they do not share a link; and how many were left out."""
    able = {node.name: node for node in nodes if node.machine and not node.machine.torch_problem}
    if not able:
        return [], 0
    head = next((name for name, node in able.items() if node.is_head), "")
    chosen = pair_bandwidth.pairs_of([*able], head, few=thoroughness.few_pairs)
    measured = []
    for number, (first, second) in enumerate(chosen, 1):
        tell(f"all-reduce between nodes, pair {number} of {len(chosen)}")
        measured.append(_measure_pair(able[first], able[second], actors, thoroughness))
    everything = max(1, len(able) * (len(able) - 1) // 2)
    return measured, everything - len(chosen)


def _measure_pair(first: Node, second: Node, actors: NodeActors, thorough: Thoroughness) -> Pair:
    import ray

    assert first.machine and second.machine
    same = first.name == second.name
    gpus = (first.machine.torch_gpus, second.machine.torch_gpus)
    backend = pair_bandwidth.choose_backend(*gpus, same_node=same)
    speed, problem = None, None
    used: tuple[str | None, str | None] = (None, None)
    try:
        one, its_interface = actors.ready_rank(first)
        other, other_interface = actors.ready_rank(second, int(same))
        used = (its_interface, other_interface)
        speed = pair_bandwidth.measure_pair(
            one,
            other,
            first.address,
            backend,
            num_bytes=thorough.message_bytes,
            repetitions=thorough.repetitions,
        )
    except ray.exceptions.RayError as error:
        problem = reason_of(error)
        actors.end_ranks(first, second)
    return Pair(
        first=first.name,
        second=second.name,
        backend=backend,
        bytes_per_s=speed,
        problem=problem,
        interfaces=used,
    )


def _own_node() -> Any:
    """Ray's record of what this process is connected to: session, folders, dashboard."""
    import ray

    return ray._private.worker.global_worker.node
