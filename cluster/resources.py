"""What a cluster has, and whether a job fits in it (pure, but for those that ask)."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from unfreeze.cluster.errors import NotEnoughResources


@dataclass(frozen=True, slots=True)
class Resources:
    """What the nodes of a cluster have together."""

    cpus: float
    gpus: float
    nodes: int = 1
    hosts: int = 1
    """Different addresses of theirs: a local cluster has several nodes on one."""

    def __str__(self) -> str:
        return f"{self.cpus:g} CPUs and {self.gpus:g} GPUs on {self.nodes} node(s)"


@dataclass(frozen=True, slots=True)
class Workers:
    """How many workers, and what each has."""

    count: int
    cpus: float
    gpus: float

    def __str__(self) -> str:
        gpus = f" and {self.count * self.gpus:g} GPUs" if self.gpus else ""
        return f"{self.count * self.cpus:g} CPUs{gpus}"


def plan_workers(
    have: Resources,
    *,
    workers: int | tuple[int, int] | None,
    gpus_per_worker: float | None,
    cpus_per_worker: float,
) -> Workers:
    """The workers of a job: by default one for each GPU, or two on CPUs if there are as many.

    `workers` as (least, most): as many as fit. Raises NotEnoughResources, saying what the cluster
    has.
    """
    gpus = gpus_per_worker if gpus_per_worker is not None else (1.0 if have.gpus >= 1 else 0.0)
    if workers is None:
        by_cpu = max(1, min(2, int(have.cpus // cpus_per_worker)))
        workers = int(have.gpus // gpus) if gpus else by_cpu
    elif isinstance(workers, tuple):
        least, most = workers
        workers = max(least, min(most, slots([have], Workers(1, cpus_per_worker, gpus))))
    need_cpus, need_gpus = workers * cpus_per_worker, workers * gpus
    if need_cpus > have.cpus or need_gpus > have.gpus or workers < 1:
        raise NotEnoughResources(
            f"scale.workers: {workers} workers need {need_cpus:g} CPUs and {need_gpus:g} GPUs; "
            f"the cluster has {have}"
        )
    return Workers(workers, cpus_per_worker, gpus)


def slots(nodes: Iterable[Resources], workers: Workers) -> int:
    """How many such workers fit; none of them on two nodes."""
    return sum(_slots(node, workers) for node in nodes)


def _slots(node: Resources, workers: Workers) -> int:
    # Ten workers of 0.1 CPUs fit into one CPU, although 1 // 0.1 is 9.
    fit = int(node.cpus / workers.cpus + 1e-6)
    return min(fit, int(node.gpus / workers.gpus + 1e-6)) if workers.gpus else fit


def local_resources() -> Resources:
    """What this machine has."""
    import torch

    return Resources(float(len(os.sched_getaffinity(0))), float(torch.cuda.device_count()))


def cluster_resources() -> Resources:
    """What the nodes of the connected cluster have together, free or not."""
    nodes = _nodes_that_stay()
    found = [_resources(node["Resources"]) for node in nodes]
    hosts = {node["NodeManagerAddress"] for node in nodes}
    return Resources(sum(n.cpus for n in found), sum(n.gpus for n in found), len(found), len(hosts))


def node_resources() -> list[Resources]:
    """What each node of the connected cluster has, free or not. Those that drain are left out."""
    return [_resources(node["Resources"]) for node in _nodes_that_stay()]


def _nodes_that_stay() -> list[dict[str, Any]]:
    import ray

    draining = draining_nodes()
    nodes: list[dict[str, Any]] = ray.nodes()
    return [node for node in nodes if node["Alive"] and node["NodeID"] not in draining]


def free_resources() -> list[Resources]:
    """What is free on each node of the connected cluster. Those that drain are left out."""
    import ray

    draining = draining_nodes()
    free: dict[str, dict[str, float]] = ray._private.state.available_resources_per_node()
    return [_resources(has) for node, has in free.items() if node not in draining]


def draining_nodes() -> set[str]:
    """Nodes of the connected cluster that will go away soon, by the ids that Ray gives them."""
    import ray

    return set(ray._private.state.state.get_draining_nodes())


def own_node_drains() -> bool:
    """Whether the node that this process runs on will go away soon. A process without a Ray is on
    none (to ask would connect it to the next best one)."""
    import ray

    return ray.is_initialized() and ray.get_runtime_context().get_node_id() in draining_nodes()


def _resources(has: dict[str, float]) -> Resources:
    return Resources(has.get("CPU", 0.0), has.get("GPU", 0.0))
