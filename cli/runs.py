"""Finds what people name by RUN: a job, a search, or where either left its files."""

from collections.abc import Sequence
from pathlib import Path

from unfreeze.jobs.config import StorageConfig
from unfreeze.jobs.job_file import read_yaml
from unfreeze.jobs.results import JobResult, find_result, find_run
from unfreeze.storage import ObjectStore, open_store


def is_search_file(path: str) -> bool:
    """Whether a file describes a search: it has a space to draw from. Raises ConfigError."""
    return "space" in read_yaml(Path(path))


def find_job_or_search(run: str, endpoint: str | None = None) -> ObjectStore:
    """The store of a job or a search, by its file or its uri. Raises UserMistake."""
    if Path(run).suffix not in (".yaml", ".yml") or not is_search_file(run):
        return find_run(run, endpoint)
    from unfreeze.tuning.search_file import load_search

    job = load_search(run).job
    return open_store(job.storage.uri, endpoint=job.storage.endpoint).under(job.name)


def as_argument(file: str, overrides: Sequence[str], uri: str, storage: StorageConfig) -> str:
    """What other verbs are given for the run that came of a file: the file, or where overrides may
    have given the run another name or place, its uri."""
    if not overrides:
        return file
    return f"{uri} --endpoint {storage.endpoint}" if storage.endpoint else uri


def endpoint_for(result: JobResult, endpoint: str | None) -> str | None:
    """The S3 server that other s3:// addresses mean beside a run: the one that was named, or the
    one that the job's own data came from."""
    own: str | None = result.data["job"]["storage"].get("endpoint")
    return endpoint or own


def model_result(runs: ObjectStore) -> JobResult:
    """The result of a finished job, or of a search as that of its winner. Raises ConfigError."""
    from unfreeze.tuning.winner import as_job_result

    result = find_result(runs)
    return as_job_result(runs, result) if result.data.get("kind") == "search" else result
