"""Everything that can be known to be wrong before anything is started, all of it at once."""

from collections.abc import Callable
from typing import Any, TypeVar

from unfreeze.cluster import NotEnoughResources, Resources, Workers, plan_workers
from unfreeze.jobs.config import JobConfig
from unfreeze.jobs.data.dataset import read_sources
from unfreeze.jobs.errors import CheckpointMismatch, ConfigError, UserMistake
from unfreeze.jobs.identity import changed_settings
from unfreeze.jobs.inputs import Inputs, cache_folder, default_precision
from unfreeze.jobs.model import describe_model, locate_model
from unfreeze.jobs.phases import plan_phases
from unfreeze.jobs.results import read_result
from unfreeze.jobs.scaling import limits
from unfreeze.jobs.tasks import open_task
from unfreeze.jobs.zero import deepspeed_config, plan_batches
from unfreeze.storage import CheckpointStore, ObjectNotFound, ObjectStore

T = TypeVar("T")


class _Mistakes:
    """Goes on after a mistake, so that the next ones are found too."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def attempt(self, check: Callable[[], T]) -> T | None:
        """What the check gives, or None if it found mistakes."""
        try:
            return check()
        except UserMistake as error:
            self._lines += error.mistakes
            return None

    def raise_if_any(self) -> None:
        if self._lines:
            raise ConfigError(self._lines)


def check_job(job: JobConfig, have: Resources | None) -> None:
    """Checks settings, model and sources of data against each other and the cluster.

    `have` is None if the cluster is not known yet. The rows are checked later, when they are read.
    Raises ConfigError with all mistakes.
    """
    mistakes = _Mistakes()
    workers = mistakes.attempt(lambda: plan_for(job, have)) if have else None
    count = workers.count if workers else 1
    mistakes.attempt(lambda: check_deepspeed(job, count))
    if workers and not workers.gpus:
        mistakes.attempt(lambda: _check_cpu_precision(job))
    cache = cache_folder()
    located = mistakes.attempt(
        lambda: locate_model(job.model, endpoint=job.storage.endpoint, cache=cache)
    )
    mistakes.attempt(lambda: read_sources(job, cache / "data"))
    if located:
        # Which blocks there are does not depend on the labels, nor on the number of steps.
        plan = mistakes.attempt(lambda: describe_model(located, job.model, open_task(job.task)))
        if plan:
            mistakes.attempt(lambda: plan_phases(job, plan.names, 1))
    mistakes.raise_if_any()


def check_deepspeed(job: JobConfig, workers: int) -> None:
    """Checks the batch and the DeepSpeed settings for this many workers. Raises ConfigError."""
    batches = plan_batches(job.training.batch_size, workers, job.training.micro_batch_size)
    precision = job.training.precision or default_precision()
    deepspeed_config(job, batches, precision, on_gpu=bool(job.scale.gpus_per_worker))


def _check_cpu_precision(job: JobConfig) -> None:
    if job.training.precision == "fp16":
        raise ConfigError("training.precision: fp16 is for GPUs; use fp32 or bf16 on CPUs")


def plan_for(job: JobConfig, have: Resources) -> Workers:
    """The job's workers on what the cluster has. Raises ConfigError."""
    scale = job.scale
    if have.hosts > 1 and job.storage.endpoint == "embedded":
        raise ConfigError(
            f"storage.endpoint: the embedded server is on this machine's loopback alone, and the "
            f"cluster has {have.hosts} machines; name a server that all of them reach"
        )
    try:
        return plan_workers(
            have,
            workers=limits(scale, 1, job.training.batch_size) if scale.range else scale.workers,
            gpus_per_worker=scale.gpus_per_worker,
            cpus_per_worker=scale.cpus_per_worker,
        )
    except NotEnoughResources as error:
        raise ConfigError(str(error)) from error


def finished_result(runs: ObjectStore, inputs: Inputs) -> dict[str, Any] | None:
    """The result, if the job is finished. Raises CheckpointMismatch if it was another job."""
    try:
        result = read_result(runs)
    except ObjectNotFound:
        return None
    _refuse_changes(runs.uri, "is finished", changed_settings(result["settings"], inputs.settings))
    return result


def check_resumable(runs: ObjectStore, inputs: Inputs) -> None:
    """Raises CheckpointMismatch if there are checkpoints that this job cannot go on from."""
    found = CheckpointStore(runs).newest_sound(lambda text: None)
    if found:
        saved = found[1].progress
        phase = saved["progress"]["phase"]
        _refuse_changes(
            runs.uri, "has begun", changed_settings(saved["settings"], inputs.settings, phase)
        )


def _refuse_changes(uri: str, state: str, changes: list[str]) -> None:
    if changes:
        raise CheckpointMismatch(
            [
                f"{uri} {state} with other settings; set them back, or give the job another name",
                *(f"  {line}" for line in changes),
            ]
        )
