"""`ray start` for a node on loopback: python -m unfreeze.cluster.local.loopback_node start ...

Ray takes 127.0.0.1 for a slip on Linux, puts the machine's outer address in its place, and then
listens on it. RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 makes it stay on loopback (connect.py sets it for
drivers), but then `ray start` refuses to add a node. Here it does both.
"""

from ray._private import ray_constants, services
from ray.scripts.scripts import main

from unfreeze.cluster.local.nodes import LOOPBACK


def loopback(address: str | None = None) -> str:
    """In the place of Ray's own look at the machine's network."""
    return LOOPBACK


if __name__ == "__main__":
    services.get_node_ip_address = loopback
    ray_constants.ENABLE_RAY_CLUSTER = True
    main()
