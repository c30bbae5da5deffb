"""What `submit` would send, what it refuses to, and what `jobs` refuses to ask for."""

import json
import os
import shlex
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import searches
import tiny
import yaml
from click.testing import CliRunner
from refusals import Run, check_lines

from unfreeze.cli.jobs import status_lines, table_lines
from unfreeze.cli.main import cli
from unfreeze.cli.shipped import run_uri, shipped
from unfreeze.cluster.submission.request import Submitted
from unfreeze.jobs import ConfigError, load_job
from unfreeze.jobs.config import StorageConfig
from unfreeze.storage import open_store
from unfreeze.tuning.search_file import load_search

Job = Callable[..., str]

NOBODY = "http://127.0.0.1:1"
S3 = {"uri": "s3://bucket/some"}


@pytest.fixture(autouse=True)
def no_cluster_of_the_developer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("UNFREEZE_HOME", str(tmp_path / "home"))


@pytest.fixture
def nobody_is_contacted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*address: Any) -> None:
        raise AssertionError(f"a connection to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def dry_run(file: str, *overrides: str) -> dict[str, Any]:
    arguments = ["submit", file, *overrides, "--address", NOBODY, "--dry-run", "--json"]
    answer = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    data: dict[str, Any] = json.loads(answer.stdout)
    return data


@pytest.mark.usefixtures("nobody_is_contacted")
def test_a_dry_run_tells_the_whole_request_and_contacts_nobody(job: Job, tmp_path: Path) -> None:
    request = dry_run(job(), "training.batch_size=7")
    content = request["metadata"]["content"]
    assert request["address"] == NOBODY
    assert request["submission_id"] == f"tiny-{content[:8]}-1"
    assert shlex.split(request["entrypoint"]) == [
        *("python", "-m", "unfreeze.cli.submitted", "job.yaml", request["submission_id"])
    ]
    assert request["metadata"]["run"] == str(tmp_path / "runs/tiny")
    version = request["metadata"]["unfreeze"]
    files = request["runtime_env"]["working_dir"]
    assert {"job.yaml", "files/train.jsonl", "files/model/config.json"} < files.keys()
    assert request["settings"]["training"]["batch_size"] == 7
    assert request["settings"]["data"]["train"]["path"] == "files/train.jsonl"
    code = request["runtime_env"]["py_modules"]
    assert f"unfreeze-{version}.dist-info/METADATA" in code
    assert "unfreeze/jobs/loop.py" in code


@pytest.mark.usefixtures("nobody_is_contacted")
def test_a_dry_run_for_people_says_the_same(job: Job) -> None:
    file = job()
    answer = CliRunner().invoke(cli, ["submit", file, "--address", NOBODY, "--dry-run"])
    data = dry_run(file)
    for text in (data["entrypoint"], data["submission_id"], *data["metadata"].values()):
        assert text in answer.stdout
    for name in (*data["runtime_env"]["working_dir"], *data["runtime_env"]["py_modules"]):
        assert f"  {name}\n" in answer.stdout


def test_the_same_file_gives_the_same_request_and_a_changed_byte_another(
    job: Job, inputs: Path, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    tiny.write_rows(rows, tiny.rows(20))
    first = dry_run(job(), f"data.test={rows}")
    assert dry_run(job(), f"data.test={rows}") == first
    tiny.write_rows(rows, tiny.rows(21))
    second = dry_run(job(), f"data.test={rows}")
    assert second["metadata"]["content"] != first["metadata"]["content"]
    assert second["metadata"]["run"] == first["metadata"]["run"]


def test_no_secret_of_the_environment_is_in_a_request(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = {
        "AWS_SECRET_ACCESS_KEY": "planted-aws",
        "HF_TOKEN": "planted-hf",
        "RAY_AUTH_TOKEN": "planted-ray",
    }
    for name, value in planted.items():
        monkeypatch.setenv(name, value)
    request = json.dumps(dry_run(job()))
    assert not [value for value in planted.values() if value in request]


def test_what_is_shipped_of_a_job_is_the_same_job(job: Job, tmp_path: Path) -> None:
    file = job(training={"seed": 3})
    what = shipped(file, ["phases.0.learning_rate=1e-4"], NOBODY)
    what.shipment.write(tmp_path / "there")
    os.chdir(tmp_path / "there")
    there, here = load_job("job.yaml"), load_job(file, ["phases.0.learning_rate=1e-4"])
    for name in ("name", "phases", "training", "storage", "task", "deepspeed"):
        assert getattr(there, name) == getattr(here, name)
    assert there.data.columns == here.data.columns
    assert Path(there.model.path, "config.json").is_file()
    assert Path(there.data.train.path).read_bytes() == Path(here.data.train.path).read_bytes()


def test_a_search_whose_paths_lead_down_from_here_is_shipped_to_the_letter(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(inputs)
    tiny.settings(inputs)
    search = searches.settings(inputs, "s3://bucket/runs")
    data = {name: f"{name}.jsonl" for name in ("train", "validation", "test")}
    search["job"] |= {"model": "model", "data": data}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(search["job"]))
    search["job"] = "base.yaml"
    file = tmp_path / "some-search.yaml"
    file.write_text(yaml.safe_dump(search))
    here = load_search(file, ["trials=5"])

    what = shipped(str(file), ["trials=5"], NOBODY)
    what.shipment.write(tmp_path / "there")
    monkeypatch.chdir(tmp_path / "there")
    there = load_search("search.yaml")
    assert (there.config, there.job) == (here.config, here.job)
    assert what.run == "s3://bucket/runs/tiny-search"
    assert Path("train.jsonl").is_file()
    assert Path("model/config.json").is_file()


def test_model_folders_that_a_search_chooses_from_go_with_it(inputs: Path, tmp_path: Path) -> None:
    search = searches.settings(inputs, "s3://bucket/runs")
    other = tiny.write_model(tmp_path / "model", dropout=0.0)
    models = [str(inputs / "model"), str(other), "org/hub-model"]
    search["space"] = {
        "model": {"choice": models},
        "training.batch_size": {"choice": [4, 8], "when": {"model": [models[1]]}},
    }
    file = tmp_path / "search.yaml"
    file.write_text(yaml.safe_dump(search))
    what = shipped(str(file), [], NOBODY)
    settings = yaml.safe_load(what.shipment.settings)
    moved = settings["space"]["model"]["choice"]
    assert moved == ["files/model", "files/2/model", "org/hub-model"]
    assert settings["job"]["model"]["path"] == moved[0]
    assert settings["space"]["training.batch_size"]["when"] == {"model": [moved[1]]}
    assert {f"{name}/config.json" for name in moved[:2]} < what.shipment.files.keys()


@pytest.mark.parametrize("uri", ["/srv/runs", "/srv/runs/", "file:///srv/runs"])
def test_the_uri_of_a_run_is_that_of_its_store(uri: str) -> None:
    assert run_uri(StorageConfig(uri=uri), "x") == open_store(uri).under("x").uri
    assert run_uri(StorageConfig(uri="s3://bucket/some/"), "x") == "s3://bucket/some/x"


@pytest.mark.parametrize(
    ("storage", "address", "said"),
    [
        ({"uri": "runs"}, NOBODY, "storage.uri: runs: a folder of this machine"),
        ({"uri": "~/runs"}, NOBODY, "storage.uri: ~/runs: a folder of this machine"),
        ({**S3, "endpoint": "embedded"}, "http://10.0.0.1:8265", "storage.endpoint: the embedded"),
    ],
)
def test_a_store_that_the_cluster_cannot_reach_is_refused(
    job: Job, storage: dict[str, str], address: str, said: str
) -> None:
    with pytest.raises(ConfigError) as error:
        shipped(job(storage=storage), [], address)
    (line,) = error.value.mistakes
    assert line.startswith(said)


@pytest.mark.parametrize("address", [NOBODY, "http://localhost:8265"])
def test_the_embedded_store_is_for_a_cluster_on_this_machine(job: Job, address: str) -> None:
    what = shipped(job(storage={**S3, "endpoint": "embedded"}), [], address)
    assert what.endpoint == "embedded"


def test_all_mistakes_are_said_at_once_before_anything_is_sent(run: Run, job: Job) -> None:
    file = job(storage={"uri": "runs"}, model="./gone", deepspeed="gone.json")
    code, lines = run("submit", file, "--address", NOBODY)
    assert code == 2
    check_lines(lines, "storage.uri: runs", "model: ./gone", "deepspeed: gone.json")
    code, lines = run("submit", file, "modle=x", "phases.0.rate=1", "--address", NOBODY)
    assert code == 2
    check_lines(lines, "phases.0.rate: no such setting", "modle: no such setting")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:8265", "expected the address of a dashboard"),
        ("ray://127.0.0.1:10001", "expected the address of a dashboard"),
        ("ftp://127.0.0.1", "expected the address of a dashboard"),
        ("http://user:planted@127.0.0.1:8265", "no user or password"),
        ("http://127.0.0.1:8265/a b", "and no more"),
    ],
)
def test_what_cannot_be_a_dashboard_is_refused(run: Run, job: Job, address: str, said: str) -> None:
    code, lines = run("submit", job(), "--address", address)
    assert code == 2
    check_lines(lines, said)
    assert "planted" not in str(lines)


def test_a_cluster_must_be_named(run: Run, job: Job) -> None:
    code, lines = run("submit", job())
    assert code == 2
    check_lines(lines, "which cluster.*--address http://HOST:PORT.*RAY_API_SERVER_ADDRESS")


def test_what_is_given_wins_over_the_environment_which_is_said(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")  # not a dashboard's
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:2")
    from_environment = CliRunner().invoke(cli, ["submit", job(), "--dry-run", "--json"])
    assert json.loads(from_environment.stdout)["address"] == "http://127.0.0.1:2"
    arguments = ["submit", job(), "--dry-run", "--json", "--address", NOBODY]
    given = CliRunner().invoke(cli, arguments)
    assert json.loads(given.stdout)["address"] == NOBODY
    assert given.stderr == (
        "note: --address is used, not RAY_API_SERVER_ADDRESS (http://127.0.0.1:2)\n"
    )


@pytest.mark.parametrize("verb", [["status"], ["cancel"], ["logs"]])
@pytest.mark.parametrize("handle", ["..", "a b", "a\nb", "a'b", "a?b"])
@pytest.mark.usefixtures("nobody_is_contacted")
def test_what_cannot_be_a_handle_is_not_asked_for(run: Run, verb: list[str], handle: str) -> None:
    code, lines = run("jobs", *verb, "--address", NOBODY, handle)
    assert code == 2, lines
    assert len(lines) == 1


def test_a_dashboard_that_does_not_answer_is_one_line_and_exit_code_1(run: Run, job: Job) -> None:
    for command in (["submit", job()], ["jobs", "list"], ["jobs", "status", "x-1-1"]):
        code, lines = run(*command, "--address", NOBODY)
        assert code == 1
        check_lines(lines, "no Ray dashboard answers at http://127.0.0.1:1")


def test_logs_are_read_from_the_store_of_a_run(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "tiny"))
    for handle, text in (("tiny-1-1", b"first\n"), ("tiny-1-2", b"second\n")):
        store.put(f"logs/{handle}/00000.log", text)
    run, newest = str(tmp_path / "tiny"), ["--submission", "tiny-1-1"]
    read = CliRunner().invoke(cli, ["jobs", "logs", run, *newest], catch_exceptions=False)
    assert read.stdout == "first\n"
    store.put("logs/tiny-1-2/00001.log", b"more\n")
    read = CliRunner().invoke(cli, ["jobs", "logs", run], catch_exceptions=False)
    assert read.stdout == "second\nmore\n"
    with pytest.raises(ConfigError, match=r"no log of tiny-1-3; there are tiny-1-1, tiny-1-2"):
        CliRunner().invoke(
            cli, ["jobs", "logs", run, "--submission", "tiny-1-3"], catch_exceptions=False
        )


LONG = f"{'x' * 90}-3f2a9c01-1"
FAILED = Submitted(
    LONG,
    "FAILED",
    {"run": "s3://bucket/" + "x" * 90, "content": "3f2a9c01", "unfreeze": "0.1.0+abc"},
    "Entrypoint failed with exit code 2, last available logs:\none\n\ntwo\nthree\nfour\n",
    exit_code=2,
    started=1_700_000_000.0,
    ended=1_700_000_075.0,
)


def test_a_table_of_submissions_cuts_nothing_that_is_to_be_copied() -> None:
    waiting = Submitted("short-3f2a9c01-1", "PENDING", FAILED.metadata)
    head, *lines = table_lines([FAILED, waiting])
    run = FAILED.metadata["run"]
    assert [" ".join(line.split()) for line in (head, *lines)] == [
        "handle status started took run",
        f"{LONG} FAILED 2023-11-14 22:13:20 UTC 1 min 15 s {run}",
        f"short-3f2a9c01-1 PENDING not yet - {run}",
    ]


def test_the_status_says_what_the_exit_code_means_and_how_the_log_ended() -> None:
    assert status_lines(FAILED) == [
        f"{LONG}  FAILED: the file, its data or its files are wrong",
        f"run      {FAILED.metadata['run']}",
        "code     unfreeze 0.1.0+abc",
        "started  2023-11-14 22:13:20 UTC",
        "ended    2023-11-14 22:14:35 UTC, after 1 min 15 s",
        "exit     2",
        "message  Entrypoint failed with exit code 2, last available logs:",
        "         two",
        "         three",
        "         four",
    ]
