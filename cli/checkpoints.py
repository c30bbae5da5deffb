"""`unfreeze checkpoints`"""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from unfreeze.cli.options import AS_JSON, ENDPOINT, RUN

if TYPE_CHECKING:
    from unfreeze.storage import CheckpointStore


@click.group("checkpoints")
def command() -> None:
    """The checkpoints of RUN: a job file, or the run's uri."""


@command.command("list")
@RUN
@ENDPOINT
@AS_JSON
def list_(run: str, endpoint: str | None, as_json: bool) -> None:
    """All complete checkpoints, newest first."""
    from unfreeze.cli.words import size

    infos = _open(run, endpoint).list()
    if as_json:
        click.echo(json.dumps([asdict(info) for info in infos]))
        return
    for info in infos:
        metric = "-" if info.metric is None else f"{info.metric:.4f}"
        click.echo(f"{info.id}  {info.created}  metric {metric}  {size(info.size_bytes)}")


@command.command("verify")
@RUN
@click.argument("ids", nargs=-1)
@ENDPOINT
def verify(run: str, ids: tuple[str, ...], endpoint: str | None) -> None:
    """Read every byte of checkpoints (default: all) and compare hashes. Exit 1 on damage."""
    store = _open(run, endpoint)
    damaged = False
    for id in ids or [info.id for info in store.list()]:
        problems = store.verify(id)
        damaged |= bool(problems)
        click.echo(f"{id}  {'sound' if not problems else 'DAMAGED'}")
        for problem in problems:
            click.echo(f"  {problem}")
    sys.exit(1 if damaged else 0)


@command.command("pull")
@RUN
@click.argument("id", required=False)
@click.option("--to", "folder", type=click.Path(file_okay=False), default=".", show_default=True)
@ENDPOINT
def pull(run: str, id: str | None, folder: str, endpoint: str | None) -> None:
    """Download a checkpoint (default: the newest), verified, as safetensors and JSON."""
    from pathlib import Path

    from unfreeze.jobs import ConfigError

    store = _open(run, endpoint)
    infos = store.list()
    if not id and not infos:
        raise ConfigError(f"{run}: no complete checkpoint here")
    id = id or infos[0].id
    target = Path(folder) / id
    store.pull(id, target)
    click.echo(str(target))


@command.command("prune")
@RUN
@click.option("--keep-latest", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--keep-best", type=click.IntRange(min=0), default=1, show_default=True)
@ENDPOINT
def prune(run: str, keep_latest: int, keep_best: int, endpoint: str | None) -> None:
    """Remove checkpoints that need not be kept, and blobs that uploads left behind.

    The best are those by the metric of the job.
    """
    from unfreeze.jobs.results import mode_of_run

    store = _open(run, endpoint)
    mode = mode_of_run(store.store)
    removed = store.prune(keep_latest=keep_latest, keep_best=keep_best, mode=mode)
    orphans = store.sweep()
    click.echo(f"removed {len(removed)} checkpoints and {orphans} orphaned blobs")


def _open(run: str, endpoint: str | None) -> "CheckpointStore":
    from unfreeze.jobs.results import find_run
    from unfreeze.storage import CheckpointStore

    return CheckpointStore(find_run(run, endpoint))
