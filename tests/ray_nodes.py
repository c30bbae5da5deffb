"""A Ray of a head and other nodes, each with room for one worker."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray_cluster import Node, ray_head

from unfreeze.cluster import connect

# Ray calls a node dead that has not answered five times; tests do not wait three seconds for each.
_QUICK_TO_GIVE_UP = {"RAY_health_check_period_ms": "1000"}


class Nodes:
    """Nodes that join and go away. To drain one, a driver has to be connected."""

    def __init__(self, folder: Path, address: str) -> None:
        self._folder, self.address = folder, address
        self.nodes: dict[str, Node] = {}

    def join(self) -> str:
        """Starts a node; its name. It is there a few seconds later."""
        name = f"node{len(self.nodes)}"
        self.nodes[name] = Node(
            self._folder,
            *(f"--address={self.address}", "--num-cpus=1", f'--resources={{"{name}": 1}}'),
            "--object-store-memory=100000000",
        )
        return name

    def wait_until_up(self, seconds: float = 180.0) -> None:
        """Waits until all nodes have joined. Connects to Ray meanwhile."""
        import ray

        deadline = time.monotonic() + seconds
        with connect(self.address):
            while sum(node["Alive"] for node in ray.nodes()) <= len(self.nodes):
                assert time.monotonic() < deadline, "the nodes did not join"
                assert not any(node.has_ended() for node in self.nodes.values()), "see ray.log"
                time.sleep(0.2)

    def kill(self, name: str) -> None:
        """As a power cut does."""
        self.nodes[name].kill()

    def at_work(self) -> list[str]:
        """The nodes beside the head that have a worker of Ray Train now."""
        return [name for name, node in self.nodes.items() if node.train_workers()]

    def drain(self, name: str, seconds: float) -> None:
        """Says that the node will go away, as a cloud does before it takes a machine back."""
        import ray
        from ray.core.generated.autoscaler_pb2 import DrainNodeReason

        deadline_ms = int((time.time() + seconds) * 1000)
        accepted, why = ray._raylet.GcsClient(address=self.address).drain_node(
            _id_of(name),
            DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION"),
            "the test drains it",
            deadline_ms,
        )
        assert accepted, why


def _id_of(name: str) -> str:
    import ray

    found: list[dict[str, Any]] = [node for node in ray.nodes() if name in node["Resources"]]
    identity: str = found[0]["NodeID"]
    return identity


@contextmanager
def ray_nodes(folder: Path, count: int) -> Iterator[Nodes]:
    """The head and so many nodes beside it, all of which end with the block."""
    before = {name: os.environ.get(name) for name in _QUICK_TO_GIVE_UP}
    os.environ.update(_QUICK_TO_GIVE_UP)
    try:
        with ray_head(folder, 1) as (_, address):
            nodes = Nodes(folder, address)
            try:
                for _ in range(count):  # one by one: a node must be up after half a minute
                    nodes.join()
                    nodes.wait_until_up()
                yield nodes
            finally:
                for node in nodes.nodes.values():
                    node.end()
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
