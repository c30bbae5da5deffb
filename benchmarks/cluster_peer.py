"""The other side of cluster.py: Ray Train with a function that trains nothing."""

import json
import sys
import time
from itertools import count
from typing import Any


def main() -> None:
    """Runs until it is ended. Arguments: Ray's address, a file for the steps, a folder for Ray."""
    import ray
    from ray.train import ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.config import FailureConfig, RunConfig

    address, steps, folder = sys.argv[1:]
    ray.init(address=address, log_to_driver=False)
    TorchTrainer(
        train_nothing,
        train_loop_config={"steps": steps},
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 1}),
        run_config=RunConfig(  # type: ignore[arg-type]  # Train V2's, typed as V1's
            storage_path=folder, failure_config=FailureConfig(max_failures=-1)
        ),
    ).fit()


def train_nothing(config: dict[str, Any]) -> None:
    """Steps of nothing; rank 0 writes a line for each."""
    import torch.distributed as dist

    def write(kind: str, step: int) -> None:
        if dist.get_rank() == 0:
            with open(config["steps"], "a") as file:
                file.write(json.dumps({"kind": kind, "step": step}) + "\n")

    write("started", 0)
    for step in count(1):
        dist.barrier()
        write("step", step)
        time.sleep(0.05)


if __name__ == "__main__":
    main()
