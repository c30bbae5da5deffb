"""Every example is a job or a search, and says on top how it is run."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
import yaml

from unfreeze.cli.main import cli
from unfreeze.jobs import JobConfig, load_job
from unfreeze.jobs.config import SourceConfig
from unfreeze.jobs.phases import plan_phases
from unfreeze.tuning.search_file import load_search
from unfreeze.tuning.space import extremes, with_settings

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
SEARCHES = [example for example in EXAMPLES if example.stem.endswith("-search")]
BLOCKS = ("embeddings", *(f"layer.{i}" for i in range(12)), "head")


def launch_command(example: Path) -> list[str]:
    first = example.read_text().splitlines()[0]
    assert first.startswith("# "), f"{example.name}: no launch command on top"
    return shlex.split(first.removeprefix("# "))


def job_of(example: Path, overrides: Sequence[str] = ()) -> JobConfig:
    """The job, or the job that the trials of a search vary."""
    if example in SEARCHES:
        return load_search(example, overrides).job
    return load_job(example, overrides)


def test_there_are_examples() -> None:
    assert SEARCHES
    assert len(EXAMPLES) > len(SEARCHES)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_loads_and_its_phases_can_be_planned(example: Path) -> None:
    job = job_of(example)
    assert job.name == example.stem
    assert plan_phases(job, BLOCKS, steps_per_epoch=100)


@pytest.mark.parametrize("example", SEARCHES, ids=lambda path: path.name)
def test_what_an_example_of_a_search_tries_can_be_planned(example: Path) -> None:
    search = load_search(example)
    for key, dimension in search.space.dimensions.items():
        for value in extremes(dimension):
            job = with_settings(search.job, search.space.condition_of(key) | {key: value})
            assert plan_phases(job, BLOCKS, steps_per_epoch=100)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_opens_with_a_command_that_parses_and_names_it(example: Path) -> None:
    program, verb, *arguments = launch_command(example)
    assert program == "unfreeze"
    with click.Context(cli) as context:
        command = cli.get_command(context, verb)
        assert command is not None
        parsed = command.make_context(verb, arguments, parent=context)
    file = parsed.params["search_file" if example in SEARCHES else "job_file"]
    assert ROOT / file == example
    job_of(ROOT / file, parsed.params.get("overrides", ()))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_says_what_it_does_in_words(example: Path) -> None:
    lines = example.read_text().splitlines()
    comment = [line for line in lines[1:] if line.startswith("# ")]
    assert comment
    assert isinstance(yaml.safe_load(example.read_text()), dict)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_what_an_example_reads_is_fetched_for_it(example: Path) -> None:
    job = job_of(example)
    sources = [job.data.train, job.data.validation, job.data.test]
    for path in [job.model.path, *(s.path for s in sources if isinstance(s, SourceConfig))]:
        assert (ROOT / path).exists(), "make test fetches it first: examples/fetch_demo.py"
