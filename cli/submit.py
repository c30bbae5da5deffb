"""`unfreeze submit`"""

import json
import shlex
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from unfreeze.cli.options import ALLOW_OPEN_DASHBOARD, AS_JSON, DASHBOARD, OVERRIDES, VERBOSE

if TYPE_CHECKING:
    from unfreeze.cli.shipped import Shipped
    from unfreeze.cli.submission import Submission


@click.command("submit")
@click.argument("file", metavar="FILE.yaml")
@OVERRIDES
@DASHBOARD
@click.option("--dry-run", is_flag=True, help="Print what would be sent; contact nobody.")
@click.option(
    "--follow",
    is_flag=True,
    help="Stay and show the log; send it again if its driver or the head of the cluster is lost.",
)
@click.option(
    "--max-resubmits",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="With --follow: how often at most.",
)
@ALLOW_OPEN_DASHBOARD
@AS_JSON
@VERBOSE
def command(
    file: str,
    overrides: tuple[str, ...],
    address: str | None,
    dry_run: bool,
    follow: bool,
    max_resubmits: int,
    allow_open_dashboard: bool,
    as_json: bool,
) -> None:
    """Send the job or search in FILE to a Ray cluster; settings may be given as key=value.

    Our code and the local files that FILE names go with it. The same command again finds what
    runs, or goes on from what is in the store.
    """
    from unfreeze.cli.following import follow_to_the_end, opened
    from unfreeze.cli.submission import made_ready

    with made_ready(file, overrides, address) as submission:
        if dry_run:
            _show_request(submission, as_json=as_json)
            return
        api = opened(submission.address, allow_open_dashboard)
        handle, was_there = submission.send(api)
        _show_sent(submission, handle, was_there=was_there, as_json=as_json)
        if follow:
            again = partial(submission.send_again, api)
            sys.exit(follow_to_the_end(api, handle, again, max_resubmits, as_json=as_json))


def _show_sent(sent: "Submission", handle: str, *, was_there: bool, as_json: bool) -> None:
    if as_json:
        facts = {
            "handle": handle,
            "run": sent.what.run,
            "address": sent.address,
            "attached": was_there,
            "version": sent.package.version,
        }
        click.echo(json.dumps({"kind": "submitted", **facts}))
        return
    if was_there:
        click.echo(f"{handle} runs already, with the same settings, files and code")
    else:
        from unfreeze.cli.words import size

        sizes = sent.what.shipment.sizes
        click.echo(
            f"{handle} sent to {sent.address}: {len(sizes)} files, {size(sum(sizes.values()))}, "
            f"and unfreeze {sent.package.version}"
        )
    for line in next_commands(sent.address, handle, sent.what):
        click.echo(line)


def next_commands(address: str, handle: str, what: "Shipped") -> list[str]:
    """What one may want to do with a submission."""
    to = f"{handle} --address {shlex.quote(address)}"
    at = f" --endpoint {shlex.quote(what.endpoint)}" if what.endpoint else ""
    run = shlex.quote(what.run)
    return [
        f"run     {what.run}",
        f"follow  unfreeze jobs logs {to} --follow",
        f"status  unfreeze jobs status {to}",
        f"cancel  unfreeze jobs cancel {to}",
        f"result  unfreeze show {run}{at}",
    ]


def _listing(title: str, sizes: dict[str, int]) -> list[str]:
    from unfreeze.cli.words import size

    head = f"{title}  {len(sizes)} files, {size(sum(sizes.values()))}"
    return [head, *(f"  {size(of_file):>9}  {name}" for name, of_file in sizes.items())]


def _show_request(submission: "Submission", *, as_json: bool) -> None:
    """What would be sent. The number at the handle's end is the next free one, which only the
    cluster knows."""
    if as_json:
        click.echo(json.dumps(_request_data(submission)))
        return
    request, shipment = submission.request, submission.what.shipment
    click.echo(f"address        {submission.address}")
    click.echo(f"submission id  {request.handle} (or the next number that is free)")
    click.echo(f"entrypoint     {request.entrypoint}")
    for title, values in (
        ("metadata", request.metadata),
        ("env_vars", request.runtime_env["env_vars"]),
    ):
        click.echo(title)
        for name, value in values.items():
            click.echo(f"  {name}={value}")
    for line in _listing("working_dir", shipment.sizes):
        click.echo(line)
    for line in _listing("py_modules", submission.package.files):
        click.echo(line)
    click.echo(shipment.description)
    for line in shipment.settings.decode().splitlines():
        click.echo(f"  {line}")


def _request_data(submission: "Submission") -> dict[str, Any]:
    """The request as plain data: folders stand as what is in them, with sizes in bytes."""
    import yaml

    request, shipment = submission.request, submission.what.shipment
    return {
        "address": submission.address,
        "submission_id": request.handle,
        "entrypoint": request.entrypoint,
        "runtime_env": {
            **request.runtime_env,
            "py_modules": submission.package.files,
            "working_dir": shipment.sizes,
        },
        "metadata": dict(request.metadata),
        "settings": yaml.safe_load(shipment.settings),
    }
