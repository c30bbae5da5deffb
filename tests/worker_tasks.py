"""What tests let the workers of a WorkerPool do. Imported by name in the workers."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.distributed as dist

from unfreeze.jobs import worker
from unfreeze.jobs.checkpointing import BackgroundWriter
from unfreeze.jobs.config import JobConfig
from unfreeze.jobs.data.token_store import Split
from unfreeze.jobs.engine import PhaseEngine
from unfreeze.jobs.finish import keep_all, settled, untrained_model
from unfreeze.jobs.inputs import gather_inputs
from unfreeze.jobs.job_file import parse_job
from unfreeze.jobs.loop import train_step
from unfreeze.jobs.metrics import scores_of
from unfreeze.jobs.portable import WEIGHT, PortableState
from unfreeze.jobs.progress import Progress
from unfreeze.jobs.run import Run
from unfreeze.jobs.tasks.task import Arrays
from unfreeze.jobs.tasks.text_classification import TextClassification
from unfreeze.jobs.worker import keep_quiet, open_run, run_worker
from unfreeze.storage import RetryingStore, StoreUnavailable, open_store


class Stopped(Exception):
    """The job was stopped by the test."""


def run(settings: dict[str, Any], stop_after: int | None = None) -> list[dict[str, Any]]:
    """The job, from start or checkpoint to its end; what rank 0 told.

    `stop_after`: raise after the step of this number, on all ranks; what was being written to the
    store then is written when this returns.
    """
    told: list[dict[str, Any]] = []
    job = parse_job(settings)

    def tell(kind: str, **fields: Any) -> None:
        told.append({"kind": kind, **fields})

    def stop(taken: int) -> None:
        if taken == stop_after:
            raise Stopped

    with _known_writers() as writers:
        try:
            with _before_steps(stop):
                run_worker(job, tell)
        except Stopped:
            for writer in writers:
                writer.join()
            dist.barrier()
    return told


def losses(settings: dict[str, Any]) -> dict[int, float]:
    """Loss of each step of a finished run."""
    return {line["step"]: line["loss"] for line in metrics(settings) if line["kind"] == "train"}


def metrics(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """metrics.jsonl of a finished run."""
    store = open_store(settings["storage"]["uri"]).under(settings["name"])
    return [json.loads(line) for line in store.get("metrics.jsonl").splitlines()]


def result(settings: dict[str, Any]) -> dict[str, Any]:
    """result.json of a finished run."""
    store = open_store(settings["storage"]["uri"]).under(settings["name"])
    found: dict[str, Any] = json.loads(store.get("result.json"))
    return found


def exported_weights(settings: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The tensors of model/ of a finished run."""
    store = open_store(settings["storage"]["uri"]).under(settings["name"])
    return safetensors.torch.load(store.get("model/model.safetensors"))


def run_in_fp16(settings: dict[str, Any], stop_after: int | None = None) -> list[dict[str, Any]]:
    """`run`, on a CPU too: torch computes in fp16 there, only DeepSpeed says that it is slow."""
    from deepspeed.accelerator import get_accelerator

    accelerator = type(get_accelerator())
    original = accelerator.is_fp16_supported
    accelerator.is_fp16_supported = lambda self: True  # type: ignore[method-assign]
    try:
        return run(settings, stop_after)
    finally:
        accelerator.is_fp16_supported = original  # type: ignore[method-assign]


def run_and_learn_more(settings: dict[str, Any]) -> None:
    """`run`, with a task that takes other names for its labels from the validation rows."""
    original = TextClassification.finish

    def finish(task: TextClassification, kept: Arrays, split: Split) -> Any:
        return {"labels": ["low", "high"]}, {"logits": float(len(kept["logits"]))}

    TextClassification.finish = finish  # type: ignore[method-assign]
    try:
        run(settings)
    finally:
        TextClassification.finish = original  # type: ignore[method-assign]


def untrained_scores(settings: dict[str, Any]) -> dict[str, float]:
    """What the pretrained model scores on the validation rows; a new head is as it was made."""
    run = _open(parse_job(settings))
    split = run.data.splits["validation"]
    kept = keep_all(run, untrained_model(run), "validation")
    task, _ = settled(run, kept)
    statistics = task.statistics(kept, split, np.arange(split.units), run.decode)
    return scores_of(task.metrics, statistics)


