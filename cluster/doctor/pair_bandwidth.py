"""How fast two nodes all-reduce, and whether they can at all: real process groups of two ranks.

`Rank` is sent to the nodes by value, see `probes`; the rest runs in the driver.
"""

import os
import time
from collections.abc import Callable, Sequence
from itertools import combinations, pairwise
from statistics import median
from typing import Any

MESSAGE_BYTES = 16 * 1024**2
"""Large enough that latency does not count, small enough for a slow link."""

REPETITIONS = 5
TIMEOUT_S = 20.0
"""For two ranks to find each other, and for each message. Nodes that can reach each other do so
within a second; where a firewall drops packets they never do."""

MOST_NODES_FOR_ALL_PAIRS = 8
"""28 pairs; above that their number grows out of hand."""


class Rank:
    """An actor that is one of the two ranks."""

    def __init__(self) -> None:
        self._store: Any = None

    def prepare(self, use_interface: Callable[[], None]) -> str | None:
        """Loads torch, which takes seconds, and chooses the network as training does.

        Returns the interface of gloo; None leaves the choice to gloo.
        """
        import torch.distributed  # noqa: F401

        use_interface()
        return os.environ.get("GLOO_SOCKET_IFNAME")

    def listen(self, address: str, timeout_s: float) -> int:
        """Opens a port at which the other rank finds this one, which is rank 0 then."""
        from datetime import timedelta

        from torch.distributed import TCPStore  # type: ignore[attr-defined]

        timeout = timedelta(seconds=timeout_s)
        self._store = TCPStore(address, 0, 2, True, timeout, wait_for_workers=False)
        return int(self._store.port)

    def all_reduce(
        self, rank: int, place: tuple[str, int], backend: str, sizes: tuple[int, int], wait_s: float
    ) -> list[float]:
        """Seconds of each message. `place` is where rank 0 listens; `sizes` are the bytes of a
        message and how many are sent. Raises what torch raises."""
        from datetime import timedelta

        import torch
        from torch import distributed
        from torch.distributed import TCPStore  # type: ignore[attr-defined]

        num_bytes, repetitions = sizes
        timeout = timedelta(seconds=wait_s)
        store = TCPStore(*place, 2, False, timeout) if rank else self._store
        device = f"cuda:{rank % torch.cuda.device_count()}" if backend == "nccl" else "cpu"
        distributed.init_process_group(
            backend, store=store, rank=rank, world_size=2, timeout=timeout
        )
        try:
            message = torch.zeros(num_bytes // 4, device=device)
            # The first one makes the connections.
            return [_seconds_of(message) for _ in range(repetitions + 1)][1:]
        finally:
            distributed.destroy_process_group()
            self._store = None


def _seconds_of(message: Any) -> float:
    """Of one all-reduce, until its result is there."""
    import torch
    from torch.distributed import all_reduce

    began = time.perf_counter()
    all_reduce(message)
    if message.is_cuda:
        torch.cuda.synchronize(message.device)
    return time.perf_counter() - began


def measure_pair(
    first: Any, second: Any, address: str, backend: str, *, num_bytes: int, repetitions: int
) -> float:
    """Bytes per second of an all-reduce between two `Rank`s: size of the message, by median time.

    With two ranks this is what NCCL's tests call bus bandwidth, too: 2 (n - 1) / n is 1. `address`
    is that of the node of `first`. Raises Ray's errors, torch's in them.
    """
    import ray

    port = ray.get(first.listen.remote(address, TIMEOUT_S), timeout=2 * TIMEOUT_S)
    fixed = ((address, port), backend, (num_bytes, repetitions), TIMEOUT_S)
    ends = [first.all_reduce.remote(0, *fixed), second.all_reduce.remote(1, *fixed)]
    # Finding each other and the first message may each take TIMEOUT_S before torch gives up.
    times: list[list[float]] = ray.get(ends, timeout=4 * TIMEOUT_S)
    return num_bytes / median(seconds for rank in times for seconds in rank)


def choose_backend(first_gpus: int, second_gpus: int, *, same_node: bool) -> str:
    """nccl where each rank has a GPU of its own (NCCL refuses two ranks on one), else gloo."""
    enough = first_gpus >= 2 if same_node else min(first_gpus, second_gpus) >= 1
    return "nccl" if enough else "gloo"


def pairs_of(nodes: Sequence[str], head: str, *, few: bool = False) -> list[tuple[str, str]]:
    """Which nodes to pair: each with each; one node with itself.

    Of many nodes, or if `few` are asked for: a ring through all, and the head with each.
    """
    if len(nodes) == 1:
        return [(nodes[0], nodes[0])]
    if len(nodes) <= MOST_NODES_FOR_ALL_PAIRS and not few:
        return [*combinations(nodes, 2)]
    ring = [*pairwise([*nodes, nodes[0]])]
    star = [(head, node) for node in nodes if node != head and head in nodes]
    return [*{frozenset(pair): pair for pair in ring + star}.values()]
