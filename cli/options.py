"""Arguments that several verbs take."""

import os

import click

JOB_FILE = click.argument("job_file", metavar="JOB.yaml")
OVERRIDES = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
RUN = click.argument("run", metavar="RUN")
ENDPOINT = click.option(
    "--endpoint", help="S3 server of an s3:// RUN: its url, or embedded; a job file names its own."
)
VERBOSE = click.option(
    "--verbose",
    is_flag=True,
    expose_value=False,
    callback=lambda context, option, given: _be_verbose() if given else None,
    help="Show what Ray, DeepSpeed and the other libraries log.",
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


def _be_verbose() -> None:
    from unfreeze.cluster.verbosity import VERBOSE as NAME

    os.environ[NAME] = "1"


def columns_of(given: tuple[str, ...]) -> dict[str, str]:
    """Role -> column, of `--column`."""
    for each in given:
        if "=" not in each:
            raise click.BadParameter(f"{each}: write ROLE=NAME, such as text=tweet")
    return dict(each.split("=", 1) for each in given)


DASHBOARD = click.option(
    "--address",
    metavar="URL",
    help="Dashboard of the Ray cluster, http://HOST:PORT; default: RAY_API_SERVER_ADDRESS, or the "
    "cluster of `unfreeze cluster up`.",
)
ALLOW_OPEN_DASHBOARD = click.option(
    "--allow-open-dashboard",
    is_flag=True,
    help="Use a dashboard that others reach and that asks for no token, so that anybody can run "
    "code there.",
)


def dashboard_address(given: str | None) -> str:
    """The dashboard that is meant, by `--address`, the environment, or `unfreeze cluster up`.

    What is given on the command line wins; Ray's own client takes the environment first. Raises
    AddressInvalid, SubmissionRefused.
    """
    from unfreeze.cluster import SubmissionRefused
    from unfreeze.cluster.addresses import checked_url, is_url
    from unfreeze.cluster.local.state import running_cluster

    named = {name: os.environ.get(name, "") for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")}
    named = {name: value for name, value in named.items() if is_url(value)}
    if given:
        others = [f"{k} ({v})" for k, v in named.items() if v.rstrip("/") != given.rstrip("/")]
        if others:
            click.echo(f"note: --address is used, not {' or '.join(others)}", err=True)
        return checked_url(given)
    if named:
        return checked_url(next(iter(named.values())))
    if local := running_cluster():
        return local.dashboard
    raise SubmissionRefused(
        "which cluster? Name its dashboard with --address http://HOST:PORT or in "
        "RAY_API_SERVER_ADDRESS; `unfreeze cluster up` starts one here"
    )
