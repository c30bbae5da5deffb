"""Processes of ours on the nodes of a cluster, for as long as they are looked at."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from unfreeze.cluster import interfaces
from unfreeze.cluster.doctor import pair_bandwidth, probes
from unfreeze.cluster.doctor.facts import Node, Unanswered

ANSWER_WITHIN_S = 60.0
"""A new worker takes 1 to 5 s and importing torch as long; a busy node has its time."""

MOST_OF_REASON = 300
"""Characters of an error that are told."""


@contextmanager
def sent_by_value() -> Iterator[None]:
    """What runs on the nodes travels whole: unfreeze may be missing there, or be another one."""
    from ray import cloudpickle

    modules = (interfaces, pair_bandwidth, probes)
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


class NodeActors:
    """Starts them when they are asked for, and ends them all with the block."""

    def __init__(self) -> None:
        self._probes: dict[str, Any] = {}
        self._ranks: dict[tuple[str, int], Any] = {}
        self._prepared: dict[tuple[str, int], Any] = {}

    def __enter__(self) -> "NodeActors":
        return self

    def __exit__(self, *error: object) -> None:
        import ray

        for actor in [*self._probes.values(), *self._ranks.values()]:
            ray.kill(actor)

    def probe(self, node: Node) -> Any:
        """The node's; started at the first call."""
        if node.name not in self._probes:
            self._probes[node.name] = _start(probes.Probe, node)
        return self._probes[node.name]

    def rank(self, node: Node, number: int = 0) -> Any:
        """One of the node's ranks; started at the first call, and where it was ended."""
        if (node.name, number) not in self._ranks:
            rank = _start(pair_bandwidth.Rank, node)
            self._ranks[node.name, number] = rank
            prepared = rank.prepare.remote(interfaces.use_interface_of_node)
            self._prepared[node.name, number] = prepared
        return self._ranks[node.name, number]

    def ready_rank(self, node: Node, number: int = 0) -> tuple[Any, str | None]:
        """The rank, with torch loaded, and its interface. Raises Ray's errors."""
        import ray

        rank = self.rank(node, number)
        return rank, ray.get(self._prepared[node.name, number], timeout=ANSWER_WITHIN_S)

    def end_ranks(self, *nodes: Node) -> None:
        """A rank that failed may hang in its process group for good."""
        import ray

        names = {node.name for node in nodes}
        for key in [key for key in self._ranks if key[0] in names]:
            ray.kill(self._ranks.pop(key))


def gather(refs: Mapping[str, Any], timeout_s: float = ANSWER_WITHIN_S) -> dict[str, Any]:
    """What each gave, or Unanswered; all have the same time."""
    import ray

    if not refs:
        return {}
    ready, _ = ray.wait([*refs.values()], num_returns=len(refs), timeout=timeout_s)
    found: dict[str, Any] = {}
    for name, ref in refs.items():
        if ref not in ready:
            found[name] = Unanswered(f"no answer within {timeout_s:.0f} s")
            continue
        try:
            found[name] = ray.get(ref)
        except ray.exceptions.RayError as error:
            found[name] = Unanswered(reason_of(error))
    return found


def reason_of(error: Exception) -> str:
    """One line of one of Ray's errors: of its cause, where there is one."""
    cause = getattr(error, "cause", None) or error
    # Of an actor that died Ray says so, then lists its names after tabs, then says why.
    lines = [line for line in str(cause).splitlines() if line.strip() and line[0] != "\t"]
    if len(lines) > 1 and lines[0].startswith("The actor died unexpectedly"):
        lines.pop(0)
    return [*lines, type(cause).__name__][0].strip()[:MOST_OF_REASON]


def _start(actor_class: type, node: Node) -> Any:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
    actor: Any = ray.remote(actor_class)
    return actor.options(num_cpus=0, scheduling_strategy=there).remote()
