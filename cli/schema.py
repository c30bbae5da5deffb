"""`unfreeze schema`"""

import json

import click


@click.command("schema")
@click.argument("kind", type=click.Choice(["job", "search"]))
def command(kind: str) -> None:
    """JSON schema of a job file or a search file, for editors."""
    from unfreeze.jobs.job_file import job_schema
    from unfreeze.tuning.search_file import search_schema

    click.echo(json.dumps(job_schema() if kind == "job" else search_schema(), indent=2))
