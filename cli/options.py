"""Arguments that several verbs take."""

import click

JOB_FILE = click.argument("job_file", metavar="JOB.yaml")
OVERRIDES = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
RUN = click.argument("run", metavar="RUN")
ENDPOINT = click.option(
    "--endpoint", help="S3 server of an s3:// RUN: its url, or embedded; a job file names its own."
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
