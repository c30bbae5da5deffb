"""One fine-tuning. `run_job(load_job("job.yaml"))` does what `unfreeze train job.yaml` does."""

from unfreeze.jobs.config import JobConfig
from unfreeze.jobs.errors import (
    CheckpointMismatch,
    CheckpointNotKept,
    ConfigError,
    DataError,
    JobError,
    LossNotFinite,
    ModelError,
    NodeLeaving,
    OutOfMemory,
    PredictionFailed,
    RunStopped,
    TrainingFailed,
    UserMistake,
)
from unfreeze.jobs.job_file import load_job, parse_job
from unfreeze.jobs.launch import run_job
from unfreeze.jobs.plan import JobPlan, plan_job
from unfreeze.jobs.results import JobResult

__all__ = [
    "CheckpointMismatch",
    "CheckpointNotKept",
    "ConfigError",
    "DataError",
    "JobConfig",
    "JobError",
    "JobPlan",
    "JobResult",
    "LossNotFinite",
    "ModelError",
    "NodeLeaving",
    "OutOfMemory",
    "PredictionFailed",
    "RunStopped",
    "TrainingFailed",
    "UserMistake",
    "load_job",
    "parse_job",
    "plan_job",
    "run_job",
]
