"""`unfreeze show`"""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from unfreeze.cli.options import AS_JSON, ENDPOINT, RUN

if TYPE_CHECKING:
    from unfreeze.jobs import JobResult


@click.command("show")
@RUN
@ENDPOINT
@AS_JSON
def command(run: str, endpoint: str | None, as_json: bool) -> None:
    """The result of RUN: a job or search file, or its uri (s3://bucket/name, a folder)."""
    from unfreeze.cli.runs import find_job_or_search
    from unfreeze.cli.search_words import shown_lines
    from unfreeze.jobs.results import find_result, read_evals

    runs = find_job_or_search(run, endpoint)
    result = find_result(runs)
    data = result.data
    if as_json:
        click.echo(json.dumps({"uri": result.uri, **data}))
        return
    click.echo(f"{data['name']}  {result.uri}")
    for line in shown_lines(data) if data.get("kind") == "search" else _job_lines(result):
        click.echo(line)
    for each in read_evals(runs):
        click.echo(_eval_line(each, data["metric"]))


def _eval_line(data: dict[str, Any], metric: str) -> str:
    from unfreeze.cli.eval import score_in_words
    from unfreeze.cli.words import count

    score = score_in_words(data["scores"].get(metric))
    return f"eval        {data['name']}: {count(data['rows'])} rows, {metric} {score}"


def _job_lines(result: "JobResult") -> Iterator[str]:
    from unfreeze.cli.words import count, metrics

    data = result.data
    yield f"validation  {metrics(result.validation)}  (step {count(data['best_step'])})"
    yield f"test        {metrics(result.test)}" if result.test else "test        none given"
    yield from map(_phase_line, data["phases"])
    yield (
        f"{data['workers']} workers, ZeRO {data['zero_stage']}, {data['precision']}, "
        f"{data['tokens_per_s']:,.0f} tokens/s"
    )
    yield data["overfitting"]["words"]


def _phase_line(phase: dict[str, Any]) -> str:
    from unfreeze.cli.words import count, duration, size

    return (
        f"phase {phase['index']}: {phase['name']}  {count(phase['trained_parameters'])} of "
        f"{count(phase['total_parameters'])} parameters, {count(phase['steps'])} steps, "
        f"rate {phase['learning_rate']:g}, {duration(phase['seconds'])}, "
        f"{size(phase['peak_memory_bytes'])} at peak, ended by {phase['ended']}"
    )
