"""The driver's side of a job: check everything, start the workers, bring the result home."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from unfreeze.cluster import (
    Workers,
    cluster_resources,
    connect,
    local_resources,
)
from unfreeze.jobs.config import JobConfig
from unfreeze.jobs.errors import JobError, TrainingFailed
from unfreeze.jobs.files import JOB
from unfreeze.jobs.results import JobResult, read_result, write_report
from unfreeze.storage import StorageError, check_reachable, open_store

Show = Callable[[dict[str, Any]], None]


def run_job(
    job: JobConfig, *, address: str | None = None, show: Show = lambda message: None
) -> JobResult:
    """Runs the job, or goes on with it; on this machine, or on the Ray cluster at `address`.

    `show` gets what happens as it happens: mappings with a `kind`.
    Raises UserMistake before anything is started; LossNotFinite, CheckpointNotKept,
    TrainingFailed, StorageError or ClusterError afterwards.
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
        _train(job, workers, show)
    result = read_result(runs)
    write_report(runs, result)
    return JobResult(runs.uri, result, was_finished=False)


def _train(job: JobConfig, workers: Workers, show: Show) -> None:
    """Runs the workers to the end, showing what they tell.

    Ray restarts workers that die. An error that would only come again ends the job at once.
    """
    from unfreeze.cluster.mailbox import Mailbox
    from unfreeze.jobs.group import WorkerGroup

    mailbox = Mailbox()
    config = {
        "job": job,
        "sender": mailbox.sender(),
        "folder": os.getcwd(),
        "on_gpu": bool(workers.gpus),
    }
    with tempfile.TemporaryDirectory(prefix="unfreeze-ray-") as folder:
        group = WorkerGroup(
            train_function,
            config,
            workers,
            name=job.name,
            folder=folder,
            max_failures=job.scale.max_failures,
        )
        try:
            while not group.has_ended():
                _show_all(mailbox.messages(), show)
            _show_all(mailbox.messages(timeout_s=0.1), show)
            if failure := group.failure():
                limit = job.scale.max_failures
                raise TrainingFailed(f"the workers failed more than {limit} times: {failure}")
        finally:
            group.end()


def _show_all(messages: Iterator[dict[str, Any]], show: Show) -> None:
    for message in messages:
        if message["kind"] == "failed":
            raise message["error"]
        show(message)


def train_function(config: dict[str, Any]) -> None:
    """What Ray Train calls in each worker."""
    from unfreeze.jobs.worker import run_worker

    set_up_worker(config["folder"], on_gpu=config["on_gpu"])
    sender = config["sender"]

    def tell(kind: str, **fields: Any) -> None:
        sender.send({"kind": kind, **fields}, frequent=kind == "train")

    with _telling_failures(sender):
        run_worker(config["job"], tell)


def set_up_worker(folder: str, *, on_gpu: bool) -> None:
    """Makes a worker process ready: what it may see, and where relative paths begin."""
    if not on_gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # what cannot be seen is not used by accident
    if Path(folder).is_dir():
        os.chdir(folder)  # Ray starts workers elsewhere; the job's paths are from here


@contextmanager
def _telling_failures(sender: Any) -> Iterator[None]:
    """Tells the driver of errors that another attempt would only meet again."""
    try:
        yield
    except (JobError, StorageError, AssertionError, TypeError, ValueError, LookupError) as error:
        sender.send_and_wait({"kind": "failed", "error": error})
        raise
