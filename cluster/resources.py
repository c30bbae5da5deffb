"""What a cluster has, and whether a job fits in it (pure, but for the two that ask)."""

import os
from dataclasses import dataclass

from unfreeze.cluster.errors import NotEnoughResources


@dataclass(frozen=True, slots=True)
class Resources:
    """What the nodes of a cluster have together."""

    cpus: float
    gpus: float
    nodes: int = 1

    def __str__(self) -> str:
        return f"{self.cpus:g} CPUs and {self.gpus:g} GPUs on {self.nodes} node(s)"


@dataclass(frozen=True, slots=True)
class Workers:
    """How many workers, and what each has."""

    count: int
    cpus: float
    gpus: float


def plan_workers(
    have: Resources, *, workers: int | None, gpus_per_worker: float | None, cpus_per_worker: float
) -> Workers:
    """The workers of a job: by default one for each GPU, or two on CPUs if there are as many.

    Raises NotEnoughResources, saying what the cluster has.
    """
    gpus = gpus_per_worker if gpus_per_worker is not None else (1.0 if have.gpus >= 1 else 0.0)
    if workers is None:
        by_cpu = max(1, min(2, int(have.cpus // cpus_per_worker)))
        workers = int(have.gpus // gpus) if gpus else by_cpu
    need_cpus, need_gpus = workers * cpus_per_worker, workers * gpus
    if need_cpus > have.cpus or need_gpus > have.gpus or workers < 1:
        raise NotEnoughResources(
            f"scale.workers: {workers} workers need {need_cpus:g} CPUs and {need_gpus:g} GPUs; "
            f"the cluster has {have}"
        )
    return Workers(workers, cpus_per_worker, gpus)


def local_resources() -> Resources:
    """What this machine has."""
    import torch

    return Resources(float(len(os.sched_getaffinity(0))), float(torch.cuda.device_count()))


def cluster_resources() -> Resources:
    """What the connected cluster has, free or not."""
    import ray

    have = ray.cluster_resources()
    nodes = sum(1 for node in ray.nodes() if node["Alive"])
    return Resources(have.get("CPU", 0.0), have.get("GPU", 0.0), nodes)
