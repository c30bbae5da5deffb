"""What tests let Ray's workers do in place of a job's own function. Sent to them by value."""

import sys
from collections.abc import Callable
from typing import Any

STEP_S = 0.05
HELD_STEP_S = 0.3
FITS = 6
"""Examples in a micro-batch that fit into memory."""
hold = ""
"""A file: while it exists, steps take HELD_STEP_S."""


def run(
    settings: dict[str, Any],
    address: str,
    show: Callable[[dict[str, Any]], None],
    function: Callable[[dict[str, Any]], None],
) -> list[dict[str, Any]]:
    """The job on the Ray at the address, as run_job does it; how each attempt ended."""
    from ray import cloudpickle

    from unfreeze.cluster import cluster_resources, connect
    from unfreeze.jobs import parse_job
    from unfreeze.jobs.attempts import Attempts
    from unfreeze.jobs.inputs import gather_inputs
    from unfreeze.jobs.preflight import plan_for

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with connect(address):
        job = gather_inputs(parse_job(settings)).job
        attempts = Attempts(job, plan_for(job, cluster_resources()), show)
        attempts.run(function)
    return attempts.ended


def train_slowly(config: dict[str, Any]) -> None:
    """The job's own, with steps that take a while."""
    import time
    from pathlib import Path

    _train(config, lambda batches: time.sleep(HELD_STEP_S if Path(hold).is_file() else STEP_S))


def train_with_little_memory(config: dict[str, Any]) -> None:
    """The job's own; larger micro-batches ask torch for more memory than there is."""
    import torch

    def take_memory(batches: Any) -> None:
        for batch in batches:
            torch.empty(2**60 if batch.examples > FITS else 1)

    _train(config, take_memory)


def _train(config: dict[str, Any], before_step: Callable[[Any], None]) -> None:
    from unfreeze.jobs.engine import PhaseEngine
    from unfreeze.jobs.launch import train_function

    original = PhaseEngine.step

    def step(engine: PhaseEngine, batches: Any, *args: Any, **kwargs: Any) -> Any:
        before_step(batches)
        return original(engine, batches, *args, **kwargs)

    PhaseEngine.step = step  # type: ignore[method-assign]
    train_function(config)
