"""`unfreeze report`"""

import click

from unfreeze.cli.options import ENDPOINT, RUN


@click.command("report")
@RUN
@ENDPOINT
@click.option("--output", type=click.Path(dir_okay=False), help="Also write it to this file.")
def command(run: str, endpoint: str | None, output: str | None) -> None:
    """Rebuild report.html of RUN: a job file, or the run's uri."""
    from pathlib import Path

    from unfreeze.jobs.files import REPORT
    from unfreeze.jobs.results import find_result, find_run, write_report

    runs = find_run(run, endpoint)
    write_report(runs, find_result(runs).data)
    if output:
        runs.fetch(REPORT, Path(output))
    click.echo(output or f"{runs.uri}/{REPORT}")
