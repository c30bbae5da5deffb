"""`unfreeze search`"""

import json
import sys
from contextlib import nullcontext, redirect_stdout

import click

from unfreeze.cli.options import OVERRIDES, VERBOSE


@click.command("search")
@click.argument("search_file", metavar="SEARCH.yaml")
@OVERRIDES
@click.option("--address", help="Ray cluster to run on, such as auto; default: this machine.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON; all else to stderr.")
@VERBOSE
def command(
    search_file: str, overrides: tuple[str, ...], address: str | None, as_json: bool
) -> None:
    """Run the search in SEARCH_FILE, or go on with it; settings may be given as key=value.

    job.KEY=VALUE sets something in the job that trials vary, space.KEY=VALUE what they vary.
    Running the same command again goes on where it was; a finished search is left as it is,
    unless more trials or finalists are asked for.
    """
    from rich.console import Console

    from unfreeze.cli.runs import as_argument
    from unfreeze.cli.search_view import SearchView
    from unfreeze.tuning import run_search
    from unfreeze.tuning.search_file import load_search

    search = load_search(search_file, overrides)
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    # Ray says things on stdout too.
    elsewhere = redirect_stdout(sys.stderr) if as_json else nullcontext()
    with elsewhere, SearchView(console) as view:
        result = run_search(search, address=address, show=view.show)
    if as_json:
        click.echo(json.dumps({"uri": result.uri, **result.data}))
    else:
        storage = search.job.storage
        view.show_end(result, as_argument(search_file, overrides, result.uri, storage))
