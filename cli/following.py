"""A submission on a terminal: its log as it comes, until it ends or Ctrl-C."""

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from unfreeze.cluster.submission.jobs_api import JobsApi


def opened(address: str, allow_open_dashboard: bool) -> "JobsApi":
    """The Jobs API at `address`. Warns of a dashboard that asks for no token; raises Insecure where
    others reach it."""
    from unfreeze.cluster.security import check_dashboard
    from unfreeze.cluster.submission.jobs_api import JobsApi

    if warning := check_dashboard(address, allow_open_dashboard):
        _plain_line(f"warning: {warning}")
    return JobsApi(address)


def follow_to_the_end(
    api: "JobsApi",
    handle: str,
    send_again: Callable[[str], str] | None = None,
    most_resubmits: int = 0,
    *,
    as_json: bool = False,
) -> int:
    """Shows the log until the submission has ended; the exit code that follows from it. Ctrl-C
    leaves the submission running."""
    from unfreeze.cluster.submission.following import Follower, exit_code_for, words_for

    last = handle

    def again(lost: str) -> str:
        nonlocal last
        assert send_again is not None
        last = send_again(lost)
        return last

    follower = Follower(
        api,
        show=_json_log if as_json else _plain_log,
        say=_json_line if as_json else _plain_line,
        send_again=again if send_again else None,
        most_resubmits=most_resubmits,
    )
    try:
        last, job = follower.follow(handle)
    except KeyboardInterrupt:
        to = f"{last} --address {api.address}"
        _plain_line(f"{last} goes on; follow it with `unfreeze jobs logs {to} --follow`, end it")
        _plain_line(f"with `unfreeze jobs cancel {to}`")
        return 130
    code = exit_code_for(job)
    if as_json:
        status = job.status if job else None
        exit_code = job.exit_code if job else None
        facts = {"handle": last, "status": status, "driver_exit_code": exit_code}
        click.echo(json.dumps({"kind": "ended", **facts, "words": words_for(job)}))
    else:
        _plain_line(f"{last} {words_for(job)}")
    return code


def _plain_log(text: str) -> None:
    click.echo(text, nl=False)


def _plain_line(text: str) -> None:
    """On stderr: stdout is the log."""
    sys.stdout.flush()
    click.echo(text, err=True)


def _json_log(text: str) -> None:
    for line in text.splitlines():
        click.echo(json.dumps({"kind": "log", "text": line}))


def _json_line(text: str) -> None:
    click.echo(json.dumps({"kind": "note", "text": text}))
