"""What a run left in the store: found by its job file or its uri, read, and reported."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from unfreeze.jobs.errors import ConfigError
from unfreeze.jobs.files import EVALS, JOB, METRICS, PREDICTIONS, REPORT, RESULT
from unfreeze.jobs.job_file import load_job, parse_job
from unfreeze.jobs.metrics import Mode
from unfreeze.storage import ObjectNotFound, ObjectStore, open_store


@dataclass(frozen=True)
class JobResult:
    """What came of a job."""

    uri: str
    """Where its files are."""
    data: dict[str, Any]
    """The contents of result.json."""
    was_finished: bool
    """The job had been finished before, and nothing was done."""

    @property
    def test(self) -> dict[str, float] | None:
        """Metrics on the test rows; None if the job has none."""
        scores: dict[str, float] | None = self.data["test"]
        return scores

    @property
    def validation(self) -> dict[str, float]:
        """Metrics on the validation rows."""
        scores: dict[str, float] = self.data["validation"]
        return scores


def find_run(run: str, endpoint: str | None = None) -> ObjectStore:
    """The store of a run, by its job file or its uri (s3://bucket/name, a folder)."""
    if Path(run).suffix in (".yaml", ".yml"):
        job = load_job(run)
        return open_store(job.storage.uri, endpoint=job.storage.endpoint).under(job.name)
    if not run.startswith("s3://") and not Path(run).is_dir():
        raise ConfigError(f"{run}: neither a job file nor a folder nor an s3:// uri")
    return open_store(run, endpoint=endpoint)


def mode_of_run(runs: ObjectStore) -> Mode:
    """Whether the metric of the run's job should be high or low. Raises ConfigError."""
    try:
        job = parse_job(yaml.safe_load(runs.get(JOB)))
    except ObjectNotFound:
        raise ConfigError(f"{runs.uri}: no run here (no {JOB})") from None
    return job.mode


def find_result(runs: ObjectStore) -> JobResult:
    """The result of a finished run. Raises ConfigError if there is none."""
    try:
        return JobResult(runs.uri, read_result(runs), was_finished=True)
    except ObjectNotFound:
        raise ConfigError(f"{runs.uri}: no finished run here (no {RESULT})") from None


def read_result(runs: ObjectStore) -> dict[str, Any]:
    """result.json. Raises ObjectNotFound."""
    result: dict[str, Any] = json.loads(runs.get(RESULT))
    return result


def write_report(runs: ObjectStore, result: dict[str, Any]) -> None:
    """(Re)builds report.html from what is in the store."""
    from unfreeze.jobs.report import build_report

    judged = "test" if result["test"] else "validation"
    predictions = read_jsonl(runs, f"{PREDICTIONS}/{judged}.jsonl")
    page = build_report(result, read_jsonl(runs, METRICS), predictions, judged=judged)
    runs.put(REPORT, page.encode())


def read_jsonl(runs: ObjectStore, key: str) -> list[dict[str, Any]]:
    """JSON lines from the store. Raises ObjectNotFound."""
    return [json.loads(line) for line in runs.get(key).splitlines()]


def read_evals(runs: ObjectStore) -> list[dict[str, Any]]:
    """What `unfreeze eval` left, by name."""
    infos = sorted(runs.list(f"{EVALS}/"), key=lambda info: info.key)
    return [json.loads(runs.get(info.key)) for info in infos]
