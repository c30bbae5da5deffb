"""A cluster as it is now: nodes, what is free, and jobs. Asks its dashboard, and starts nothing."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from unfreeze.cluster.addresses import is_url
from unfreeze.cluster.dashboard import dashboard_of, fetch
from unfreeze.cluster.errors import ClusterUnreachable
from unfreeze.cluster.local.state import (
    LocalCluster,
    local_cluster_at,
    read_state,
    running_cluster,
)
from unfreeze.cluster.nodes import Node, Running, free, nodes_of, running_jobs
from unfreeze.cluster.tokens import token_for, use_token

LISTED = "/api/v0/nodes?detail=1&limit=10000"
"""All nodes that the dashboard remembers."""


@dataclass(frozen=True, slots=True)
class ClusterView:
    """What `unfreeze cluster status` shows."""

    address: str
    """Of the dashboard."""
    nodes: list[Node]
    free_cpus: float
    free_gpus: float
    jobs: Running


def look_at(address: str) -> ClusterView:
    """Asks the cluster at an address of either kind. Raises ClusterError.

    Which nodes drain, Ray's own address alone can say: by way of a dashboard elsewhere they are
    shown as alive.
    """
    url = dashboard_of(address)
    token = token_for(url)
    listed = fetch(url, LISTED, token=token)
    local = local_cluster_at(address)
    own = local.address if local else None if is_url(address) else address
    draining = draining_nodes(own) if own else set()
    nodes = nodes_of(listed, fetch(url, "/nodes?view=summary", token=token), draining)
    jobs = running_jobs(fetch(url, "/api/jobs/", token=token))
    cpus, gpus = free(nodes)
    return ClusterView(url, nodes, cpus, gpus, jobs)


def draining_nodes(address: str) -> set[str]:
    """Ids of the nodes that are being drained, asked of Ray itself. Raises ClusterUnreachable."""
    use_token(address)
    from ray._private.services import canonicalize_bootstrap_address_or_die
    from ray._private.state import GlobalState
    from ray._raylet import GcsClientOptions  # type: ignore[attr-defined]  # Cython, without types
    from ray.exceptions import RayError

    state = GlobalState()
    try:
        if address == "auto":
            address = canonicalize_bootstrap_address_or_die(address)
        options = GcsClientOptions.create(
            address, None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False
        )
        state._initialize_global_state(options)
        return set(state.get_draining_nodes())
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        reason = [*str(error).strip().splitlines(), type(error).__name__][0]
        raise ClusterUnreachable(f"no Ray cluster at {address}: {reason}") from error
    finally:
        state.disconnect()


def which_cluster(address: str | None) -> str:
    """The cluster that is meant. Raises ClusterUnreachable if none is, saying how to have one."""
    return choose_cluster(address, os.environ, running_cluster(), read_state())


def choose_cluster(
    address: str | None,
    environment: Mapping[str, str],
    running: LocalCluster | None,
    last: LocalCluster | None,
) -> str:
    """The one that is named, that of RAY_API_SERVER_ADDRESS, ours, that of RAY_ADDRESS.

    Raises ClusterUnreachable.
    """
    if named := address or environment.get("RAY_API_SERVER_ADDRESS"):
        return running.address if named == "auto" and running else named
    if running:
        return running.dashboard
    if other := environment.get("RAY_ADDRESS"):
        return other
    if last:
        raise ClusterUnreachable(
            f"the head of the local cluster (pid {last.head.main.pid}) has died; "
            "`unfreeze cluster up` cleans up and starts it anew"
        )
    raise ClusterUnreachable(
        "no cluster: `unfreeze cluster up` starts one on this machine, --address leads to another"
    )
