"""`unfreeze storage`: the embedded S3 server."""

import json
from dataclasses import asdict

import click

from unfreeze.cli.options import AS_JSON


@click.group("storage")
def command() -> None:
    """The S3 server that comes with unfreeze, on this machine only."""


@command.command("up")
def up() -> None:
    """Start it; it stays until `storage down`. Does nothing if it runs."""
    from unfreeze.storage import embedded

    server = embedded.up()
    click.echo(f"S3 at {server.endpoint}, data in {server.data_dir}, keys in {server.keys_file}")


@command.command("down")
def down() -> None:
    """End it. Its data stay."""
    from unfreeze.storage import embedded

    click.echo("ended; its data stay" if embedded.down() else "it was not running")


@command.command("status")
@AS_JSON
def status(as_json: bool) -> None:
    """Whether it runs, where, and how much it holds."""
    from unfreeze.storage import embedded

    found = embedded.status()
    if as_json:
        click.echo(json.dumps(asdict(found), default=str))
    elif not found.running:
        click.echo("not running; `unfreeze storage up` starts it")
    else:
        from unfreeze.cli.words import size

        click.echo(
            f"S3 at {found.endpoint} (pid {found.pid}), {size(found.rss_bytes or 0)} of memory, "
            f"{size(found.data_bytes)} of data"
        )
