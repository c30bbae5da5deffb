"""What a job is made of: model, data and settings, fetched to this machine and checked."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from unfreeze.jobs.config import JobConfig, Precision
from unfreeze.jobs.data.dataset import PreparedData, prepare
from unfreeze.jobs.errors import ConfigError
from unfreeze.jobs.identity import settings_that_matter
from unfreeze.jobs.model import (
    ModelPlan,
    describe_model,
    locate_model,
    longest_input,
    weights_hash,
)
from unfreeze.jobs.phases import check_weights, settle_phases
from unfreeze.jobs.tasks import open_task
from unfreeze.jobs.tasks.task import Task

# Of most short texts nothing is cut at this length; attention costs grow with its square.
DEFAULT_MAX_LENGTH = 256


@dataclass(frozen=True)
class Inputs:
    """What a job is made of, fetched to this machine and checked."""

    job: JobConfig
    """The job, with the settings filled in that depend on the model."""
    located: str
    """Local folder of the pretrained model."""
    data: PreparedData
    model_plan: ModelPlan
    weights: str
    """Hash of the pretrained weights."""
    settings: dict[str, Any]
    """Settings that a run must share to go on from this one's checkpoints."""

    @property
    def task(self) -> Task:
        """The task, with what it learned from the training rows."""
        return open_task(self.job.task, self.data.learned)

    @property
    def counted(self) -> dict[str, Any]:
        """How much there is of each split, and what it is called."""
        rows = {name: split.units for name, split in self.data.splits.items()}
        return {"rows": rows, "unit_name": self.task.unit_name}

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps that see every training row once."""
        return -(-len(self.data.splits["train"]) // self.job.training.batch_size)


def cache_folder() -> Path:
    """Where fetched models and tokenized data are kept on this machine."""
    return Path(os.environ.get("UNFREEZE_CACHE", "~/.cache/unfreeze")).expanduser()


def gather_inputs(job: JobConfig) -> Inputs:
    """Fetches, checks and tokenizes; quick when it was done before. Raises UserMistake."""
    located = locate_model(job.model, endpoint=job.storage.endpoint, cache=cache_folder())
    job = with_max_length(job, longest_input(located, job.model))
    data = prepare(job, located, cache=cache_folder() / "data")
    model_plan = describe_model(located, job.model, open_task(job.task, data.learned))
    return _inputs(job, located, data, model_plan, weights_hash(located))


def inputs_for(job: JobConfig, like: Inputs) -> Inputs:
    """The inputs of a job with the same model and data as another's. Raises ConfigError."""
    job = job.model_copy(update={"data": like.job.data})
    return _inputs(job, like.located, like.data, like.model_plan, like.weights)


def _inputs(
    job: JobConfig, located: str, data: PreparedData, model_plan: ModelPlan, weights: str
) -> Inputs:
    job = settle_phases(job, model_plan.names)
    check_weights(job, model_plan.sizes)
    settings = settings_that_matter(job, data.fingerprint, weights)
    return Inputs(job, located, data, model_plan, weights, settings)


def with_max_length(job: JobConfig, limit: int) -> JobConfig:
    """The job with data.max_length written out; `limit` is the most that the model takes. Raises
    ConfigError."""
    wanted = job.data.max_length or min(DEFAULT_MAX_LENGTH, limit)
    of_task = {f"task.{name}": length for name, length in job.task.lengths.items()}
    mistakes = [
        f"{name}: {length} is more than the model's limit of {limit}"
        for name, length in {"data.max_length": wanted, **of_task}.items()
        if length > limit
    ]
    if mistakes:
        raise ConfigError(mistakes)
    data = job.data.model_copy(update={"max_length": wanted})
    return job.model_copy(update={"data": data})


def default_precision() -> Precision:
    """bf16 on GPUs that have it in hardware, else fp32."""
    return "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported(False) else "fp32"
