"""`unfreeze jobs`: what was sent to a cluster with `unfreeze submit`."""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unfreeze.cli.options import (
    ALLOW_OPEN_DASHBOARD,
    AS_JSON,
    DASHBOARD,
    ENDPOINT,
    dashboard_address,
)

if TYPE_CHECKING:
    from unfreeze.cluster.submission.jobs_api import JobsApi
    from unfreeze.cluster.submission.request import Submitted

CANCELLED_WITHIN_S = 30.0

HANDLE = click.argument("handle", metavar="HANDLE")


@click.group("jobs")
def command() -> None:
    """What `unfreeze submit` has sent to a cluster: list, status, logs, cancel."""


@command.command("list")
@DASHBOARD
@ALLOW_OPEN_DASHBOARD
@AS_JSON
def list_(address: str | None, allow_open_dashboard: bool, as_json: bool) -> None:
    """All that the cluster knows, newest first."""
    api = _api(address, allow_open_dashboard)
    found = [each for each in api.list() if each.is_ours]
    if as_json:
        click.echo(json.dumps([_facts(each) for each in found]))
        return
    if not found:
        click.echo(f"{api.address} knows of nothing that was sent with `unfreeze submit`")
        return
    for line in table_lines(found):
        click.echo(line)


@command.command("status")
@HANDLE
@DASHBOARD
@ALLOW_OPEN_DASHBOARD
@AS_JSON
def status(handle: str, address: str | None, allow_open_dashboard: bool, as_json: bool) -> None:
    """What HANDLE does, or how it ended."""
    job = _known(_api(address, allow_open_dashboard, handle), handle)
    if as_json:
        click.echo(json.dumps(_facts(job)))
        return
    for line in status_lines(job):
        click.echo(line)


@command.command("logs")
@click.argument("what", metavar="HANDLE|RUN")
@DASHBOARD
@click.option("--follow", is_flag=True, help="Stay, and show what comes, until it ends.")
@click.option(
    "--submission", metavar="HANDLE", help="Of a RUN with several logs; default: the newest."
)
@ENDPOINT
@ALLOW_OPEN_DASHBOARD
def logs(
    what: str,
    address: str | None,
    follow: bool,
    submission: str | None,
    endpoint: str | None,
    allow_open_dashboard: bool,
) -> None:
    """The log of HANDLE, from the cluster; or of RUN (a file, or a uri), from its store."""
    if what.endswith((".yaml", ".yml")) or "/" in what or Path(what).is_dir():
        if follow:
            raise click.UsageError("--follow is for a HANDLE; a RUN is read from its store, once")
        _show_log_in_store(what, endpoint, submission)
        return
    api = _api(address, allow_open_dashboard, what)
    job = _known(api, what)
    if follow:
        from unfreeze.cli.following import follow_to_the_end

        sys.exit(follow_to_the_end(api, what))
    from unfreeze.cluster import ClusterError

    try:
        click.echo(api.log(what) or "", nl=False)
    except ClusterError as error:
        raise type(error)(
            f"{error}; the store has it: unfreeze jobs logs {job.metadata['run']} "
            f"--submission {what}"
        ) from error


@command.command("cancel")
@HANDLE
@DASHBOARD
@ALLOW_OPEN_DASHBOARD
def cancel(handle: str, address: str | None, allow_open_dashboard: bool) -> None:
    """End HANDLE. Its checkpoints stay: the same `unfreeze submit` goes on from the newest."""
    api = _api(address, allow_open_dashboard, handle)
    job = _known(api, handle)
    if job.is_alive:
        api.stop(handle)
    deadline = time.monotonic() + CANCELLED_WITHIN_S
    while job.is_alive and time.monotonic() < deadline:
        time.sleep(0.5)
        job = _known(api, handle)
    from unfreeze.cluster.submission.following import words_for

    if job.is_alive:
        click.echo(f"{handle} was asked to end, and still {words_for(job)}", err=True)
        sys.exit(1)
    click.echo(f"{handle} {words_for(job)}")


def _api(address: str | None, allow_open_dashboard: bool, handle: str | None = None) -> "JobsApi":
    """Raises SubmissionRefused for what cannot be a handle, before anybody is contacted."""
    from unfreeze.cli.following import opened
    from unfreeze.cluster.submission.request import check_handle

    if handle is not None:
        check_handle(handle)
    return opened(dashboard_address(address), allow_open_dashboard)


def _known(api: "JobsApi", handle: str) -> "Submitted":
    """Raises SubmissionRefused if it is not there, or not ours."""
    from unfreeze.cluster import SubmissionRefused

    job = api.find(handle)
    if job is None:
        raise SubmissionRefused(
            f"{handle}: the cluster at {api.address} does not know it (any more); `unfreeze jobs "
            "list` shows what it knows, `unfreeze jobs logs RUN` the logs that a run's store has"
        )
    if not job.is_ours:
        raise SubmissionRefused(f"{handle}: not sent by `unfreeze submit`; see `ray job`")
    return job


def _facts(job: "Submitted") -> dict[str, Any]:
    from unfreeze.cluster.submission.following import words_for

    return {**asdict(job), "metadata": dict(job.metadata), "words": words_for(job)}


def status_lines(job: "Submitted") -> list[str]:
    """A submission for people."""
    from unfreeze.cli.words import duration
    from unfreeze.cluster.submission.following import words_for

    lines = [
        f"{job.handle}  {job.status}: {words_for(job)}",
        f"run      {job.metadata['run']}",
        f"code     unfreeze {job.metadata.get('unfreeze', 'of an unknown version')}",
        f"started  {_moment(job.started)}",
    ]
    if job.ended and job.started:
        took = duration(job.ended - job.started)
        lines.append(f"ended    {_moment(job.ended)}, after {took}")
    if job.exit_code is not None:
        lines.append(f"exit     {job.exit_code}")
    said = [line for line in job.message.strip().splitlines() if line.strip()]
    if said and job.status == "FAILED":
        lines.append(f"message  {said[0]}")
        lines += [f"         {line}" for line in said[1:][-3:]]
    return lines


def table_lines(jobs: "list[Submitted]") -> list[str]:
    """A line each: handles and uris are there to be copied, so they are never cut."""
    from unfreeze.cli.words import duration

    rows = [("handle", "status", "started", "took", "run")]
    for job in jobs:
        took = "-"
        if job.started:
            took = duration(max((job.ended or time.time()) - job.started, 0))
        rows.append((job.handle, job.status, _moment(job.started), took, job.metadata["run"]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _moment(seconds: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds)) if seconds else "not yet"


def _show_log_in_store(run: str, endpoint: str | None, submission: str | None) -> None:
    from unfreeze.cli.runs import find_job_or_search
    from unfreeze.cluster.submission.request import check_handle
    from unfreeze.jobs import ConfigError
    from unfreeze.storage.log_chunks import LOGS, logs_in, read_log

    logs = find_job_or_search(run, endpoint).under(LOGS)
    known = logs_in(logs)
    if not known:
        raise ConfigError(f"{run}: no logs here; only submitted runs leave them in their store")
    if submission and check_handle(submission) not in known:
        raise ConfigError(f"{run}: no log of {submission}; there are {', '.join(known)}")
    click.echo(read_log(logs.under(submission or known[-1])).decode(errors="replace"), nl=False)
