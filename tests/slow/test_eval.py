"""Evaluations of exported models, for every task, on their own test rows and on others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_entities
import tiny_language
import tiny_questions
import tiny_text2text
import worker_tasks
from click.testing import CliRunner
from worker_pool import WorkerPool

from unfreeze.cli.main import cli
from unfreeze.jobs import DataError
from unfreeze.jobs.config import SourceConfig
from unfreeze.jobs.inputs import cache_folder
from unfreeze.jobs.prediction.evaluate import Evaluation, evaluate
from unfreeze.jobs.results import find_result, find_run

pytestmark = pytest.mark.slow

Settings = Callable[..., dict[str, Any]]
PHASES = [{"train": "all", "for": "10st", "learning_rate": 3e-3}]


def evaluated(settings: dict[str, Any], path: str, **changes: Any) -> Evaluation:
    runs = find_run(f"{settings['storage']['uri']}/{settings['name']}")
    source = SourceConfig(path=path)
    return evaluate(runs, find_result(runs), source, endpoint=None, cache=cache_folder(), **changes)


def text2text(folder: Path, **changes: Any) -> dict[str, Any]:
    return tiny_text2text.settings(folder, "t5", **changes)


def text(folder: Path, **changes: Any) -> dict[str, Any]:
    """With test rows, which the tiny job has none of."""
    test = folder / "language-test.jsonl"
    rows = [{"text": text} for text in tiny_language.texts(20, seed=3)]
    tiny_language.write_lines(test, rows)
    data = {"test": str(test), "allow_overlap": True}
    return tiny_language.settings(folder, data=data, **changes)


@pytest.mark.parametrize(
    "settings_of",
    [tiny.settings, tiny_entities.settings, tiny_questions.settings, text2text, text],
    ids=["labels", "tags", "answers", "text2text", "text"],
)
def test_on_its_own_test_rows_a_model_has_its_own_scores(
    one_worker: WorkerPool, inputs: Path, tmp_path: Path, settings_of: Settings
) -> None:
    settings = settings_of(inputs, phases=PHASES, storage={"uri": str(tmp_path)})
    one_worker.run(worker_tasks.run, settings)
    test = worker_tasks.result(settings)["test"]

    data = evaluated(settings, settings["data"]["test"]).data
    values = {name: score["value"] for name, score in data["scores"].items()}
    assert len(values) >= 4
    assert values == pytest.approx({name: test[name] for name in values})
    for name, score in data["scores"].items():
        assert data["difference"][name]["value"] == pytest.approx(0, abs=1e-6)
        if score["interval"]:
            low, high = score["interval"]
            assert low <= score["value"] <= high
    assert data["shared_with_train"] in (0, None)
    assert json.loads((tmp_path / settings["name"] / "evals" / f"{data['name']}.json").read_text())


@pytest.fixture(scope="module")
def settings(
    one_worker: WorkerPool, inputs: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Of a finished run."""
    folder = tmp_path_factory.mktemp("eval")
    settings = tiny.settings(inputs, storage={"uri": str(folder)})
    one_worker.run(worker_tasks.run, settings)
    return settings


def test_another_domain_by_the_command_line(settings: dict[str, Any], tmp_path: Path) -> None:
    rows = [{"tweet": row["text"], "label": row["label"]} for row in tiny.rows(50, seed=9)]
    known = json.loads(Path(settings["data"]["train"]).read_text().splitlines()[0])
    rows += [{"tweet": known["text"].upper(), "label": known["label"]}]
    rows += [{"tweet": "a film", "label": "neutral"}, {"tweet": " ", "label": "good"}]
    file = tiny.write_rows(tmp_path / "tweets.jsonl", rows)
    run = f"{settings['storage']['uri']}/tiny"
    arguments = ["eval", run, "--data", str(file), "--column", "text=tweet"]
    with pytest.raises(DataError, match=r"(?s)found none in row 53.*not learned.*: neutral \(1\)"):
        CliRunner().invoke(cli, arguments, catch_exceptions=False)

    output = tmp_path / "said.jsonl"
    arguments += ["--on-bad-row", "skip", "--output", str(output)]
    text = CliRunner().invoke(cli, arguments, catch_exceptions=False).output
    assert f"{file}  51 rows, 2 that do not fit left out" in text
    assert "rows whose text the run was trained on: 1" in text
    assert "difference" in text
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    right = sum(line["label"] == line["predicted"] for line in lines) / len(lines)
    assert len(lines) == 51 and f"accuracy{right:.4f}" in text.replace(" ", "")


def test_looks_at_the_own_test_rows_are_counted(settings: dict[str, Any], tmp_path: Path) -> None:
    test = Path(settings["data"]["test"])
    shuffled = tmp_path / "shuffled.jsonl"
    shuffled.write_text("".join(f"{line}\n" for line in reversed(test.read_text().splitlines())))
    looks = [evaluated(settings, str(path)).data for path in (test, test, shuffled)]
    assert [look["touches"] for look in looks] == [2, 3, 4]
    assert [look["times"] for look in looks] == [1, 2, 1]
    shown = CliRunner().invoke(cli, ["show", f"{settings['storage']['uri']}/tiny"]).output
    accuracy = looks[0]["scores"]["accuracy"]["value"]
    assert f"eval        {looks[0]['name']}: 24 rows, accuracy {accuracy:.4f} (" in shown
