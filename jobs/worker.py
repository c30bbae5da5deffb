"""What one worker does, from an initialised process group to the result in the store."""

from functools import partial
from typing import Any

import torch
import torch.distributed as dist

from unfreeze.jobs.checkpointing import Checkpointer, Tell, resume
from unfreeze.jobs.classification import TextClassification
from unfreeze.jobs.config import JobConfig, metric_mode
from unfreeze.jobs.finish import finish
from unfreeze.jobs.inputs import Inputs, default_precision, gather_inputs
from unfreeze.jobs.loop import train
from unfreeze.jobs.model import build_model
from unfreeze.jobs.phases import plan_phases
from unfreeze.jobs.portable import PortableState
from unfreeze.jobs.progress import Progress
from unfreeze.jobs.run import Run
from unfreeze.jobs.tokenizer import load_tokenizer
from unfreeze.jobs.zero import deepspeed_config, plan_batches
from unfreeze.storage import CheckpointStore, open_store


def run_worker(job: JobConfig, tell: Tell) -> None:
    """Trains, or goes on training, and leaves the result in the store. All ranks call it."""
    torch.set_num_threads(max(1, int(job.scale.cpus_per_worker)))
    inputs = gather_inputs(job)
    run = open_run(inputs, tell if dist.get_rank() == 0 else _keep_quiet)
    state = PortableState(inputs.model_plan.sizes)
    found = resume(run.checkpointer.store, state, run.tell)
    progress = Progress()
    if found:
        progress, metrics = found
        run.take_up_metrics(metrics)
        progress.resumed_from.append(progress.step)
        run.tell("resumed", step=progress.step)
    state = train(run, state, progress)
    run.checkpointer.save_last(state, progress, run.metrics_bytes())
    finish(run, progress, inputs)


def open_run(inputs: Inputs, tell: Tell) -> Run:
    """Plans the job for this world size. A collective call."""
    job = inputs.job
    precision = job.training.precision or default_precision()
    batches = plan_batches(
        job.training.batch_size, dist.get_world_size(), job.training.micro_batch_size
    )
    steps_per_epoch = -(-len(inputs.data.splits["train"]) // batches.batch_size)
    pad_id = load_tokenizer(inputs.located, job.model).pad_token_id
    store = open_store(job.storage.uri, endpoint=job.storage.endpoint).under(job.name)
    return Run(
        job=job,
        phases=plan_phases(job, inputs.model_plan.names, steps_per_epoch),
        model_plan=inputs.model_plan,
        data=inputs.data,
        batches=batches,
        task=TextClassification(inputs.data.labels),
        deepspeed=deepspeed_config(job, batches, precision, on_gpu=torch.cuda.is_available()),
        build_model=partial(
            build_model,
            inputs.located,
            job.model,
            inputs.data.labels,
            seed=job.training.seed,
            pad_token_id=pad_id,
        ),
        pad_id=pad_id,
        checkpointer=Checkpointer(
            CheckpointStore(store),
            keep_latest=job.checkpoints.keep_latest,
            keep_best=job.checkpoints.keep_best,
            mode=metric_mode(job),
            settings=inputs.settings,
            tell=tell,
        ),
        tell=tell,
    )


def _keep_quiet(kind: str, **fields: Any) -> None:
    """What all ranks would say alike, rank 0 says."""
