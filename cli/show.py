"""`unfreeze show`"""

import json

import click

from unfreeze.cli.options import AS_JSON, ENDPOINT, RUN


@click.command("show")
@RUN
@ENDPOINT
@AS_JSON
def command(run: str, endpoint: str | None, as_json: bool) -> None:
    """The result of RUN: a job file, or the run's uri (s3://bucket/name, a folder)."""
    from unfreeze.cli.words import count, duration, metrics, size
    from unfreeze.jobs.results import find_result, find_run

    result = find_result(find_run(run, endpoint))
    data = result.data
    if as_json:
        click.echo(json.dumps({"uri": result.uri, **data}))
        return
    click.echo(f"{data['name']}  {result.uri}")
    click.echo(f"validation  {metrics(result.validation)}  (step {count(data['best_step'])})")
    click.echo(f"test        {metrics(result.test)}" if result.test else "test        none given")
    for phase in data["phases"]:
        click.echo(
            f"phase {phase['index']}: {phase['name']}  {count(phase['trained_parameters'])} of "
            f"{count(phase['total_parameters'])} parameters, {count(phase['steps'])} steps, "
            f"rate {phase['learning_rate']:g}, {duration(phase['seconds'])}, "
            f"{size(phase['peak_memory_bytes'])} at peak, ended by {phase['ended']}"
        )
    click.echo(
        f"{data['workers']} workers, ZeRO {data['zero_stage']}, {data['precision']}, "
        f"{data['tokens_per_s']:,.0f} tokens/s"
    )
    click.echo(data["overfitting"]["words"])
