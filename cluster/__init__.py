"""Talking to Ray. Knows nothing of training."""

from unfreeze.cluster.connect import WORKER_SETTINGS, connect, home_folder
from unfreeze.cluster.errors import (
    ClusterError,
    ClusterLost,
    ClusterUnreachable,
    NotEnoughResources,
)
from unfreeze.cluster.resources import (
    Resources,
    Workers,
    cluster_resources,
    local_resources,
    plan_workers,
)

__all__ = [
    "WORKER_SETTINGS",
    "ClusterError",
    "ClusterLost",
    "ClusterUnreachable",
    "NotEnoughResources",
    "Resources",
    "Workers",
    "cluster_resources",
    "connect",
    "home_folder",
    "local_resources",
    "plan_workers",
]
