"""How many workers a job should have now (pure).

Ray Train can resize by itself (`num_workers=(least, most)`), but it ends the workers without a
word: what they did since their last checkpoint is lost. Here the checkpoint comes first.
"""

from dataclasses import dataclass

from unfreeze.jobs.config import JobConfig, ScaleConfig
from unfreeze.jobs.zero import plan_batches

PATIENCE_S = 15.0
"""So long a lost node may take to come back before a job goes on without it."""


@dataclass(frozen=True)
class Room:
    """What the cluster has room for, in workers."""

    in_all: int
    """On nodes that are up and will stay, whoever uses them."""
    free: int
    """Of these, unused."""


def limits(scale: ScaleConfig, workers: int, batch_size: int) -> tuple[int, int]:
    """Fewest and most workers; both are the planned number if the job names no range.

    No more than there are examples in a batch.
    """
    if scale.range is None:
        return workers, workers
    least, most = scale.range
    return least, max(least, min(most, batch_size))


def next_size(
    count: int, limits: tuple[int, int], room: Room, *, running: bool, lacking_s: float
) -> int | None:
    """How many workers there should be instead of `count`; None: leave them as they are.

    `running`: they train, and so use what they need; else they wait to be started. `lacking_s`:
    how long the cluster has had room for fewer.
    """
    if running:
        more = min(limits[1], count + room.free)
        return more if more > count and room.in_all > count else None
    if room.in_all < count and lacking_s >= PATIENCE_S:
        return size_now(count, limits, room)
    return None


def first_size(wanted: int, limits: tuple[int, int], room: Room) -> int:
    """How many of `wanted` workers a job begins with that runs beside others: it grows later, but
    waits for no more than the fewest."""
    return min(wanted, max(limits[0], room.free))


def size_now(wanted: int, limits: tuple[int, int], room: Room) -> int | None:
    """How many workers to start if so many are wanted; None: not even the fewest fit."""
    fit = min(wanted, limits[1], room.in_all)
    return fit if fit >= limits[0] else None


def with_micro_batch_kept(job: JobConfig, before: int, now: int) -> JobConfig:
    """The job for `now` workers instead of `before`, with micro-batches no larger than before.

    Fewer workers have larger shares of a batch; what is known to fit into memory stays so.
    """
    training = job.training
    used = plan_batches(training.batch_size, before, training.micro_batch_size).micro_batch_size
    if now >= before:
        return job
    return with_micro_batch(job, used)


def with_micro_batch(job: JobConfig, size: int) -> JobConfig:
    """The job with this micro-batch."""
    training = job.training.model_copy(update={"micro_batch_size": size})
    return job.model_copy(update={"training": training})
