"""`unfreeze train`"""

import json
import sys
from contextlib import redirect_stdout

import click

from unfreeze.cli.options import JOB_FILE, OVERRIDES, VERBOSE


@click.command("train")
@JOB_FILE
@OVERRIDES
@click.option("--address", help="Ray cluster to run on, such as auto; default: this machine.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines instead of text.")
@VERBOSE
def command(job_file: str, overrides: tuple[str, ...], address: str | None, as_json: bool) -> None:
    """Run the job in JOB_FILE, or go on with it; settings may be given as key=value.

    Running the same command again resumes from the newest checkpoint; a finished job is left as
    it is.
    """
    from unfreeze.cli.console import Console
    from unfreeze.cli.runs import as_argument
    from unfreeze.jobs import load_job, run_job

    job = load_job(job_file, overrides)
    if as_json:
        lines = sys.stdout
        with redirect_stdout(sys.stderr):  # libraries say things on stdout too
            result = run_job(
                job, address=address, show=lambda m: click.echo(json.dumps(m), file=lines)
            )
        click.echo(json.dumps({"kind": "result", "uri": result.uri, **result.data}))
        return
    with Console() as console:
        result = run_job(job, address=address, show=console.show)
        console.show_end(result, as_argument(job_file, overrides, result.uri, job.storage))
