"""slurm.sh, run with stand-ins for Slurm's programs (there is no Slurm here)."""

import os
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from deploy_files import DEPLOY

SCRIPT = DEPLOY / "slurm.sh"

# One node runs the command; what it was asked for is written down.
SRUN = """#!/bin/bash
if [[ $* == *hostname* ]]; then echo "10.0.0.7 172.17.0.1 "; exit; fi
printf '%s\\n' "$@" > "$HOME/srun"
env | grep ^RAY_ | sort > "$HOME/environment"
if [[ -e $HOME/ray-does-not-start ]]; then exit 0; fi
while [[ $1 != -- ]]; do shift; done
shift
"$@"
"""
SCONTROL = '#!/bin/bash\nprintf "node-3\\nnode-4\\n"\n'
UNFREEZE = """#!/bin/bash
echo "$@" > "$HOME/unfreeze"
exit "$(cat "$HOME/exit-code" 2>/dev/null || echo 0)"
"""


@dataclass
class Slurm:
    home: Path

    def sbatch(self, *arguments: str, job: int = 4711) -> subprocess.CompletedProcess[str]:
        environment = {
            "HOME": str(self.home),
            "PATH": f"{self.home / 'bin'}:{os.environ['PATH']}",
            "SLURM_JOB_ID": str(job),
            "SLURM_JOB_NODELIST": "node-[3-4]",
            "SLURM_JOB_NUM_NODES": "2",
            "SLURM_CPUS_ON_NODE": "16",
            "SLURM_GPUS_ON_NODE": "4",
        }
        command = ["bash", str(SCRIPT), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    def read(self, name: str) -> list[str]:
        return (self.home / name).read_text().splitlines()

    @property
    def token(self) -> Path:
        return self.home / ".unfreeze" / "slurm-token"


@pytest.fixture
def slurm(tmp_path: Path) -> Slurm:
    (tmp_path / "bin").mkdir()
    for name, text in [("srun", SRUN), ("scontrol", SCONTROL), ("unfreeze", UNFREEZE)]:
        program = tmp_path / "bin" / name
        program.write_text(text)
        program.chmod(0o755)
    return Slurm(tmp_path)


def test_it_is_a_batch_script_of_its_own_nodes_that_may_be_requeued() -> None:
    options = [line.split()[1] for line in SCRIPT.read_text().splitlines() if "#SBATCH" in line]
    assert SCRIPT.read_text().startswith("#!/bin/bash\n")
    assert {"--exclusive", "--requeue", "--ntasks-per-node=1"} <= set(options)
    assert any(option.startswith("--gpus-per-node=") for option in options)


def test_the_command_runs_on_the_ray_of_all_nodes(slurm: Slurm) -> None:
    done = slurm.sbatch("train", "job.yaml", "training.seed=1")
    assert done.returncode == 0, done.stderr
    assert slurm.read("unfreeze") == ["train job.yaml training.seed=1 --address 10.0.0.7:24711"]
    asked = slurm.read("srun")
    start = asked.index("ray")
    assert "--nodes=2" in asked[:start]
    assert asked[start : start + 6] == [
        *("ray", "symmetric-run"),
        *("--address", "10.0.0.7:24711"),
        *("--min-nodes", "2"),
    ]
    assert {"--num-cpus=16", "--num-gpus=4", "--dashboard-host=127.0.0.1"} <= set(asked)


def test_two_jobs_have_different_ports_and_folders(slurm: Slurm) -> None:
    seen = []
    for job in (4711, 4712):
        slurm.sbatch("train", "job.yaml", job=job)
        asked = slurm.read("srun")
        (dashboard,) = [word for word in asked if word.startswith("--dashboard-port=")]
        (folder,) = [line for line in slurm.read("environment") if line.startswith("RAY_TMPDIR=")]
        seen.append((asked[asked.index("--address") + 1], dashboard, folder))
    assert all(one != other for one, other in zip(*seen, strict=True))


def test_the_token_is_made_once_and_for_its_owner_alone(slurm: Slurm) -> None:
    first = slurm.sbatch("train", "job.yaml")
    token = slurm.token.read_text()
    assert len(token) == 64
    assert stat.S_IMODE(slurm.token.stat().st_mode) == 0o600
    environment = slurm.read("environment")
    assert "RAY_AUTH_MODE=token" in environment
    assert f"RAY_AUTH_TOKEN_PATH={slurm.token}" in environment
    second = slurm.sbatch("train", "job.yaml", job=4712)
    assert slurm.token.read_text() == token
    assert [file.name for file in slurm.token.parent.iterdir()] == ["slurm-token"]
    seen = [first.stdout, first.stderr, second.stdout, *slurm.read("srun"), *environment]
    assert not [text for text in seen if token in text]


def test_a_token_that_others_could_read_is_closed(slurm: Slurm) -> None:
    slurm.token.parent.mkdir()
    slurm.token.write_text("mine")
    slurm.token.chmod(0o644)
    slurm.sbatch("train", "job.yaml")
    assert slurm.token.read_text() == "mine"
    assert stat.S_IMODE(slurm.token.stat().st_mode) == 0o600


def test_a_job_that_fails_fails_with_its_exit_code(slurm: Slurm) -> None:
    (slurm.home / "exit-code").write_text("2")
    assert slurm.sbatch("train", "job.yaml").returncode == 2


def test_a_ray_that_does_not_start_is_no_success(slurm: Slurm) -> None:
    """`ray symmetric-run` ends with 0 then."""
    (slurm.home / "ray-does-not-start").touch()
    failed = slurm.sbatch("train", "job.yaml")
    assert failed.returncode == 1
    assert "did not start" in failed.stderr


def test_without_a_file_it_says_how_it_is_used(slurm: Slurm) -> None:
    refused = slurm.sbatch("train")
    assert refused.returncode == 2
    assert refused.stderr.startswith("usage: sbatch")
