"""`unfreeze compare`"""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unfreeze.cli.options import AS_JSON, JOB_FILE

if TYPE_CHECKING:
    from unfreeze.jobs.compare import Comparison, Ranked

_OVERRIDE = re.compile(r"[A-Za-z_]\w*(\.\w+)*=.*", re.DOTALL)


@click.command("compare")
@JOB_FILE
@click.option("--models", multiple=True, metavar="MODEL", help="Folders, hub ids or uris.")
@click.argument("others", nargs=-1, metavar="[MODEL]... [KEY=VALUE]...")
@click.option(
    "--rows",
    "most_rows",
    type=click.IntRange(min=20),
    default=2000,
    show_default=True,
    help="Most training rows to judge by.",
)
@AS_JSON
def command(
    job_file: str, models: tuple[str, ...], others: tuple[str, ...], most_rows: int, as_json: bool
) -> None:
    """Which pretrained model fits the data of a job? Asks frozen models; nothing is fine-tuned.

    unfreeze compare JOB.yaml --models A B C
    """
    named, overrides = told_apart(others)
    candidates = [*models, *named]
    if not candidates:
        raise click.UsageError("name the models to compare: --models A B C")
    from unfreeze.jobs import load_job
    from unfreeze.jobs.compare import compare_models

    found = compare_models(
        load_job(job_file, overrides),
        candidates,
        most_rows=most_rows,
        tell=lambda text: click.echo(text, err=True),
    )
    if as_json:
        click.echo(json.dumps(found.to_data()))
    else:
        show(found)


def told_apart(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Models, and overrides of settings. What is there as a file or folder is a model."""
    overrides = [word for word in words if _OVERRIDE.fullmatch(word) and not Path(word).exists()]
    return [word for word in words if word not in overrides], overrides


def short_names(names: Sequence[str]) -> list[str]:
    """The last part of each path, if that tells them apart."""
    last = [name.rstrip("/").rpartition("/")[2] for name in names]
    return last if len(set(last)) == len(last) else list(names)


def show(found: "Comparison") -> None:
    """The table, best first, and which to take."""
    from rich.console import Console
    from rich.table import Table

    from unfreeze.jobs.metrics import TRAITS

    title = TRAITS[found.metric].title or found.metric.replace("_", " ")
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("model", overflow="fold")
    for name in (title, "95 %", "behind the best", "parameters", "layers", "tokens/word"):
        table.add_column(name, justify="right")
    for name in ("unknown", "cut off", "ms/example", "memory/example", "to train"):
        table.add_column(name, justify="right")
    names = short_names([ranked.judged.name for ranked in found.ranked])
    for name, ranked in zip(names, found.ranked, strict=True):
        table.add_row(name, *_cells(ranked))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    console.print(table)
    for name, reason in found.failures.items():
        console.print(f"not compared: {name}: {reason}", style="yellow", markup=False)
    console.print(f"measured: {found.method}", markup=False)
    console.print(found.advice, markup=False, style="bold")


def _cells(ranked: "Ranked") -> list[str]:
    from unfreeze.cli.words import count, size

    facts, costs, score = ranked.judged.facts, ranked.judged.costs, ranked.score
    behind = ""
    if ranked.behind is not None:
        mark = "" if ranked.is_worse else " (not told apart)"
        behind = f"{ranked.behind.mean:+.4f}{mark}"
    words = "" if facts.tokens_per_word is None else f"{facts.tokens_per_word:.2f}"
    return [
        f"{score.mean:.4f}",
        f"{score.interval[0]:.3f} to {score.interval[1]:.3f}",
        behind,
        count(facts.parameters),
        f"{facts.layers}",
        words,
        f"{facts.unknown_share:.1%}",
        f"{facts.cut_off_share:.1%}",
        f"{costs.milliseconds:.1f}",
        size(costs.activation_bytes),
        size(ranked.judged.training_bytes),
    ]
