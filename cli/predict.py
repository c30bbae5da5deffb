"""`unfreeze predict`"""

import json
from typing import IO

import click

from unfreeze.cli.options import ENDPOINT, RUN


@click.command("predict")
@RUN
@ENDPOINT
@click.option("--input", "source", required=True, metavar="FILE", help="Rows: jsonl, csv, ...")
@click.option("--output", type=click.File("w"), default="-", help="jsonl; default: the terminal.")
def command(run: str, endpoint: str | None, source: str, output: IO[str]) -> None:
    """What the model of RUN says of the rows in FILE. RUN: a job file, or the run's uri."""
    from unfreeze.jobs.config import SourceConfig
    from unfreeze.jobs.inputs import cache_folder
    from unfreeze.jobs.predict import predict
    from unfreeze.jobs.results import find_result, find_run

    runs = find_run(run, endpoint)
    rows = predict(
        runs,
        find_result(runs),
        SourceConfig(path=source),
        endpoint=endpoint,
        cache=cache_folder(),
    )
    for row in rows:
        output.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
