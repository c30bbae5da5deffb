"""Finds what people name by RUN: a job, a search, or where either left its files."""

from pathlib import Path

from unfreeze.jobs.job_file import read_yaml
from unfreeze.jobs.results import find_run
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
