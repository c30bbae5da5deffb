"""compose.yaml: a head, two workers, an S3 server, and nothing open to anyone else."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from deploy_files import DEPLOY, PROJECT, document

from unfreeze.storage.credentials import read_credentials
from unfreeze.storage.weed import find_weed

COMPOSE = document("compose.yaml")
SERVICES: dict[str, Any] = COMPOSE["services"]
RAY = ["head", "worker"]


def test_there_are_a_head_two_workers_and_an_s3_server() -> None:
    assert set(SERVICES) == {"s3", "head", "worker"}
    assert SERVICES["worker"]["deploy"]["replicas"] == 2
    assert SERVICES["s3"]["command"][0] == "weed"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_this_version_without_privileges(name: str) -> None:
    service = SERVICES[name]
    assert service["image"] == f"unfreeze:{PROJECT['version']}"
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "network_mode", "user", "env_file"} & set(service)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_says_when_it_is_healthy(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    needed = SERVICES[name].get("depends_on", {})
    assert {need["condition"] for need in needed.values()} <= {"service_healthy"}


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_the_loopback_alone(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert port.startswith("127.0.0.1:")


@pytest.mark.parametrize("name", RAY)
def test_ray_asks_for_the_token_of_a_file(name: str) -> None:
    service = SERVICES[name]
    assert service["environment"] == {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": "/run/secrets/ray-token",
        "AWS_SHARED_CREDENTIALS_FILE": "/run/secrets/aws-credentials",
    }
    assert set(service["secrets"]) == {"ray-token", "aws-credentials"}


@pytest.mark.parametrize("name", RAY)
def test_rays_object_store_fits_into_shared_memory(name: str) -> None:
    assert SERVICES[name]["shm_size"] == "2gb"
    assert f"--object-store-memory={10**9}" in SERVICES[name]["command"]


def test_the_s3_server_lets_nobody_in_without_keys() -> None:
    options = dict(option.partition("=")[::2] for option in SERVICES["s3"]["command"][1:])
    assert options["-s3.config"] == "/run/secrets/s3.json"
    assert SERVICES["s3"]["secrets"] == ["s3.json"]
    # Its other parts ask for no keys.
    assert options["-ip"] == options["-ip.bind"] == "127.0.0.1"
    assert options["-s3.ip.bind"] == "0.0.0.0"
    assert "-disableHttp" in options


def test_the_pinned_s3_server_knows_its_options() -> None:
    _, general, verb, *options = SERVICES["s3"]["command"]
    found = subprocess.run([find_weed(), verb, "-h"], capture_output=True, text=True)
    words = (found.stdout + found.stderr).split()
    assert general == "-logtostderr=true"
    assert {option.partition("=")[0] for option in options} <= set(words)


def test_secrets_are_files_that_secrets_sh_makes_for_their_owner_alone(tmp_path: Path) -> None:
    script = tmp_path / "secrets.sh"
    script.write_text((DEPLOY / "secrets.sh").read_text())
    subprocess.run(["sh", script], check=True, capture_output=True)
    made = {file.name: file for file in (tmp_path / "secrets").iterdir()}
    assert {secret["file"] for secret in COMPOSE["secrets"].values()} == {
        f"./secrets/{name}" for name in made
    }
    assert {file.stat().st_mode & 0o777 for file in made.values()} == {0o600}
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert len(made["ray-token"].read_text()) == 64
    keys = read_credentials(made["s3.json"])
    lines = made["aws-credentials"].read_text().splitlines()
    assert f"aws_access_key_id = {keys.access_key}" in lines
    assert f"aws_secret_access_key = {keys.secret_key}" in lines


def test_secrets_sh_keeps_what_is_there(tmp_path: Path) -> None:
    script = tmp_path / "secrets.sh"
    script.write_text((DEPLOY / "secrets.sh").read_text())
    contents = []
    for _ in range(2):
        found = subprocess.run(["sh", script], check=True, capture_output=True, text=True)
        files = [*(tmp_path / "secrets").iterdir(), tmp_path / ".env"]
        contents.append({file.name: file.read_text() for file in files})
        assert contents[0]["ray-token"] not in found.stdout
    assert contents[0] == contents[1]
    owner = os.getuid() or 1000
    assert contents[0][".env"] == f"UNFREEZE_UID={owner}\n"
