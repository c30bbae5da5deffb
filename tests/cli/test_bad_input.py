"""What bad input gets: a clear line each, the right exit code, nothing started, nothing written."""

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import yaml
from refusals import Run, check_lines, in_one_worker

from unfreeze.cli.main import main
from unfreeze.jobs import ConfigError

pytestmark = pytest.mark.usefixtures("nothing_is_started")

CORES = len(os.sched_getaffinity(0))

SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"modle": 1}, r"modle: no such setting; did you mean model\?$"),
    ({"training": {"batchsize": 4}}, r"training.batchsize: no such setting; did you mean batch_s"),
    (
        {"phases": [{"train": "haed"}]},
        r"phases.0.train: 'haed' matches no block; the blocks are embeddings, layer.0 ... layer.2, "
        "head$",
    ),
    (
        {"phases": [{"train": "head"}, {"train": ["head", "layer.3"]}]},
        "phases.1.train: 'layer.3' matches no block",
    ),
    ({"scale": {"workers": 0}}, r"scale.workers: .*greater than or equal to 1, got 0$"),
    (
        {"scale": {"workers": CORES + 1}},
        rf"scale.workers: {CORES + 1} workers need .* has {CORES} CPUs and \d+ GPUs on 1 node",
    ),
    (
        {"scale": {"workers": 1, "gpus_per_worker": 99}},
        r"scale.workers: 1 workers need 1 CPUs and 99 GPUs; the cluster has",
    ),
    (
        {"task": "text-clasification"},
        r"task: there is no task 'text-clasification'; did you mean text-classification\?$",
    ),
    (
        {"data": {"columns": {"lable": "stars"}}},
        r"data.columns.lable: text-classification has no such column; did you mean label\?$",
    ),
    (
        {"data": {"columns": {"label": "stars"}, "validation": 0.2, "test": 0.1}},
        r"data.train: column 'stars' \(label\) is missing; there are: text, label$",
    ),
    ({"training": {"metric": "acc"}}, r"training.metric: .* no metric 'acc'; did you mean accur"),
    ({"deepspeed": {"zero_stage": 4}}, r"zero.*stage: expected 0, 1, 2 or 3, got 4$"),
    ({"deepspeed": {"train_batch_size": 3}}, "deepspeed.train_batch_size: 3 contradicts the job"),
    ({"deepspeed": "nothing.json"}, "deepspeed: nothing.json: not a JSON file of settings"),
    ({"model": "no such folder"}, "model: no such folder: no such folder"),
    ({"storage": {"uri": "ftp://somewhere"}}, "ftp://somewhere.*write s3://bucket/prefix"),
    ({"storage": {"uri": "s3://b/x"}}, "'b' is no bucket name; write s3://bucket/prefix"),
    (
        {"storage": {"uri": "s3://bucket", "endpoint": "localhost:8333"}},
        "endpoint 'localhost:8333': write 'embedded' or an http",
    ),
]


@pytest.mark.parametrize(("changes", "said"), SETTINGS, ids=[s[1][:40] for s in SETTINGS])
def test_a_wrong_setting_gets_one_line_and_exit_code_2(
    run: Run, job: Callable[..., str], tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    code, lines = run("train", job(**changes))
    check_lines(lines, said)
    assert code == 2
    assert not (tmp_path / "runs").exists()


@pytest.mark.skipif(CORES < 2, reason="needs two cores for two workers")
@pytest.mark.parametrize("scale", [{"workers": 2, "gpus_per_worker": 0}, {"gpus_per_worker": 0}])
def test_a_batch_that_the_workers_cannot_share_is_refused_however_many_were_asked_for(
    run: Run, inputs: Path, job: Callable[..., str], tmp_path: Path, scale: dict[str, Any]
) -> None:
    file = Path(job(training={"batch_size": 1}))
    settings = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(settings | {"scale": scale}))
    code, lines = run("train", str(file))
    check_lines(lines, r"training.batch_size: 2 workers cannot share 1 example; use at least 2")
    assert code == 2
    assert not (tmp_path / "runs").exists()


def test_a_job_file_that_is_missing_is_named(run: Run, tmp_path: Path) -> None:
    code, lines = run("train", str(tmp_path / "nothing.yaml"))
    check_lines(lines, r"nothing.yaml: no such file$")
    assert code == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [1,\nb: 2", "job.yaml: not YAML: "),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "job.yaml: cannot be read as text"),
        (b"PAR1\x00\x00", "job.yaml: not YAML: "),
        (b"just some words", "job.yaml: expected settings"),
        (b"", "job.yaml: expected settings"),
    ],
)
def test_a_job_file_that_is_not_what_its_name_says_is_refused(
    run: Run, tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "job.yaml").write_bytes(content)
    code, lines = run("train", str(tmp_path / "job.yaml"))
    check_lines(lines, said)
    assert code == 2


