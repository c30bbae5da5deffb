"""`unfreeze eval`"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from unfreeze.cli.options import AS_JSON, COLUMN, ENDPOINT, ON_BAD_ROW, RUN, SPLIT, columns_of


@click.command("eval")
@RUN
@ENDPOINT
@click.option(
    "--data", "source", required=True, metavar="ROWS", help="File, folder, glob, s3:// or hub id."
)
@SPLIT
@COLUMN
@ON_BAD_ROW
@click.option("--name", help="Of evals/NAME.json; default: the data's, and a few letters.")
@click.option(
    "--output", metavar="FILE", help="Also write the rows and what the model says of each: jsonl."
)
@AS_JSON
def command(
    run: str,
    endpoint: str | None,
    source: str,
    split: str | None,
    column: tuple[str, ...],
    on_bad_row: Any,
    name: str | None,
    output: str | None,
    as_json: bool,
) -> None:
    """How well the model of RUN does on the labelled rows in ROWS, of its own domain or another.

    Every metric has an interval of 95 %, for other rows like these; beside it stands what the run
    had on its own test rows. RUN: a job or search file, or its uri.
    """
    from pathlib import Path

    from unfreeze.cli.runs import endpoint_for, find_job_or_search, model_result
    from unfreeze.jobs.config import SourceConfig
    from unfreeze.jobs.inputs import cache_folder
    from unfreeze.jobs.prediction.evaluate import evaluate
    from unfreeze.jobs.prediction.parts import as_jsonl

    runs = find_job_or_search(run, endpoint)
    result = model_result(runs)
    found = evaluate(
        runs,
        result,
        SourceConfig(path=source, split=split),
        endpoint=endpoint_for(result, endpoint),
        cache=cache_folder(),
        renamed=columns_of(column),
        on_bad_row=on_bad_row,
        name=name,
    )
    if output:
        Path(output).write_bytes(as_jsonl(found.lines))
    if as_json:
        click.echo(json.dumps({"uri": result.uri, **found.data}))
        return
    for line in eval_lines(found.data, result.uri):
        click.echo(line)


def eval_lines(data: Mapping[str, Any], uri: str) -> Iterator[str]:
    """An evaluation as people read it."""
    from unfreeze.cli.words import count

    about = [f"{count(data['rows'])} rows"]
    if data["units"] != data["rows"]:
        about.append(f"{count(data['units'])} {data['unit']}")
    if data["skipped"]:
        about.append(f"{count(data['skipped'])} that do not fit left out")
    if data["cut_off"]:
        about.append(f"{count(data['cut_off'])} cut at {data['max_length']} tokens")
    yield f"{data['source']}  {', '.join(about)}"
    test, difference = data["test"] or {}, data["difference"] or {}
    heads = ["", "here", *(["test of the run", "difference"] if test else [])]
    table = [heads]
    for name, score in data["scores"].items():
        row = [name, score_in_words(score)]
        if test:
            row += [score_in_words(test.get(name)), score_in_words(difference.get(name), sign="+")]
        table.append(row)
    widths = [max(len(row[i]) for row in table) for i in range(len(heads))]
    for row in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    if data["shared_with_train"]:
        yield f"rows whose text the run was trained on: {count(data['shared_with_train'])}"
    if data["is_own_test"]:
        yield (
            f"these are the run's own test rows, looked at {data['touches']} times by now; "
            "whoever chooses by them needs others to judge by"
        )
    yield from data["remarks"]
    yield f"{uri}/evals/{data['name']}.json"


def score_in_words(score: Mapping[str, Any] | None, sign: str = "") -> str:
    """0.8412 (0.8175 to 0.8623), or nothing."""
    if score is None:
        return ""
    value = f"{score['value']:{sign}.4f}"
    if score["interval"] is None:
        return value
    low, high = score["interval"]
    return f"{value} ({low:{sign}.4f} to {high:{sign}.4f})"
