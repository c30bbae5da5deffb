"""`unfreeze plan`"""

import json
import sys
from typing import TYPE_CHECKING

import click

from unfreeze.cli.options import AS_JSON, OVERRIDES

if TYPE_CHECKING:
    from unfreeze.jobs import JobPlan


@click.command("plan")
@click.argument("file", metavar="FILE.yaml")
@OVERRIDES
@AS_JSON
def command(file: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """What the job in FILE would train, or the search in it would try. Launches nothing."""
    from unfreeze.cli.runs import is_search_file
    from unfreeze.jobs import load_job, plan_job

    if is_search_file(file):
        _plan_search(file, overrides, as_json)
        return
    plan = plan_job(load_job(file, overrides))
    if as_json:
        click.echo(json.dumps(plan.to_data()))
    else:
        _show_job(plan)


def _plan_search(file: str, overrides: tuple[str, ...], as_json: bool) -> None:
    from unfreeze.cli.search_words import plan_lines
    from unfreeze.cluster import local_resources
    from unfreeze.tuning.plan import plan_search
    from unfreeze.tuning.search_file import load_search

    plan = plan_search(load_search(file, overrides), local_resources())
    if as_json:
        click.echo(json.dumps(plan.to_data()))
        return
    for line in plan_lines(plan.to_data()):
        click.echo(line)
    for warning in plan.warnings:
        click.secho(f"warning: {warning}", fg="yellow")


def _show_job(plan: "JobPlan") -> None:
    from rich.console import Console
    from rich.table import Table

    from unfreeze.cli.words import count

    running = [phase for phase in plan.phases if phase.max_steps]
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("block")
    table.add_column("parameters", justify="right")
    for phase in running:
        table.add_column(f"phase {phase.index}: {phase.name}", justify="center")
    for block, size in plan.sizes.items():
        marks = ["trained" if block in phase.blocks else "." for phase in running]
        table.add_row(block, count(size), *marks)
    table.add_section()
    trained = [count(plan.trained_parameters(phase)) for phase in running]
    table.add_row("trained of", count(sum(plan.sizes.values())), *trained)
    steps = [f"{'at most ' * bool(p.patience)}{count(p.max_steps)}" for p in running]
    table.add_row("steps", "", *steps)
    rates = [f"{p.learning_rate:g} {p.schedule}, {p.warmup_steps} warmup" for p in running]
    table.add_row("learning rate", "", *rates)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    console.print(table)
    rows = ", ".join(f"{count(n)} {name}" for name, n in plan.rows.items())
    console.print(f"{plan.unit_name}: {rows}; {count(plan.steps_per_epoch)} steps per epoch")
    for note in plan.notes:
        console.print(f"note: {note}", markup=False)
    for warning in plan.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False)
