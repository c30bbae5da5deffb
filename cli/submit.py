"""`unfreeze submit`"""

import json
import shlex
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unfreeze.cli.options import ALLOW_OPEN_DASHBOARD, AS_JSON, DASHBOARD, OVERRIDES, VERBOSE

if TYPE_CHECKING:
    from unfreeze.cli.shipped import Shipped
    from unfreeze.cluster.submission.jobs_api import JobsApi
    from unfreeze.cluster.submission.package import Package
    from unfreeze.cluster.submission.request import Request


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
    from unfreeze.cli.options import dashboard_address
    from unfreeze.cli.shipped import shipped
    from unfreeze.cluster.submission.jobs_api import send

    address = dashboard_address(address)
    what = shipped(file, overrides, address)
    with tempfile.TemporaryDirectory(prefix="unfreeze-submit-") as folder:
        package, request, content = prepared(what, Path(folder))
        if dry_run:
            show_request(address, what, package, request, as_json=as_json)
            return
        api = opened(address, allow_open_dashboard)
        _start_embedded_store(what)
        handle, was_there = send(api, request, what.run, content)
        _show_sent(api, what, package, handle, was_there=was_there, as_json=as_json)
        if follow:
            again = _again(api, request, what.run, content)
            sys.exit(follow_to_the_end(api, handle, again, max_resubmits, as_json=as_json))


def prepared(what: "Shipped", folder: Path) -> "tuple[Package, Request, str]":
    """The folders to send, made in `folder`, the request that names them, and the hash of all
    contents. Raises SubmissionRefused if they are too large."""
    from unfreeze.cluster.submission import request as submission
    from unfreeze.cluster.submission.package import write_package
    from unfreeze.cluster.submission.shipment import check_size

    check_size(what.shipment.sizes)
    package = write_package(folder / "code")
    what.shipment.write(folder / "files")
    content = what.shipment.content_hash(package.version)
    request = submission.request(
        what.name,
        ["unfreeze.cli.submitted", what.shipment.description],
        metadata={
            submission.RUN: what.run,
            submission.CONTENT: content,
            submission.VERSION: package.version,
        },
        py_modules=[str(folder) for folder in package.folders],
        working_dir=str(folder / "files"),
    )
    return package, request, content


def _start_embedded_store(what: "Shipped") -> None:
    """On the cluster the driver would start it, and a cancelled driver takes its children along."""
    from unfreeze.cli.shipped import EMBEDDED

    if what.endpoint == EMBEDDED:
        from unfreeze.storage import embedded

        embedded.up()


def _again(api: "JobsApi", request: "Request", run: str, content: str) -> Callable[[str], str]:
    from unfreeze.cluster.submission.jobs_api import send
    from unfreeze.cluster.submission.request import attempt_of

    return lambda lost: send(api, request, run, content, after=attempt_of(lost))[0]


def _show_sent(
    api: "JobsApi",
    what: "Shipped",
    package: "Package",
    handle: str,
    *,
    was_there: bool,
    as_json: bool,
) -> None:
    if as_json:
        facts = {
            "handle": handle,
            "run": what.run,
            "address": api.address,
            "attached": was_there,
            "version": package.version,
        }
        click.echo(json.dumps({"kind": "submitted", **facts}))
        return
    if was_there:
        click.echo(f"{handle} runs already, with the same settings, files and code")
    else:
        from unfreeze.cli.words import size

        sizes = what.shipment.sizes
        click.echo(
            f"{handle} sent to {api.address}: {len(sizes)} files, {size(sum(sizes.values()))}, "
            f"and unfreeze {package.version}"
        )
    for line in next_commands(api.address, handle, what):
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


def show_request(
    address: str, what: "Shipped", package: "Package", request: "Request", *, as_json: bool
) -> None:
    """What would be sent. The number at the handle's end is the next free one, which only the
    cluster knows."""
    if as_json:
        click.echo(json.dumps(request_data(address, what, package, request)))
        return
    click.echo(f"address        {address}")
    click.echo(f"submission id  {request.handle} (or the next number that is free)")
    click.echo(f"entrypoint     {request.entrypoint}")
    for title, values in (
        ("metadata", request.metadata),
        ("env_vars", request.runtime_env["env_vars"]),
    ):
        click.echo(title)
        for name, value in values.items():
            click.echo(f"  {name}={value}")
    for line in _listing("working_dir", what.shipment.sizes):
        click.echo(line)
    for line in _listing("py_modules", package.files):
        click.echo(line)
    click.echo(what.shipment.description)
    for line in what.shipment.settings.decode().splitlines():
        click.echo(f"  {line}")


def request_data(
    address: str, what: "Shipped", package: "Package", request: "Request"
) -> dict[str, Any]:
    """The request as plain data: folders stand as what is in them, with sizes in bytes."""
    import yaml

    return {
        "address": address,
        "submission_id": request.handle,
        "entrypoint": request.entrypoint,
        "runtime_env": {
            **request.runtime_env,
            "py_modules": package.files,
            "working_dir": what.shipment.sizes,
        },
        "metadata": dict(request.metadata),
        "settings": yaml.safe_load(what.shipment.settings),
    }
