"""Which program a deploy file is for: ours, and those of others that look alike."""

from pathlib import Path

import pytest
from deploy_files import DEPLOY

from unfreeze.cluster import DeployFileUnknown
from unfreeze.cluster.deployments import (
    WHERE_TO_GET,
    Deployment,
    deployment_of,
    read_deployment,
)

AWS = str(DEPLOY / "aws.yaml")
COMPOSE = str(DEPLOY / "compose.yaml")
KUBERNETES = DEPLOY / "kubernetes"
FILES = ("aws.yaml", "compose.yaml", "kubernetes/raycluster.yaml", "kubernetes/rayjob.yaml")


@pytest.fixture(params=FILES)
def deployment(request: pytest.FixtureRequest) -> Deployment:
    return read_deployment(DEPLOY / request.param)


def test_the_file_for_aws_is_ray_ups() -> None:
    found = read_deployment(DEPLOY / "aws.yaml")
    assert found.up == (("ray", "up", "--yes", AWS),)
    assert found.down == (("ray", "down", "--yes", AWS),)
    assert found.token_files == (Path("~/.unfreeze/aws-token"),)
    assert found.next_steps[1] == (
        "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=~/.unfreeze/aws-token"
    )


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml"])
def test_the_files_for_kubernetes_are_applied_after_their_service_account(name: str) -> None:
    file, account = str(KUBERNETES / name), str(KUBERNETES / "service-account.yaml")
    found = read_deployment(KUBERNETES / name)
    assert found.up == (("kubectl", "apply", "-f", account, "-f", file),)
    assert found.down == (("kubectl", "delete", "--ignore-not-found", "-f", file),)


def test_the_way_to_a_standing_cluster_is_said() -> None:
    (tunnel, token) = read_deployment(KUBERNETES / "raycluster.yaml").next_steps
    assert tunnel.startswith("kubectl port-forward service/unfreeze-head-svc 8265 ")
    assert token.endswith("RAY_AUTH_TOKEN_PATH=~/.unfreeze/kubernetes-token")
    assert read_deployment(KUBERNETES / "rayjob.yaml").next_steps == ()


def test_the_compose_file_is_started_after_its_secrets_are_made() -> None:
    found = read_deployment(DEPLOY / "compose.yaml")
    compose = ("docker", "compose", "-f", COMPOSE)
    secrets = ("sh", str(DEPLOY / "secrets.sh"))
    assert found.up == (secrets, (*compose, "up", "--detach", "--wait"))
    assert found.down == ((*compose, "down"),)


def test_every_program_can_be_had(deployment: Deployment) -> None:
    assert {command[0] for command in (*deployment.up, *deployment.down)} <= WHERE_TO_GET.keys()


def test_a_script_for_slurm_is_sbatchs() -> None:
    with pytest.raises(DeployFileUnknown, match=r"slurm.sh is a script for Slurm.*: sbatch "):
        read_deployment(DEPLOY / "slurm.sh")


def test_what_is_beside_a_file_is_not_needed() -> None:
    found = deployment_of(Path("c.yaml"), "services: {}")
    assert [command[0] for command in found.up] == ["docker"]
    found = deployment_of(Path("r.yaml"), "apiVersion: ray.io/v1\nkind: RayCluster\n")
    assert found.up == (("kubectl", "apply", "-f", "r.yaml"),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: reviews\nmodel: x\ntask: text-classification\n", "no file that starts a cluster"),
        ("apiVersion: apps/v1\nkind: Deployment\n", "no file that starts a cluster"),
        ("cluster_name: x\n", "no file that starts a cluster"),
        ("- services\n", "no file that starts a cluster"),
        ("", "no file that starts a cluster"),
        ("#!/bin/sh\necho hello\n", "no file that starts a cluster"),
        ("a: [1", "no file that starts a cluster"),
    ],
)
def test_other_files_are_refused(text: str, said: str) -> None:
    with pytest.raises(DeployFileUnknown, match=rf"^f\.yaml: {said}"):
        deployment_of(Path("f.yaml"), text)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(DeployFileUnknown, match=r"none\.yaml: cannot be read"):
        read_deployment(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DeployFileUnknown, match=r"binary\.yaml: cannot be read"):
        read_deployment(tmp_path / "binary.yaml")


def test_names_in_a_file_cannot_become_shell_commands() -> None:
    manifest = "apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: 'x; rm -rf ~'}\n"
    (tunnel, _) = deployment_of(Path("r.yaml"), manifest).next_steps
    assert tunnel.startswith("kubectl port-forward 'service/x; rm -rf ~-head-svc' 8265")
    cloud = "cluster_name: x\nprovider: {type: aws}\nfile_mounts: {a: '~/$(id)/token'}\n"
    found = deployment_of(Path("my file.yaml"), cloud)
    assert found.next_steps[0].startswith("ray dashboard 'my file.yaml' ")
    assert found.next_steps[1].endswith("RAY_AUTH_TOKEN_PATH=~/'$(id)/token'")
