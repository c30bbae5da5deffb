"""raycluster.yaml and rayjob.yaml: what KubeRay's schemas do not say."""

import copy
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from deploy_files import DEPLOY, PINS, PROJECT, Document, document

from unfreeze.cli.main import cli
from unfreeze.jobs import load_job
from unfreeze.jobs.phases import plan_phases

CLUSTER = document("kubernetes/raycluster.yaml", "RayCluster")
JOB = document("kubernetes/rayjob.yaml", "RayJob")
CONFIG_MAP = document("kubernetes/rayjob.yaml", "ConfigMap")
SPECS = {"raycluster": CLUSTER["spec"], "rayjob": JOB["spec"]["rayClusterSpec"]}


def pods() -> list[Any]:
    found = [pytest.param(JOB["spec"]["submitterPodTemplate"]["spec"], id="submitter")]
    for name, spec in SPECS.items():
        groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
        found += [
            pytest.param(group["template"]["spec"], id=f"{name}-{group.get('groupName', 'head')}")
            for group in groups
        ]
    return found


@pytest.fixture(params=SPECS.values(), ids=SPECS.keys())
def spec(request: pytest.FixtureRequest) -> Document:
    found: Document = request.param
    return found


def test_both_are_of_the_stable_api() -> None:
    assert {one["apiVersion"] for one in (CLUSTER, JOB)} == {"ray.io/v1"}


def test_ray_is_the_one_that_is_pinned(spec: Document) -> None:
    assert spec["rayVersion"] == PINS["ray"]


def test_the_token_comes_from_a_secret(spec: Document) -> None:
    assert spec["authOptions"] == {"mode": "token", "secretName": "unfreeze-ray-token"}


def test_gpu_nodes_come_and_go(spec: Document) -> None:
    (gpu,) = spec["workerGroupSpecs"]
    assert spec["enableInTreeAutoscaling"]
    assert 0 < gpu["minReplicas"] < gpu["maxReplicas"]
    assert gpu["minReplicas"] <= gpu["replicas"] <= gpu["maxReplicas"]
    (container,) = gpu["template"]["spec"]["containers"]
    resources = container["resources"]
    assert int(resources["limits"]["nvidia.com/gpu"]) >= 1
    assert resources["limits"] == resources["requests"]


def test_a_pod_that_has_to_go_has_time_for_the_30_s_that_ray_drains_its_node(
    spec: Document,
) -> None:
    (gpu,) = spec["workerGroupSpecs"]
    assert gpu["template"]["spec"]["terminationGracePeriodSeconds"] > 30


def test_the_head_takes_no_work(spec: Document) -> None:
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


@pytest.mark.parametrize("pod", pods())
def test_a_pod_is_nobody_special(pod: Document) -> None:
    """What the Pod Security Standard `restricted` asks for."""
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }


@pytest.mark.parametrize("pod", pods())
def test_a_pod_runs_the_image_of_this_version(pod: Document) -> None:
    (container,) = pod["containers"]
    assert container["image"] == f"registry.example.com/unfreeze:{PROJECT['version']}"
    assert set(container["resources"]) == {"requests", "limits"}


@pytest.mark.parametrize("pod", pods())
def test_a_pod_is_not_restarted_in_place(pod: Document) -> None:
    assert pod["restartPolicy"] == "Never", "Ray's autoscaler replaces pods"


@pytest.mark.parametrize("pod", pods())
def test_what_is_mounted_is_there(pod: Document) -> None:
    (container,) = pod["containers"]
    mounted = {mount["name"] for mount in container.get("volumeMounts", ())}
    assert mounted == {volume["name"] for volume in pod.get("volumes", ())}


def test_nodes_share_memory(spec: Document) -> None:
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for pod in (group["template"]["spec"] for group in groups):
        (container,) = pod["containers"]
        assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]
        (shared,) = [volume for volume in pod["volumes"] if volume["name"] == "shm"]
        assert shared["emptyDir"]["medium"] == "Memory"
        assert int(shared["emptyDir"]["sizeLimit"].removesuffix("Gi")) >= 2
    for group in groups:
        # Else Ray takes 30 % of the memory, finds too little here, and goes to the disk.
        assert group["rayStartParams"]["object-store-memory"] == str(10**9)


def test_keys_come_from_a_secret_or_the_service_account(spec: Document) -> None:
    account = document("kubernetes/service-account.yaml")["metadata"]["name"]
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for pod in (group["template"]["spec"] for group in groups):
        assert pod["serviceAccountName"] == account
        (container,) = pod["containers"]
        assert container["envFrom"] == [{"secretRef": {"name": "unfreeze-s3", "optional": True}}]
        assert "env" not in container


@pytest.mark.parametrize("name", ["raycluster", "rayjob"])
def test_the_secret_of_the_token_is_explained_where_it_is_needed(name: str) -> None:
    text = (DEPLOY / "kubernetes" / f"{name}.yaml").read_text()
    comment = [line for line in text.splitlines() if line.startswith("#")]
    assert any("create secret generic unfreeze-ray-token" in line for line in comment)


def test_the_jobs_cluster_is_the_standing_one_and_the_job() -> None:
    with_job = copy.deepcopy(CLUSTER["spec"])
    pod = with_job["headGroupSpec"]["template"]["spec"]
    pod["volumes"].append({"name": "job", "configMap": {"name": CONFIG_MAP["metadata"]["name"]}})
    mount = {"name": "job", "mountPath": "/jobs", "readOnly": True}
    pod["containers"][0]["volumeMounts"].append(mount)
    assert JOB["spec"]["rayClusterSpec"] == with_job


def test_a_lost_driver_runs_again_and_a_finished_job_leaves_nothing() -> None:
    assert JOB["spec"]["backoffLimit"] >= 1
    assert JOB["spec"]["shutdownAfterJobFinishes"]
    assert JOB["spec"]["ttlSecondsAfterFinished"] > 0


def test_the_entrypoint_trains_the_job_of_the_config_map_on_that_cluster() -> None:
    program, verb, *arguments = shlex.split(JOB["spec"]["entrypoint"])
    assert program == "unfreeze"
    with click.Context(cli) as context:
        command = cli.get_command(context, verb)
        assert command is not None
        parsed = command.make_context(verb, arguments, parent=context).params
    assert parsed["job_file"] == "/jobs/" + next(iter(CONFIG_MAP["data"]))
    assert parsed["address"] == "auto", "without it, it would start a Ray of its own on the head"


def test_the_job_of_the_config_map_is_a_job_that_fits(tmp_path: Path) -> None:
    (text,) = CONFIG_MAP["data"].values()
    file = tmp_path / "job.yaml"
    file.write_text(text)
    job = load_job(file)
    assert plan_phases(job, ("embeddings", "layer.0", "head"), steps_per_epoch=100)
    assert job.name == JOB["metadata"]["name"]
    (gpu,) = JOB["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert job.scale.workers == gpu["minReplicas"]
    assert job.scale.gpus_per_worker == 1
    assert job.storage.uri.startswith("s3://")