def weights_after_phases(settings: dict[str, Any]) -> list[dict[str, torch.Tensor]]:
    """Full fp32 weights as this rank's engine sees them: pretrained, then after each phase."""
    job = parse_job(settings)
    run = _open(job)
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


def _open(job: JobConfig) -> Run:
    store = open_store(job.storage.uri).under(job.name)
    return open_run(gather_inputs(job), keep_quiet, store, BackgroundWriter())


def _full(engine: PhaseEngine, name: str, parameter: Any) -> torch.Tensor:
    if parameter.requires_grad:
        return engine._masters.get(parameter, WEIGHT).clone()
    if hasattr(parameter, "ds_id"):
        import deepspeed

        with deepspeed.zero.GatheredParameters([parameter]):
            return parameter.detach().clone()
    return parameter.detach().clone()


def run_on_store(
    settings: dict[str, Any], environment: dict[str, str], stop_after: int | None = None
) -> list[dict[str, Any]]:
    """`run`, with the keys of an S3 server in the environment."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        return run(settings, stop_after)
    finally:
        os.environ.clear()
        os.environ.update(before)


def run_slowly(
    settings: dict[str, Any], environment: dict[str, str], step_s: float
) -> list[dict[str, Any]]:
    """`run_on_store`, with steps that take a while."""
    with _before_steps(lambda taken: time.sleep(step_s)):
        return run_on_store(settings, environment)


def run_until_store_ends(
    settings: dict[str, Any], environment: dict[str, str], step: int
) -> list[dict[str, Any]]:
    """`run_on_store`, but from this step on every put fails, as on a store that is gone."""
    original = RetryingStore.put

    def gone(self: RetryingStore, *args: Any, **kwargs: Any) -> None:
        raise StoreUnavailable("the store is gone")

    def end(taken: int) -> None:
        if taken == step:
            RetryingStore.put = gone  # type: ignore[method-assign]

    try:
        with _before_steps(end):
            return run_on_store(settings, environment)
    finally:
        RetryingStore.put = original  # type: ignore[method-assign]


@contextmanager
def _known_writers() -> Iterator[list[BackgroundWriter]]:
    """The writers that jobs make meanwhile."""
    made: list[BackgroundWriter] = []

    class Known(BackgroundWriter):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    worker.BackgroundWriter = Known  # type: ignore[misc]
    try:
        yield made
    finally:
        worker.BackgroundWriter = BackgroundWriter  # type: ignore[misc]


@contextmanager
def _before_steps(before: Callable[[int], None]) -> Iterator[None]:
    original, taken = PhaseEngine.step, count()

    def step(engine: PhaseEngine, *args: Any, **kwargs: Any) -> Any:
        before(next(taken))
        return original(engine, *args, **kwargs)

    PhaseEngine.step = step  # type: ignore[method-assign]
    try:
        yield
    finally:
        PhaseEngine.step = original  # type: ignore[method-assign]


def training_modes(settings: dict[str, Any]) -> list[dict[str, bool]]:
    """For each phase: module name -> whether it is in training mode after a step."""
    job = parse_job(settings)
    run = _open(job)
    state, progress, found = PortableState(run.model_plan.sizes), Progress(), []
    for phase in run.phases:
        with run.open_engine(phase, state, progress) as engine:
            train_step(run, engine, progress)
            run.validate(engine, progress)
            modules = engine.engine.module.named_modules()
            found.append({name: module.training for name, module in modules})
            state = engine.capture()
        progress.phase_start = progress.step
    return found


def moments_after_phases(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """What each phase was given, and what its engine made of it before the first step."""
    job = parse_job(settings)
    run = _open(job)
    state, progress, found = PortableState(run.model_plan.sizes), Progress(), []
    for phase in run.phases:
        with run.open_engine(phase, state, progress) as engine:
            taken_up = engine.capture()
            while not progress.phase_is_over(phase):
                train_step(run, engine, progress)
            steps = dict(taken_up.adam_steps)
            found.append({"before": state, "taken_up": taken_up, "adam_steps": steps})
            state = engine.capture()
        progress.enter_next_phase()
    return found