def write_parquet(file: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"text": ["a", "b"], "label": ["x", "y"]}), file)


def write_noise(file: Path) -> None:
    file.write_bytes(b"\x00" + random.Random(0).randbytes(999))


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("rows.jsonl", write_parquet, "expected JSON lines, found a parquet file"),
        ("rows.jsonl", write_noise, "expected JSON lines, found binary data"),
        ("rows.csv", write_parquet, "expected csv, found a parquet file"),
        ("rows.parquet", lambda f: f.write_text('{"text": "a"}\n'), "expected parquet, found text"),
        ("rows.jsonl", lambda f: f.write_text('{"text": "a"\n'), "line 1 is not JSON"),
        ("rows.jsonl", lambda f: f.touch(), "the file is empty"),
        ("rows.jsonl", lambda f: None, "no such file"),
    ],
)
def test_data_that_are_not_what_their_name_says_are_refused(
    run: Run,
    inputs: Path,
    job: Callable[..., str],
    tmp_path: Path,
    name: str,
    write: Callable[[Path], object],
    said: str,
) -> None:
    write(tmp_path / name)
    code, lines = run("train", job(**in_one_worker(data={"train": str(tmp_path / name)})))
    check_lines(lines, f"data.train: .*{name}: .*{said}")
    assert code == 2
    assert not (tmp_path / "runs").exists()


def test_rows_that_do_not_fit_are_named_by_column_file_and_number(
    run: Run, job: Callable[..., str], tmp_path: Path
) -> None:
    rows: list[dict[str, Any]] = [*tiny.rows(40), {"text": " ", "label": "good"}]
    rows += [{"text": None, "label": "bad"}, {"text": "so", "label": None}]
    file = tiny.write_rows(tmp_path / "rows.jsonl", rows)
    data = {"train": str(file), "validation": 0.2, "test": None}
    code, lines = run("train", job(**in_one_worker(data=data)))
    check_lines(
        lines,
        r"data.train: column 'text': expected text, found none in 2 rows \(.*rows.jsonl: 41, 42\)$",
        r"data.train: column 'label': expected a label, found none in row 43 of .*/rows.jsonl$",
    )
    assert code == 2
    assert not (tmp_path / "runs").exists()


def test_a_model_folder_without_weights_is_refused(
    run: Run, job: Callable[..., str], tmp_path: Path
) -> None:
    tiny.write_model(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    code, lines = run("train", job(**in_one_worker(model=str(tmp_path / "model"))))
    check_lines(lines, r"model: .*/model: a model folder without weights \(no \*.safetensors\)")
    assert code == 2
    assert not (tmp_path / "runs").exists()


def test_all_mistakes_of_a_job_file_are_told_at_once(
    run: Run, job: Callable[..., str], tmp_path: Path
) -> None:
    file = job(modle=1, training={"batch_size": 0}, scale={"workers": 0})
    code, lines = run("train", file, "nonsense", "checkpoints.every=often")
    assert code == 2
    assert len(lines) == 5, lines
    assert all(line.startswith("error: ") for line in lines)


def test_debug_shows_the_traceback_of_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["unfreeze", "--debug", "plan", str(tmp_path / "no.yaml")])
    with pytest.raises(ConfigError, match=r"no.yaml: no such file"):
        main()


@pytest.mark.parametrize("verb", [["plan"], ["show"], ["report"], ["checkpoints", "list"]])
def test_other_verbs_name_a_missing_job_file_too(run: Run, tmp_path: Path, verb: list[str]) -> None:
    code, lines = run(*verb, str(tmp_path / "nothing.yaml"))
    check_lines(lines, r"nothing.yaml: no such file$")
    assert code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "nowhere"], "nowhere: neither a job file nor a folder nor an s3:// uri"),
        (["show", "{folder}"], "no finished run here"),
        (["report", "{folder}"], "no finished run here"),
        (["predict", "{folder}", "--input", "x.jsonl"], "no finished run here"),
        (["checkpoints", "pull", "{folder}"], "no complete checkpoint here"),
    ],
)
def test_a_run_that_is_not_there_is_named(
    run: Run, tmp_path: Path, arguments: list[str], said: str
) -> None:
    code, lines = run(*(part.format(folder=tmp_path) for part in arguments))
    check_lines(lines, said)
    assert code == 2
    assert not any(tmp_path.iterdir())
