"""`unfreeze data`: a look at the data of a job."""

import json
import sys
from pathlib import Path

import click

from unfreeze.cli.options import AS_JSON, JOB_FILE, OVERRIDES


@click.group("data")
def command() -> None:
    """Look at the data of a job before it is run."""


@command.command("check")
@JOB_FILE
@OVERRIDES
@AS_JSON
@click.option("--html", type=click.Path(dir_okay=False), help="Also write the page to this file.")
def check(
    job_file: str,
    overrides: tuple[str, ...],
    as_json: bool,
    html: str | None,
) -> None:
    """Sizes, lengths, labels, duplicates, scripts, broken characters, and how well tokenizer and
    rows fit. Exits with 2 if the job could not begin with these data."""
    from rich.console import Console

    from unfreeze.cli.data_view import show
    from unfreeze.jobs import load_job
    from unfreeze.jobs.data_check import check_data

    job = load_job(job_file, overrides)
    found = check_data(job)
    if html:
        from unfreeze.jobs.data_check.page import build_page

        Path(html).write_text(build_page(found, job), encoding="utf-8")
    if as_json:
        click.echo(json.dumps(found.to_data()))
    else:
        width = None if sys.stdout.isatty() else 120
        show(found, Console(highlight=False, width=width))
        if html:
            click.echo(f"page {html}")
    if found.has_errors:
        sys.exit(2)
