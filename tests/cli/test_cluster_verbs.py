"""`unfreeze cluster` where nothing of Ray is started: refusals, and whom deploy files are given to.

The programs that start clusters elsewhere (ray up, kubectl, docker) are stand-ins that note what
they are asked. tests/slow/test_local_cluster.py has a real cluster.
"""

import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from deploy_files import DEPLOY
from refusals import Run, check_lines

from unfreeze.cli.main import cli
from unfreeze.cluster.local.processes import Recorded
from unfreeze.cluster.local.state import LocalCluster, LocalNode, state_file, write_state

Notes = Callable[[], list[list[str]]]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNFREEZE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    return tmp_path / "home"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Notes:
    """ray, kubectl, docker and sh on PATH, alone; what they were asked. `kubectl delete` fails."""
    folder, notes = tmp_path / "bin", tmp_path / "notes"
    folder.mkdir()
    script = f"""#!{sys.executable}
import json, sys, pathlib
words = [pathlib.Path(sys.argv[0]).name, *sys.argv[1:]]
with open({str(notes)!r}, "a") as file:
    file.write(json.dumps(words) + "\\n")
sys.exit(3 if words[:2] == ["kubectl", "delete"] else 0)
"""
    for name in ("ray", "kubectl", "docker", "sh"):
        (folder / name).write_text(script)
        (folder / name).chmod(0o700)
    monkeypatch.setenv("PATH", str(folder))
    return lambda: [json.loads(line) for line in notes.read_text().splitlines()]


