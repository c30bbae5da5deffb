"""What one worker does, from an initialised process group to the result in the store."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from unfreeze.jobs.checkpointing import BackgroundWriter, Checkpointer, Tell, resume
from unfreeze.jobs.companion import Alone, Companion
from unfreeze.jobs.config import JobConfig
from unfreeze.jobs.data.tokenizer import decoder, load_tokenizer
from unfreeze.jobs.finish import finish
from unfreeze.jobs.inputs import Inputs, default_precision, gather_inputs
from unfreeze.jobs.loop import train
from unfreeze.jobs.model import build_model
from unfreeze.jobs.notices import Notices
from unfreeze.jobs.phases import plan_phases
from unfreeze.jobs.portable import PortableState
from unfreeze.jobs.progress import Progress
from unfreeze.jobs.run import Run
from unfreeze.jobs.zero import deepspeed_config, plan_batches
from unfreeze.storage import CheckpointStore, ObjectStore, checkpoint_id, open_store


def run_worker(job: JobConfig, tell: Tell, notices: Notices | None = None) -> None:
    """Trains, or goes on training, and leaves the result in the store. All ranks call it.

    Raises NodeLeaving after a notice, besides all else that can go wrong.
    """
    torch.set_num_threads(max(1, int(job.scale.cpus_per_worker)))
    inputs = gather_inputs(job)
    store = open_store(job.storage.uri, endpoint=job.storage.endpoint).under(job.name)
    tell = tell if dist.get_rank() == 0 else keep_quiet
    run = open_run(inputs, tell, store, BackgroundWriter(), notices=notices)
    progress = Progress()
    train_to_the_end(run, progress)
    finish(run, progress, inputs)


def train_to_the_end(run: Run, progress: Progress, starts: Sequence[CheckpointStore] = ()) -> None:
    """Trains from the run's newest checkpoint, or from one of `starts` that is further.

    `progress` is where it is at any time. Raises JobError or StorageError.
    """
    state = PortableState(run.model_plan.sizes)
    own = run.checkpointer.store
    for store in _furthest_first(run, starts) if starts else [own]:
        if found := resume(store, state, run.tell):
            reached, notes = found
            progress.become(reached)
            run.take_up_notes(notes)
            if store is own:
                progress.resumed_from.append(progress.step)
            else:
                progress.note_shared()
                if run.companion.keeps_last:  # it may be the best, and has to be among our own
                    run.save_checkpoint(state, progress)
            run.tell("resumed", step=progress.step, shared=store is not own)
            break
    state = train(run, state, progress)
    if run.companion.keeps_last:
        run.checkpointer.save_last(state, progress, run.notes())


def _furthest_first(run: Run, starts: Sequence[CheckpointStore]) -> list[CheckpointStore]:
    """The run's own store and `starts`, by the step of what is in them. A collective call.

    A run that keeps its best state cannot start after it: those starts are left out.
    """
    stores = [run.checkpointer.store, *starts]
    order: list[Any] = [None]
    if dist.get_rank() == 0:
        steps = {i: max((info.step for info in s.list()), default=-1) for i, s in enumerate(stores)}
        if run.companion.keeps_last:
            steps = {i: step for i, step in steps.items() if not i or _is_best(stores[i], step)}
        order[0] = sorted(steps, key=lambda i: -steps[i])
    dist.broadcast_object_list(order, 0)
    return [stores[i] for i in order[0]]


def _is_best(store: CheckpointStore, step: int) -> bool:
    """Whether the run that left this checkpoint had not been better before."""
    if step < 0:
        return False
    best_step = store.read(checkpoint_id(step)).progress["progress"]["best_step"]
    return bool(best_step == step)


def open_run(
    inputs: Inputs,
    tell: Tell,
    store: ObjectStore,
    writer: BackgroundWriter,
    companion: Companion | None = None,
    notices: Notices | None = None,
) -> Run:
    """Plans the job for this world size; what it leaves goes to `store`."""
    job = inputs.job
    precision = job.training.precision or default_precision()
    batches = plan_batches(
        job.training.batch_size, dist.get_world_size(), job.training.micro_batch_size
    )
    tokenizer, task = load_tokenizer(inputs.located, job.model), inputs.task

    def build() -> nn.Module:
        model = build_model(
            inputs.located,
            job.model,
            task,
            seed=job.training.seed,
            pad_token_id=tokenizer.pad_token_id,
        )
        for text in task.check_model(model):
            if text not in inputs.data.warnings:
                inputs.data.warnings.append(text)
                tell("warning", text=text)
        return model

    return Run(
        job=job,
        phases=plan_phases(job, inputs.model_plan.names, inputs.steps_per_epoch),
        model_plan=inputs.model_plan,
        data=inputs.data,
        batches=batches,
        task=task,
        deepspeed=deepspeed_config(job, batches, precision, on_gpu=torch.cuda.is_available()),
        build_model=build,
        pad_id=tokenizer.pad_token_id,
        decode=decoder(tokenizer),
        checkpointer=Checkpointer(
            CheckpointStore(store),
            keep_latest=job.checkpoints.keep_latest,
            keep_best=job.checkpoints.keep_best,
            mode=job.mode,
            settings=inputs.settings,
            tell=tell,
            writer=writer,
        ),
        tell=tell,
        companion=companion or Alone(),
        notices=notices or Notices(),
    )


def keep_quiet(kind: str, **fields: Any) -> None:
    """What all ranks would say alike, rank 0 says."""
