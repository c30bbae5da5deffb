"""What tests let the workers of a WorkerPool do. Imported by name in the workers."""

import json
from typing import Any

import torch
import torch.distributed as dist

from unfreeze.jobs.engine import PhaseEngine
from unfreeze.jobs.inputs import gather_inputs
from unfreeze.jobs.job_file import parse_job
from unfreeze.jobs.loop import train_step
from unfreeze.jobs.portable import WEIGHT, PortableState
from unfreeze.jobs.progress import Progress
from unfreeze.jobs.worker import open_run, run_worker
from unfreeze.storage import open_store


class Stopped(Exception):
    """The job was stopped by the test."""


def run(settings: dict[str, Any], stop_after: int | None = None) -> list[dict[str, Any]]:
    """The job, from start or checkpoint to its end; what rank 0 told.

    `stop_after`: raise after the step of this number, on all ranks, when its checkpoint is there.
    """
    told: list[dict[str, Any]] = []
    job = parse_job(settings)
    original = PhaseEngine.step

    def step(engine: PhaseEngine, *args: Any, **kwargs: Any) -> Any:
        result = original(engine, *args, **kwargs)
        step.taken += 1
        return result

    step.taken = 0

    def tell(kind: str, **fields: Any) -> None:
        told.append({"kind": kind, **fields})

    if stop_after is None:
        run_worker(job, tell)
        return told

    def stopping(engine: PhaseEngine, *args: Any, **kwargs: Any) -> Any:
        if step.taken == stop_after:
            raise Stopped
        return step(engine, *args, **kwargs)

    PhaseEngine.step = stopping  # type: ignore[method-assign, assignment]
    try:
        run_worker(job, tell)
    except Stopped:
        pass
    finally:
        PhaseEngine.step = original  # type: ignore[method-assign]
    dist.barrier()
    return told


def losses(settings: dict[str, Any]) -> dict[int, float]:
    """Loss of each step of a finished run."""
    return {line["step"]: line["loss"] for line in metrics(settings) if line["kind"] == "train"}


def metrics(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """metrics.jsonl of a finished run."""
    store = open_store(settings["storage"]["uri"]).under(settings["name"])
    return [json.loads(line) for line in store.get("metrics.jsonl").splitlines()]


def weights_after_phases(settings: dict[str, Any]) -> list[dict[str, torch.Tensor]]:
    """Full fp32 weights as this rank's engine sees them: pretrained, then after each phase."""
    job = parse_job(settings)
    run = open_run(gather_inputs(job), lambda kind, **fields: None)
    snapshots = [{n: p.detach().clone() for n, p in run.build_model().named_parameters()}]
    state, progress = PortableState(run.model_plan.sizes), Progress()
    for phase in run.phases:
        with run.open_engine(phase, state, progress) as engine:
            while not progress.phase_is_over(phase):
                train_step(run, engine, progress)
            seen = dict(snapshots[-1])
            for name, parameter in engine.engine.module.named_parameters():
                seen[name] = _full(engine, name, parameter)
            snapshots.append(seen)
            state = engine.capture()
        progress.enter_next_phase()
    return snapshots


def _full(engine: PhaseEngine, name: str, parameter: Any) -> torch.Tensor:
    if parameter.requires_grad:
        return engine._masters.get(parameter, WEIGHT).clone()
    if hasattr(parameter, "ds_id"):
        import deepspeed

        with deepspeed.zero.GatheredParameters([parameter]):
            return parameter.detach().clone()
    return parameter.detach().clone()