def said(*arguments: str) -> list[str]:
    """The lines of a command that does what it should."""
    result = CliRunner().invoke(cli, ["cluster", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def dead_cluster(tmp_path: Path) -> LocalCluster:
    """One whose head's number belongs to another process by now: this one."""
    head = LocalNode("head", 0, (), Recorded(os.getpid(), 12345.0))
    folder = tmp_path / "unfreeze-up-folder"
    folder.mkdir()
    cluster = LocalCluster("127.0.0.1:1", "http://127.0.0.1:2", folder, (head,))
    write_state(cluster)
    return cluster


def test_without_a_cluster_status_says_how_to_start_one(run: Run) -> None:
    code, lines = run("cluster", "status")
    assert code == 1
    check_lines(lines, "^error: no cluster: `unfreeze cluster up` starts one on this machine")


def test_a_cluster_that_does_not_answer_is_named(run: Run) -> None:
    code, lines = run("cluster", "status", "--address", "http://127.0.0.1:1")
    assert code == 1
    check_lines(lines, "no Ray dashboard answers at http://127.0.0.1:1/api/v0/nodes.*refused")


def test_the_environment_may_name_the_cluster(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:1")
    code, lines = run("cluster", "status")
    assert code == 1
    check_lines(lines, "no Ray dashboard answers at http://127.0.0.1:1/")


def test_a_password_in_an_address_is_refused_and_not_repeated(run: Run) -> None:
    code, lines = run("cluster", "status", "--address", "http://me:s3cret@127.0.0.1:1")
    assert code == 2
    check_lines(lines, "no user or password in an address")
    assert "s3cret" not in "".join(lines)


def test_a_head_that_has_died_is_said(run: Run, tmp_path: Path) -> None:
    dead_cluster(tmp_path)
    code, lines = run("cluster", "status")
    assert code == 1
    check_lines(lines, rf"the head of the local cluster \(pid {os.getpid()}\) has died; `unfreeze")


def test_down_with_nothing_to_end_is_fine() -> None:
    assert said("down") == ["nothing to end: no cluster of `unfreeze cluster up` runs here"]


def test_down_removes_the_traces_of_a_dead_cluster_and_ends_nobody_else(tmp_path: Path) -> None:
    cluster = dead_cluster(tmp_path)
    assert said("down")[0].startswith("nothing to end")
    assert not state_file().exists()
    assert not cluster.folder.exists()


def test_nothing_is_started_without_a_token(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    code, lines = run("cluster", "up")
    assert code == 2
    check_lines(lines, "^error: RAY_AUTH_MODE=disabled: unfreeze starts no Ray that asks for no")
    assert not state_file().exists()


def test_a_token_that_others_can_read_is_refused(run: Run, home: Path) -> None:
    home.mkdir()
    (home / "ray-token").write_text("s3cret")
    (home / "ray-token").chmod(0o644)
    code, lines = run("cluster", "up")
    assert code == 2
    check_lines(lines, f"run chmod 600 {home}/ray-token$")
    assert not state_file().exists()


def test_a_file_for_the_cloud_goes_to_ray_up_with_a_token_that_only_we_read(
    programs: Notes, tmp_path: Path
) -> None:
    file = str(DEPLOY / "aws.yaml")
    lines = said("up", file)
    assert lines[:2] == [f"ray up --yes {file}", "next:"]
    assert lines[2].startswith(f"  ray dashboard {file}   # leave it open")
    assert said("down", file) == [f"ray down --yes {file}"]
    assert programs() == [["ray", "up", "--yes", file], ["ray", "down", "--yes", file]]
    token = tmp_path / ".unfreeze" / "aws-token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert len(token.read_text()) == 64


def test_a_token_for_the_cloud_that_others_can_read_stops_it(
    run: Run, programs: Notes, tmp_path: Path
) -> None:
    (tmp_path / ".unfreeze").mkdir()
    (tmp_path / ".unfreeze" / "aws-token").write_text("s3cret")
    (tmp_path / ".unfreeze" / "aws-token").chmod(0o644)
    code, lines = run("cluster", "up", str(DEPLOY / "aws.yaml"))
    assert code == 2
    check_lines(lines, "chmod 600 ")
    assert not (tmp_path / "notes").exists()


def test_a_manifest_goes_to_kubectl(programs: Notes) -> None:
    file = str(DEPLOY / "kubernetes" / "raycluster.yaml")
    said("up", file)
    account = str(DEPLOY / "kubernetes" / "service-account.yaml")
    assert programs() == [["kubectl", "apply", "-f", account, "-f", file]]


def test_a_compose_file_goes_to_docker_after_its_secrets(programs: Notes) -> None:
    file = str(DEPLOY / "compose.yaml")
    said("up", file)
    assert programs() == [
        ["sh", str(DEPLOY / "secrets.sh")],
        ["docker", "compose", "-f", file, "up", "--detach", "--wait"],
    ]


def test_a_dry_run_shows_the_commands_and_runs_nothing(programs: Notes, tmp_path: Path) -> None:
    for verb in ("up", "down"):
        file = str(DEPLOY / "aws.yaml")
        assert said(verb, file, "--dry-run")[0] == f"ray {verb} --yes {file}"
    assert not (tmp_path / "notes").exists()
    assert not (tmp_path / ".unfreeze").exists()


def test_a_program_that_is_not_there_is_named_before_anything_is_run(
    run: Run, programs: Notes, tmp_path: Path
) -> None:
    (tmp_path / "bin" / "docker").unlink()
    code, lines = run("cluster", "up", str(DEPLOY / "compose.yaml"))
    assert code == 1
    check_lines(lines, "docker is not installed; get it: https://docs.docker.com")
    assert not (tmp_path / "notes").exists()


def test_a_program_that_fails_is_said(run: Run, programs: Notes) -> None:
    code, lines = run("cluster", "down", str(DEPLOY / "kubernetes" / "rayjob.yaml"))
    assert code == 1
    check_lines(lines, "kubectl ended with 3; what it said is above")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("up", str(DEPLOY / "slurm.sh")), "is a script for Slurm"),
        (("up", "none.yaml"), "none.yaml: cannot be read"),
        (("down", str(DEPLOY / "Dockerfile")), "no file that starts a cluster"),
    ],
)
def test_files_that_start_no_cluster_are_the_users_mistake(
    run: Run, arguments: tuple[str, ...], said: str
) -> None:
    code, lines = run("cluster", *arguments)
    assert code == 2
    check_lines(lines, said)


@pytest.mark.parametrize(
    "arguments",
    [
        ("up", str(DEPLOY / "aws.yaml"), "--workers", "2"),
        ("up", "--dry-run"),
        ("down", "--dry-run"),
        ("up", "--workers", "-1"),
        ("up", "--cpus-per-node", "0"),
    ],
)
def test_options_that_mean_nothing_here_are_refused(run: Run, arguments: tuple[str, ...]) -> None:
    code, lines = run("cluster", *arguments)
    assert code == 2
    assert lines[-1].startswith("Error: ")
    assert not state_file().exists()
