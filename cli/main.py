"""`unfreeze`: finds the verb, and turns errors into one line each and an exit code.

Verbs are imported when they are called, so that --help answers at once.
"""

import importlib
import logging
import sys
from typing import Any

import click

VERBS = {
    "train": "run a job, or go on with it",
    "search": "run many jobs that differ in a few settings, or go on with them",
    "submit": "send a job or a search to a Ray cluster, with our code and its local files",
    "jobs": "what was submitted: list, status, logs, cancel",
    "compare": "which pretrained model fits a job's data, before any fine-tuning",
    "plan": "what a job would train, or a search would try; launches nothing",
    "data": "check: all that can be known of a job's data before it is run",
    "show": "the result of a job or a search, in the terminal",
    "report": "rebuild the HTML report of a job or a search",
    "predict": "what a finished job's model says of new rows",
    "eval": "how well a finished job's model does on labelled rows, with intervals",
    "checkpoints": "list, verify, pull or prune the checkpoints of a job",
    "cluster": "a Ray cluster, here or from a deploy file: up, status, down, doctor",
    "storage": "the S3 server that comes with unfreeze: up, down, status",
    "schema": "JSON schema of the files that people write, for editors",
}


class _Verbs(click.Group):
    """Knows the verbs by name, and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"unfreeze.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="unfreeze")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """Fine-tune pretrained language models on a Ray cluster, in freeze phases."""
    context.obj = {"debug": debug}


def main() -> None:
    """The console script. Exit 0 done, 1 cluster or store failed, 2 the user's mistake."""
    logging.captureWarnings(True)  # warnings of libraries are no news to the user
    logging.getLogger("py.warnings").addHandler(logging.NullHandler())
    arguments = sys.argv[1:]
    try:
        cli.main(arguments, prog_name="unfreeze", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; the same command goes on from the newest checkpoint", err=True)
        sys.exit(130)
    except Exception as error:
        if "--debug" in arguments:
            raise
        code = exit_code(error)
        if code is None:
            raise
        for line in str(error).splitlines():
            click.echo(f"error: {line}", err=True)
        sys.exit(code)


def exit_code(error: Exception) -> int | None:
    """2: the user can mend it. 1: the cluster, the store or the training failed. None: a bug."""
    from unfreeze.cluster import (
        AddressInvalid,
        ClusterError,
        DeployFileUnknown,
        Insecure,
        SubmissionRefused,
    )
    from unfreeze.jobs.errors import JobError, UserMistake
    from unfreeze.storage import BucketNotFound, InvalidUri, ObjectNotFound, StorageError
    from unfreeze.tuning.errors import SearchError

    user: tuple[Any, ...] = (UserMistake, BucketNotFound, InvalidUri, ObjectNotFound)
    user += (SubmissionRefused, AddressInvalid, DeployFileUnknown, Insecure)
    if isinstance(error, user):
        return 2
    ours = JobError | SearchError | StorageError | ClusterError
    return 1 if isinstance(error, ours) else None


if __name__ == "__main__":
    main()
