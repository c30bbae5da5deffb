"""`unfreeze cluster`: a cluster on this machine, or one from a deploy file."""

import importlib
import json
from dataclasses import asdict
from pathlib import Path

import click

from unfreeze.cli.options import AS_JSON

LATER = {"doctor": "unfreeze.cli.doctor"}
"""Verbs in files of their own, imported when they are called."""


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *LATER]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in LATER:
            return super().get_command(ctx, cmd_name)
        found: click.Command = importlib.import_module(LATER[cmd_name]).command
        return found


FILE = click.argument(
    "file", required=False, metavar="[FILE]", type=click.Path(dir_okay=False, path_type=Path)
)
DRY_RUN = click.option(
    "--dry-run", is_flag=True, help="Print the commands for FILE, and run nothing."
)


@click.group("cluster", cls=_Verbs)
def command() -> None:
    """A Ray cluster: on this machine, or from a file of deploy/."""


@command.command("up")
@FILE
@click.option(
    "--workers",
    type=click.IntRange(0, 64),
    help="Nodes beside the head, here. Without them (the default) the head trains.",
)
@click.option(
    "--cpus-per-node", type=click.IntRange(min=1), help="Default: this machine's, shared out."
)
@click.option(
    "--gpus-per-node", type=click.IntRange(min=0), help="Default: this machine's, shared out."
)
@DRY_RUN
@AS_JSON
def up(
    file: Path | None,
    workers: int | None,
    cpus_per_node: int | None,
    gpus_per_node: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Start a cluster on this machine, which stays until `cluster down`, or the one of FILE.

    Does nothing if it is up, and adds workers that are missing. FILE is one of `ray up`, of
    KubeRay or of Docker Compose; it is started by the program that it is for.
    """
    if file:
        if (workers, cpus_per_node, gpus_per_node) != (None, None, None) or as_json:
            raise click.UsageError("FILE says what nodes there are: give it without these options")
        _up_from(file, dry_run)
        return
    if dry_run:
        raise click.UsageError("--dry-run shows the commands for a FILE; none is given")
    from unfreeze.cluster.local import cluster as local
    from unfreeze.cluster.local.nodes import Wanted
    from unfreeze.cluster.tokens import token_file

    found = local.up(Wanted(workers, cpus_per_node, gpus_per_node))
    if as_json:
        click.echo(json.dumps(asdict(found), default=str))
        return
    cluster, count = found.cluster, len(found.cluster.nodes) - 1
    nodes = f"a head and {count} worker(s)" if count else "one node"
    click.echo(f"{'it is up already' if found.was_up else 'up'}: {nodes}, on this machine only")
    for note in found.notes:
        click.echo(f"  {note}")
    click.echo(f"address    {cluster.address}")
    click.echo(f"dashboard  {cluster.dashboard}, which asks for the token in {token_file()}")
    _next(
        f"unfreeze train job.yaml --address {cluster.address}",
        f"unfreeze submit job.yaml --address {cluster.dashboard}",
        "unfreeze cluster status",
        "unfreeze cluster down",
    )


@command.command("down")
@FILE
@DRY_RUN
def down(file: Path | None, dry_run: bool) -> None:
    """End what `cluster up` started on this machine, or the cluster of FILE."""
    if file:
        from unfreeze.cluster.deployments import read_deployment

        _run(read_deployment(file).down, dry_run)
        return
    if dry_run:
        raise click.UsageError("--dry-run shows the commands for a FILE; none is given")
    from unfreeze.cluster.local import cluster as local

    ended = local.down()
    click.echo(
        f"ended: {', '.join(node.name for node in ended.nodes)}"
        if ended
        else "nothing to end: no cluster of `unfreeze cluster up` runs here"
    )


@command.command("status")
@click.option(
    "--address",
    help="Of the dashboard, http://HOST:PORT, or Ray's own, HOST:PORT. Default: "
    "RAY_API_SERVER_ADDRESS, the cluster of `cluster up`, RAY_ADDRESS.",
)
@AS_JSON
def status(address: str | None, as_json: bool) -> None:
    """Nodes, what they have and what is free, and the jobs that run."""
    from unfreeze.cluster.view import look_at, which_cluster

    view = look_at(which_cluster(address))
    if as_json:
        click.echo(json.dumps(asdict(view)))
        return
    from unfreeze.cli.cluster_view import show

    show(view)


def _up_from(file: Path, dry_run: bool) -> None:
    from unfreeze.cluster.deployments import read_deployment
    from unfreeze.cluster.tokens import make_token

    deployment = read_deployment(file)
    if not dry_run:
        for path in deployment.token_files:
            make_token(path.expanduser())
    _run(deployment.up, dry_run)
    if deployment.next_steps:
        _next(
            *deployment.next_steps,
            "unfreeze cluster status --address http://127.0.0.1:8265",
            "unfreeze submit job.yaml --address http://127.0.0.1:8265",
        )


def _run(commands: tuple[tuple[str, ...], ...], dry_run: bool) -> None:
    import shlex

    from unfreeze.cluster.programs import run_all

    for each in commands:
        click.echo(shlex.join(each))
    if not dry_run:
        run_all(commands)


def _next(*lines: str) -> None:
    click.echo("next:")
    for line in lines:
        click.echo(f"  {line}")
