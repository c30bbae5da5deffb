"""Every example is a job, and says on top how it is run."""

import shlex
from pathlib import Path

import click
import pytest
import yaml

from unfreeze.cli.main import cli
from unfreeze.jobs import load_job
from unfreeze.jobs.phases import plan_phases

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
BLOCKS = ("embeddings", *(f"layer.{i}" for i in range(12)), "head")


def launch_command(example: Path) -> list[str]:
    first = example.read_text().splitlines()[0]
    assert first.startswith("# "), f"{example.name}: no launch command on top"
    return shlex.split(first.removeprefix("# "))


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_loads_and_its_phases_can_be_planned(example: Path) -> None:
    job = load_job(example)
    assert job.name == example.stem
    assert plan_phases(job, BLOCKS, steps_per_epoch=100)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_opens_with_a_command_that_parses_and_names_it(example: Path) -> None:
    program, verb, *arguments = launch_command(example)
    assert program == "unfreeze"
    with click.Context(cli) as context:
        command = cli.get_command(context, verb)
        assert command is not None
        parsed = command.make_context(verb, arguments, parent=context)
    assert ROOT / parsed.params["job_file"] == example
    load_job(ROOT / parsed.params["job_file"], parsed.params.get("overrides", ()))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_says_what_it_does_in_words(example: Path) -> None:
    lines = example.read_text().splitlines()
    comment = [line for line in lines[1:] if line.startswith("# ")]
    assert comment
    assert isinstance(yaml.safe_load(example.read_text()), dict)
