"""What the command line does with a run that is there: show, report, predict, checkpoints."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
import worker_tasks
import yaml
from click.testing import CliRunner
from worker_pool import WorkerPool

from unfreeze.cli.main import cli
from unfreeze.jobs import DataError, parse_job

pytestmark = pytest.mark.slow

Invoke = Callable[..., str]


@pytest.fixture(scope="module")
def run(two_workers: WorkerPool, inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; its folder."""
    folder = tmp_path_factory.mktemp("runs")
    settings = tiny.settings(inputs, storage={"uri": str(folder)})
    two_workers.run(worker_tasks.run, settings)
    # As the driver does; these workers had none.
    (folder / "tiny/job.yaml").write_text(yaml.safe_dump(parse_job(settings).to_data()))
    return folder / "tiny"


@pytest.fixture
def invoke() -> Invoke:
    def call(*arguments: str, exit_code: int = 0) -> str:
        result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert result.exit_code == exit_code, result.output
        return result.stdout

    return call


def test_show_says_what_came_of_the_run(run: Path, invoke: Invoke) -> None:
    text = invoke("show", str(run))
    assert "test        accuracy" in text
    data = json.loads(invoke("show", str(run), "--json"))
    of_sums = ["accuracy", "f1", "weighted_f1", "mcc", "loss", "expected_calibration_error"]
    assert [name for name in data["test"] if "scaled" not in name] == [*of_sums, "auroc", "rows"]
    head, everything = (phase["trained_parameters"] for phase in data["phases"])
    assert f"phase 0: head  {head:,} of {everything:,} parameters, 11 steps" in text


def test_report_is_rebuilt_the_same(run: Path, invoke: Invoke, tmp_path: Path) -> None:
    invoke("report", str(run), "--output", str(tmp_path / "report.html"))
    first = (tmp_path / "report.html").read_bytes()
    invoke("report", str(run))
    assert (run / "report.html").read_bytes() == first


def test_predict_gives_the_predictions_of_the_job(run: Path, inputs: Path, invoke: Invoke) -> None:
    found = invoke("predict", str(run), "--input", str(inputs / "test.jsonl")).splitlines()
    expected = (run / "predictions/test.jsonl").read_text().splitlines()
    assert len(found) == len(expected) == 24
    for ours, theirs in zip(map(json.loads, found), map(json.loads, expected), strict=True):
        assert ours["text"] == theirs["text"]
        assert ours["predicted"] == theirs["predicted"]
        assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=2e-6)


def test_predict_takes_rows_without_labels_and_gives_back_all_their_columns(
    run: Path, invoke: Invoke, tmp_path: Path
) -> None:
    file = tmp_path / "new.jsonl"
    file.write_text(
        '{"id": 7, "text": "a great film"}\n{"id": 9, "text": "awful ' + "so " * 99 + '"}\n'
    )
    first, second = map(json.loads, invoke("predict", str(run), "--input", str(file)).splitlines())
    assert list(first) == ["id", "text", "predicted", "probabilities"]
    assert (first["id"], second["id"]) == (7, 9)
    assert first["probabilities"].keys() == {"bad", "good"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"txt": "x"}\n', r"data.predict: column 'text' \(text\) is missing; did you mean txt"),
        ('{"text": 3}\n', r"data.predict: column 'text' \(text\) holds int64; expected text"),
        ('{"text": "x"}\n{"text": " "}\n', "column 'text': expected text, found none in row 2"),
    ],
)
def test_predict_names_what_is_wrong_with_the_rows_before_it_says_anything(
    run: Path, tmp_path: Path, content: str, said: str
) -> None:
    file = tmp_path / "new.jsonl"
    file.write_text(content)
    output = tmp_path / "out.jsonl"
    arguments = ["predict", str(run), "--input", str(file), "--output", str(output)]
    with pytest.raises(DataError, match=said):
        CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert not output.exists() or not output.read_text()


def test_checkpoints_are_listed_verified_pulled_and_pruned(
    run: Path, invoke: Invoke, tmp_path: Path
) -> None:
    listed = invoke("checkpoints", "list", str(run)).splitlines()
    assert listed[0].startswith("step-00000022  ")
    assert invoke("checkpoints", "verify", str(run)).splitlines()[0] == "step-00000022  sound"
    invoke("checkpoints", "pull", str(run), "--to", str(tmp_path))
    names = {path.name for path in (tmp_path / "step-00000022").iterdir()}
    assert {"head.weights.safetensors", "layer.2.moments.safetensors", "metrics.jsonl"} <= names
    assert "removed 0 checkpoints" in invoke("checkpoints", "prune", str(run))


def test_verify_ends_with_1_when_bytes_were_changed(
    two_workers: WorkerPool, inputs: Path, tmp_path: Path, invoke: Invoke
) -> None:
    two_workers.run(worker_tasks.run, tiny.settings(inputs, storage={"uri": str(tmp_path)}))
    blob = max((tmp_path / "tiny/blobs").iterdir(), key=lambda path: path.stat().st_size)
    blob.write_bytes(bytes(reversed(blob.read_bytes())))
    text = invoke("checkpoints", "verify", str(tmp_path / "tiny"), exit_code=1)
    assert "DAMAGED" in text
    assert blob.name[:12] in text
