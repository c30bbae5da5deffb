"""Where in the cluster our own small actors run."""

from typing import Any


def beside_the_driver() -> Any:
    """Ray's scheduling strategy for an actor that must live as long as the driver.

    Ray puts an actor that needs no CPU on any node: one that goes away would take it along.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
