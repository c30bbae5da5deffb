"""Talking to Ray. Knows nothing of training."""

from unfreeze.cluster.connect import connect
from unfreeze.cluster.errors import (
    AddressInvalid,
    AuthenticationOff,
    ClusterError,
    ClusterLost,
    ClusterUnreachable,
    DeployFileUnknown,
    Insecure,
    NotEnoughResources,
    OpenDashboard,
    ProgramFailed,
    ProgramMissing,
    SubmissionRefused,
    TokenFileRefused,
    TokenRefused,
)
from unfreeze.cluster.home import home_folder
from unfreeze.cluster.resources import (
    Resources,
    Workers,
    cluster_resources,
    free_resources,
    local_resources,
    node_resources,
    own_node_drains,
    plan_workers,
    slots,
)
from unfreeze.cluster.verbosity import is_verbose, worker_settings

__all__ = [
    "AddressInvalid",
    "AuthenticationOff",
    "ClusterError",
    "ClusterLost",
    "ClusterUnreachable",
    "DeployFileUnknown",
    "Insecure",
    "NotEnoughResources",
    "OpenDashboard",
    "ProgramFailed",
    "ProgramMissing",
    "Resources",
    "SubmissionRefused",
    "TokenFileRefused",
    "TokenRefused",
    "Workers",
    "cluster_resources",
    "connect",
    "free_resources",
    "home_folder",
    "is_verbose",
    "local_resources",
    "node_resources",
    "own_node_drains",
    "plan_workers",
    "slots",
    "worker_settings",
]
