"""`unfreeze schema`"""

import json

import click


@click.command("schema")
@click.argument("kind", type=click.Choice(["job"]))
def command(kind: str) -> None:
    """JSON schema of a job file, for editors."""
    from unfreeze.jobs.job_file import job_schema

    click.echo(json.dumps(job_schema(), indent=2))
