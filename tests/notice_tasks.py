"""What workers do when one of them has a notice. Imported by name in the workers."""

from typing import Any

import torch.distributed as dist
import worker_tasks

from unfreeze.jobs.errors import NodeLeaving
from unfreeze.jobs.job_file import parse_job
from unfreeze.jobs.notices import Notices
from unfreeze.jobs.worker import run_worker

Told = list[dict[str, Any]]


def run_until_noticed(
    settings: dict[str, Any], step: int, asked: bool
) -> tuple[Told, int | None, bool]:
    """The job, in which the last rank hears of something while the step before this is taken.

    What this rank told, the step after which it left, and whether it was asked to.
    """
    told: Told = []
    notices = Notices()

    def tell(kind: str, **fields: Any) -> None:
        told.append({"kind": kind, **fields})

    def hear(taken: int) -> None:
        if taken == step - 2 and dist.get_rank() == dist.get_world_size() - 1:
            notices.note(asked=asked, preempted=not asked)

    try:
        with worker_tasks._before_steps(hear):
            run_worker(parse_job(settings), tell, notices)
    except NodeLeaving as leaving:
        return told, leaving.step, leaving.asked
    return told, None, False
