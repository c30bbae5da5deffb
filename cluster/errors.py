"""What can go wrong with a cluster.

ClusterError
 |- ClusterUnreachable   no Ray answers at the address
 |- ClusterLost          Ray, or a part of it that is needed, went away while it was used
 `- NotEnoughResources   the cluster has less than the job asks for
"""


class ClusterError(Exception):
    """Something is wrong with the cluster, or between us and it."""


class ClusterUnreachable(ClusterError, ConnectionError):
    """No Ray cluster answers at the address."""


class ClusterLost(ClusterError, ConnectionError):
    """Ray, or a part of it that is needed, went away while it was used."""


class NotEnoughResources(ClusterError, ValueError):
    """The cluster has less than what is asked for."""
