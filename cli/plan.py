"""`unfreeze plan`"""

import json
import sys

import click

from unfreeze.cli.options import AS_JSON, JOB_FILE, OVERRIDES


@click.command("plan")
@JOB_FILE
@OVERRIDES
@AS_JSON
def command(job_file: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """What the job in JOB_FILE would train: blocks, phases, parameters. Launches nothing."""
    from rich.console import Console
    from rich.table import Table

    from unfreeze.cli.words import count
    from unfreeze.jobs import load_job, plan_job

    plan = plan_job(load_job(job_file, overrides))
    if as_json:
        click.echo(json.dumps(plan.to_data()))
        return
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
    console.print(f"rows: {rows}; {count(plan.steps_per_epoch)} steps per epoch")
    for warning in plan.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False)
