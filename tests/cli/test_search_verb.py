"""`unfreeze search`, and the verbs that know searches too: refusals, results, plans."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import search_results
import tiny
import yaml
from click.testing import CliRunner
from refusals import Run, check_lines

from unfreeze.cli.main import cli

CORES = len(os.sched_getaffinity(0))
ONE_WORKER = {"workers": 1, "gpus_per_worker": 0}
RATES = {"loguniform": [1e-5, 1e-3]}
nothing_is_started = pytest.mark.usefixtures("nothing_is_started")

Write = Callable[..., str]


@pytest.fixture
def search(inputs: Path, tmp_path: Path) -> Write:
    """Writes a tiny search, with changes, to a file; its files would go to `tmp_path`/runs."""

    def write(**changes: Any) -> str:
        of_job = changes.pop("job", {})
        settings: dict[str, Any] = {
            "job": of_job,
            "space": {"phases.0.for": {"choice": ["0ep", "1ep"]}, "phases.1.learning_rate": RATES},
            "trials": 4,
            "finalists": {"top": 1, "seeds": 1},
        }
        if isinstance(of_job, dict):
            here = {"storage": {"uri": str(tmp_path / "runs")}, "scale": ONE_WORKER}
            settings["job"] = tiny.settings(inputs, **{**here, **of_job})
        file = tmp_path / "tiny-search.yaml"
        file.write_text(yaml.safe_dump(settings | changes))
        return str(file)

    return write


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"trails": 5}, r"trails: no such setting; did you mean trials\?$"),
    ({"lanes": 99}, r"lanes: 99 lanes of 1 worker\(s\) do not fit"),
    ({"scheduler": {"grace": "0ep"}}, "scheduler.grace: a trial needs some training before"),
    ({"logging": {"mlflow": "http://127.0.0.1:1"}}, "logging.mlflow: mlflow is not installed"),
    ({"space": {}}, "space: name at least one setting to search over"),
    (
        {"space": {"phases.1.learning_rat": RATES}},
        r"space.phases.1.learning_rat: no such setting; did you mean learning_rate\?",
    ),
    ({"space": {"phases.0.for": ["1ep"]}}, "space.phases.0.for: expected one of choice, uniform"),
    (
        {"space": {"phases.1.learning_rate": {"loguniform": [0, 1]}}},
        "space.phases.1.learning_rate: loguniform: expected low > 0",
    ),
    (
        {"space": {"phases.1.train": {"choice": ["all", "layer.7"]}}},
        "space.phases.1.train: .*'layer.7' matches no block",
    ),
    ({"searcher": "grid"}, "space.phases.1.learning_rate: a grid cannot hold every loguniform"),
    ({"metric": "acuracy"}, "metric: "),
    ({"mode": "min"}, "mode: accuracy is better when higher, so max, got 'min'"),
    ({"job": "no.yaml"}, "job: no.yaml: no such file"),
    ({"job": {"modle": 1}}, r"job.modle: no such setting; did you mean model\?"),
    ({"job": {"model": "no such folder"}}, "model: no such folder: no such folder"),
    (
        {"job": {"scale": ONE_WORKER | {"workers": CORES + 1}}},
        rf"scale.workers: {CORES + 1} workers need",
    ),
]


@nothing_is_started
@pytest.mark.parametrize(("changes", "said"), REFUSALS, ids=[said[:40] for _, said in REFUSALS])
def test_a_mistake_in_a_search_gets_one_line_and_exit_code_2(
    run: Run, search: Write, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    code, lines = run("search", search(**changes))
    check_lines(lines, said)
    assert code == 2
    assert not (tmp_path / "runs").exists()


@nothing_is_started
def test_overrides_reach_the_search_its_job_and_its_space(run: Run, search: Write) -> None:
    code, lines = run("search", search(), "trials=0", "job.training.batch_size=0")
    check_lines(lines, "job.training.batch_size: .*got 0", "trials: .*got 0")
    assert code == 2
    code, lines = run("search", search(), "space.phases.0.for.choice=[often]")
    check_lines(lines, 'space.phases.0.for: expected a length such as "2ep" .*, got .often')
    assert code == 2


@nothing_is_started
@pytest.mark.parametrize("verb", ["search", "plan", "show", "report"])
def test_a_search_file_that_is_missing_is_named(run: Run, tmp_path: Path, verb: str) -> None:
    code, lines = run(verb, str(tmp_path / "nothing.yaml"))
    check_lines(lines, r"nothing.yaml: no such file$")
    assert code == 2


@nothing_is_started
@pytest.mark.parametrize("verb", ["show", "report"])
def test_a_search_that_has_not_finished_has_nothing_to_show(
    run: Run, search: Write, verb: str
) -> None:
    code, lines = run(verb, search())
    check_lines(lines, r"runs/tiny-search: no finished run here")
    assert code == 2


@pytest.fixture
def finished(search: Write, tmp_path: Path) -> str:
    """A search file whose search has finished."""
    file = search()
    folder = tmp_path / "runs/tiny-search"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(search_results.a_result(name="tiny-search")))
    return file


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("by", ["file", "uri"])
def test_show_tells_what_came_of_a_search(finished: str, tmp_path: Path, by: str) -> None:
    folder = str(tmp_path / "runs/tiny-search")
    lines = invoke("show", finished if by == "file" else folder).splitlines()
    assert lines[0] == f"tiny-search  {folder}"
    data = search_results.a_result()
    assert lines[1].startswith(f"{len(data['trials'])} trials: ")
    assert any(line.startswith("winner      trial ") for line in lines)
    assert lines[-1] == data["verdict"][-1]


def test_show_as_json_is_the_result(finished: str, tmp_path: Path) -> None:
    shown = json.loads(invoke("show", finished, "--json"))
    folder = tmp_path / "runs/tiny-search"
    assert shown.pop("uri") == str(folder)
    assert shown == json.loads((folder / "result.json").read_text())


def test_report_is_rebuilt_and_fetched(finished: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.html"
    assert invoke("report", finished, "--output", str(copy)).strip() == str(copy)
    page = (tmp_path / "runs/tiny-search/report.html").read_text()
    assert copy.read_text() == page
    assert "tiny-search" in page


def test_a_plan_says_what_would_be_tried_and_leaves_nothing(search: Write, tmp_path: Path) -> None:
    file = search()
    lines = invoke("plan", file, "trials=6", "lanes=1").splitlines()
    assert lines[0] == "tiny-search: 6 trials; the highest accuracy is the best"
    assert "  phases.0.for            one of 0ep, 1ep" in lines
    assert "  phases.1.learning_rate  1e-05 to 0.001, its logarithm uniform" in lines
    said = "\n".join(lines)
    assert "asha: after 1 epochs since unfreezing, the best 1 in 3 of the trials go on" in said
    assert "lanes      1 on this machine, each of 1 worker(s) with 1 CPU(s)" in said
    assert "phase 0 after 11 steps: " in said
    assert "finalists  the best 1, and the default if it is none of them" in said
    assert "rows       117 train, 24 validation, 24 test; 11 steps per epoch" in said
    assert json.loads(invoke("plan", file, "--json"))["space"]["phases.0.for"] == "one of 0ep, 1ep"
    assert not (tmp_path / "runs").exists()


def test_a_job_is_planned_as_before(inputs: Path, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(tiny.settings(inputs)))
    assert "trained of" in invoke("plan", str(file))
    assert json.loads(invoke("plan", str(file), "--json"))["steps_per_epoch"] == 11
