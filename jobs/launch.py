"""The driver's side of a job: check everything, start the workers, bring the result home."""

import json
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from unfreeze.cluster import cluster_resources, connect, local_resources
from unfreeze.jobs.attempts import Attempts
from unfreeze.jobs.config import JobConfig
from unfreeze.jobs.errors import JobError, NodeLeaving
from unfreeze.jobs.failures import ENDS_THE_GROUP, failure_of
from unfreeze.jobs.files import JOB, RESULT
from unfreeze.jobs.results import JobResult, read_result, write_report
from unfreeze.storage import StorageError, check_reachable, open_store

Show = Callable[[dict[str, Any]], None]


def run_job(
    job: JobConfig, *, address: str | None = None, show: Show = lambda message: None
) -> JobResult:
    """Runs the job, or goes on with it; on this machine, or on the Ray cluster at `address`.

    `show` gets what happens as it happens: mappings with a `kind`.
    Raises UserMistake before anything is started; LossNotFinite, CheckpointNotKept,
    OutOfMemory, TrainingFailed, StorageError or ClusterError afterwards.
    """
    from unfreeze.jobs import preflight  # torch is behind both, which takes seconds to import
    from unfreeze.jobs.inputs import gather_inputs

    preflight.check_job(job, local_resources() if address is None else None)
    inputs = gather_inputs(job)
    job = inputs.job
    store = open_store(job.storage.uri, endpoint=job.storage.endpoint)
    check_reachable(store)
    runs = store.under(job.name)
    if finished := preflight.finished_result(runs, inputs):
        return JobResult(runs.uri, finished, was_finished=True)
    preflight.check_resumable(runs, inputs)
    for warning in inputs.data.warnings:
        show({"kind": "warning", "text": warning})
    show({"kind": "checked", **inputs.counted})
    with connect(address):
        workers = preflight.plan_for(job, cluster_resources())
        preflight.check_deepspeed(job, workers.count)
        show({"kind": "started", "workers": workers.count, "uri": runs.uri, "job": job.name})
        runs.put(JOB, yaml.safe_dump(job.to_data(), sort_keys=False).encode())
        attempts = Attempts(job, workers, show)
        attempts.run(train_function)
    result = read_result(runs) | {"attempts": attempts.ended}
    runs.put(RESULT, json.dumps(result, indent=1).encode())
    write_report(runs, result)
    return JobResult(runs.uri, result, was_finished=False)


def train_function(config: dict[str, Any]) -> None:
    """What Ray Train calls in each worker.

    Returns when the job is done, and after a notice if other workers have to follow than these;
    raises NodeLeaving if Ray is to start the same number again.
    """
    import torch.distributed as dist

    from unfreeze.jobs.notices import Notices
    from unfreeze.jobs.worker import run_worker

    set_up_worker(config["folder"], on_gpu=config["on_gpu"])
    job, sender, notices = config["job"], config["sender"], Notices()
    bell = config["bell"] if dist.get_rank() == 0 else None

    def tell(kind: str, **fields: Any) -> None:
        sender.send({"kind": kind, **fields}, frequent=kind == "train")

    try:
        with notices.listening(bell), _telling_failures(sender, dist.get_rank()):
            run_worker(job, tell, notices)
    except NodeLeaving as leaving:
        if not leaving.asked and job.scale.range is None:
            raise


def set_up_worker(folder: str, *, on_gpu: bool) -> None:
    """Makes a worker process ready: what it may see, and where relative paths begin."""
    if not on_gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # what cannot be seen is not used by accident
    if Path(folder).is_dir():
        os.chdir(folder)  # Ray starts workers elsewhere; the job's paths are from here


@contextmanager
def _telling_failures(sender: Any, rank: int) -> Iterator[None]:
    """Tells the driver of errors that another attempt would only meet again."""
    try:
        yield
    except Exception as error:
        failure = failure_of(rank, error, traceback.format_exc())
        if failure.kind in ENDS_THE_GROUP:
            ours = error if isinstance(error, JobError | StorageError) else None
            sender.send_and_wait({"kind": "failed", "failure": failure, "error": ours})
        raise
