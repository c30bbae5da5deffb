"""Arguments that several verbs take."""

import click

JOB_FILE = click.argument("job_file", metavar="JOB.yaml")
OVERRIDES = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
RUN = click.argument("run", metavar="RUN")
ENDPOINT = click.option(
    "--endpoint", help="S3 server of an s3:// RUN: its url, or embedded; a job file names its own."
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
ON_BAD_ROW = click.option(
    "--on-bad-row",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    help="Rows that do not fit: stop and name them (the default), or leave them out.",
)
SPLIT = click.option("--split", help="Split of a hub data set, or of a folder with several.")
COLUMN = click.option(
    "--column",
    multiple=True,
    metavar="ROLE=NAME",
    help="A column that is called otherwise than the job's, such as text=tweet.",
)


def columns_of(given: tuple[str, ...]) -> dict[str, str]:
    """Role -> column, of `--column`."""
    for each in given:
        if "=" not in each:
            raise click.BadParameter(f"{each}: write ROLE=NAME, such as text=tweet")
    return dict(each.split("=", 1) for each in given)
