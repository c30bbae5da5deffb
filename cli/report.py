"""`unfreeze report`"""

import click

from unfreeze.cli.options import ENDPOINT, RUN


@click.command("report")
@RUN
@ENDPOINT
@click.option("--output", type=click.Path(dir_okay=False), help="Also write it to this file.")
def command(run: str, endpoint: str | None, output: str | None) -> None:
    """Rebuild report.html of RUN: a job or search file, or its uri."""
    from pathlib import Path

    from unfreeze.cli.runs import find_job_or_search
    from unfreeze.jobs.files import REPORT
    from unfreeze.jobs.results import find_result, write_report

    runs = find_job_or_search(run, endpoint)
    data = find_result(runs).data
    if data.get("kind") == "search":
        from unfreeze.tuning.report import build_report

        runs.put(REPORT, build_report(data).encode())
    else:
        write_report(runs, data)
    if output:
        runs.fetch(REPORT, Path(output))
    click.echo(output or f"{runs.uri}/{REPORT}")
