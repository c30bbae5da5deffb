"""A cluster in the terminal."""

import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from unfreeze.cluster.nodes import COLUMNS, row
from unfreeze.cluster.view import ClusterView

STYLES = {"alive": "", "draining": "yellow", "dead": "red"}


def show(view: ClusterView, console: Console | None = None) -> None:
    """The nodes, what is free, the jobs. Names that others chose are never read as markup."""
    # A pipe has no width: programs read whole lines.
    console = console or Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    console.print(Text(f"dashboard {view.address}"))
    table = Table(box=None, header_style="dim", pad_edge=False)
    for place, name in enumerate(COLUMNS):
        table.add_column(name, justify="right" if 3 <= place < 7 else "left", overflow="fold")
    for node in view.nodes:
        table.add_row(*(Text(cell, STYLES[node.state]) for cell in row(node)))
    console.print(table)
    console.print(f"free: {view.free_cpus:g} CPUs, {view.free_gpus:g} GPUs")
    for job in view.jobs.ours:
        console.print(Text(f"{job['status']}: {job['handle']}, run {job['run']}"))
    if view.jobs.others:
        console.print(f"{view.jobs.others} other job(s) or driver(s) run")
    if not view.jobs.ours and not view.jobs.others:
        console.print("no jobs run")
