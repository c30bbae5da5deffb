"""`unfreeze predict`"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from unfreeze.cli.options import COLUMN, ENDPOINT, ON_BAD_ROW, RUN, SPLIT, columns_of

if TYPE_CHECKING:
    from unfreeze.jobs.prediction.predict import Asked, Compute


@click.command("predict")
@RUN
@ENDPOINT
@click.option(
    "--input", "source", required=True, metavar="ROWS", help="File, folder, glob, s3:// or hub id."
)
@SPLIT
@COLUMN
@click.option(
    "--output", metavar="FILE", default="-", help="jsonl, here or at s3://; default: the terminal."
)
@ON_BAD_ROW
@click.option("--address", help="Ray cluster to predict on, such as auto; default: this machine.")
@click.option(
    "--workers",
    type=click.IntRange(0),
    help="Each has the model; 0: none, in this process. Default: one per GPU, or per two CPUs of "
    "the cluster at --address.",
)
@click.option(
    "--rows-per-part",
    type=click.IntRange(1),
    help="What is lost at most for each worker when it ends early. Default: 1024.",
)
def command(
    run: str,
    endpoint: str | None,
    source: str,
    split: str | None,
    column: tuple[str, ...],
    output: str,
    on_bad_row: Any,
    address: str | None,
    workers: int | None,
    rows_per_part: int | None,
) -> None:
    """What the model of RUN says of the rows in ROWS. RUN: a job or search file, or its uri.

    With --output the same command goes on after an interruption: the parts of FILE that are done
    lie beside it in FILE.parts until all are.
    """
    from unfreeze.cli.runs import endpoint_for, find_job_or_search, model_result
    from unfreeze.jobs.config import SourceConfig
    from unfreeze.jobs.inputs import cache_folder
    from unfreeze.jobs.prediction.predict import PART_ROWS, ask, here, is_for_a_cluster, on_cluster

    runs = find_job_or_search(run, endpoint)
    result = model_result(runs)
    endpoint = endpoint_for(result, endpoint)
    asked = ask(
        runs,
        result,
        SourceConfig(path=source, split=split),
        endpoint=endpoint,
        cache=cache_folder(),
        renamed=columns_of(column),
        on_bad_row=on_bad_row,
        rows_per_part=rows_per_part or PART_ROWS,
    )
    with _interruptible(output):
        console = _Console(quiet=output == "-")
        if is_for_a_cluster(workers, address, asked.count):
            with on_cluster(asked, workers, address, console.show) as compute:
                _write(output, endpoint, asked, compute, console)
        else:
            _write(output, endpoint, asked, here(asked), console)


def _write(
    output: str, endpoint: str | None, asked: "Asked", compute: "Compute", console: "_Console"
) -> None:
    """Line by line to the terminal, or part by part to a file."""
    from unfreeze.jobs.prediction.parts import Output, as_jsonl
    from unfreeze.jobs.prediction.predict import predict_to, predicted_lines

    if output == "-":
        for line in predicted_lines(asked, compute):
            click.echo(as_jsonl([line]), nl=False)
    else:
        predict_to(Output(output, endpoint), asked, compute, console.show)


@contextmanager
def _interruptible(output: str) -> Iterator[None]:
    """Says after Ctrl-C what the same command would do."""
    try:
        yield
    except KeyboardInterrupt:
        after = "" if output == "-" else f"; the same command goes on from {output}.parts"
        click.echo(f"interrupted{after}", err=True)
        raise SystemExit(130) from None


class _Console:
    """Says how far it is, every few seconds."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet, self._began = quiet, time.monotonic()
        self._said_at = self._began

    def show(self, message: dict[str, Any]) -> None:
        if not self._quiet and (text := getattr(self, f"_{message['kind']}")(message)):
            click.echo(text)

    def _started(self, message: dict[str, Any]) -> str:
        where = f"{message['gpus']:g} GPUs each" if message["gpus"] else "on CPUs"
        return f"{message['workers']} workers, {where}"

    def _replaced(self, message: dict[str, Any]) -> str:
        return f"a worker died, and another took its place ({message['workers']} so far)"

    def _taken_up(self, message: dict[str, Any]) -> str | None:
        return self._predicted(message)

    def _predicted(self, message: dict[str, Any]) -> str | None:
        now = time.monotonic()
        if now - self._said_at < 5:
            return None
        self._said_at = now
        return f"  {message['rows']:,} of {message['of']:,} rows"

    def _written(self, message: dict[str, Any]) -> str:
        seconds = time.monotonic() - self._began
        parts = [f"{message['target']}: {message['rows']:,} rows"]
        if message["taken_up"]:
            parts.append(f"{message['taken_up']:,} of them from the attempt before")
        if message["skipped"]:
            parts.append(f"{message['skipped']:,} of them did not fit, and have an error instead")
        new = message["rows"] - message["taken_up"]
        return f"{'; '.join(parts)} ({new / max(seconds, 1e-9):,.0f} rows/s)"
