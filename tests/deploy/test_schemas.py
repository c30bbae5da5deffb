"""Each YAML file of deploy/ fits the schema of the program that reads it, to the last field."""

import copy
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy_files import (
    DEPLOY,
    ROOT,
    Document,
    Schema,
    committed_schema,
    document,
    documents,
    problems,
    ray_schema,
    resource_schema,
)

CRDS = {"RayCluster": "ray.io_rayclusters.yaml", "RayJob": "ray.io_rayjobs.yaml"}


def _text_map(*names: str) -> Schema:
    """Of a core resource of Kubernetes, as far as we use it."""
    fields: Schema = {"apiVersion": {"const": "v1"}, "kind": {}, "metadata": {"type": "object"}}
    of_text = {"type": "object", "additionalProperties": {"type": "string"}}
    fields |= {name: of_text for name in names}
    return {"type": "object", "properties": fields, "additionalProperties": False}


def schema_of(file: str, one: Document) -> Schema:
    if file == "aws.yaml":
        return ray_schema()
    if file == "compose.yaml":
        return committed_schema("compose-spec")
    if one["kind"] == "ConfigMap":
        return _text_map("data")
    if one["kind"] == "ServiceAccount":
        return _text_map()
    return resource_schema(one["kind"])


FILES = sorted(str(path.relative_to(DEPLOY)) for path in DEPLOY.rglob("*.yaml"))
DOCUMENTS = [
    pytest.param(file, one, id=f"{file}-{one.get('kind', '')}".rstrip("-"))
    for file in FILES
    for one in documents(file)
]


def test_nothing_is_left_out() -> None:
    assert set(FILES) == {
        "aws.yaml",
        "compose.yaml",
        "kubernetes/raycluster.yaml",
        "kubernetes/rayjob.yaml",
        "kubernetes/service-account.yaml",
    }


@pytest.mark.parametrize(("file", "one"), DOCUMENTS)
def test_a_file_fits_its_schema(file: str, one: Document) -> None:
    assert problems(one, schema_of(file, one)) == []


HEAD = ("headGroupSpec", "template", "spec")
GPU = ("workerGroupSpecs", 0)
FAULTS = [
    ("kubernetes/raycluster.yaml", "RayCluster", ("spec", "authOption"), {}),
    ("kubernetes/raycluster.yaml", "RayCluster", ("spec", "authOptions", "mode"), "tokens"),
    ("kubernetes/raycluster.yaml", "RayCluster", ("spec", *GPU, "maxReplica"), 8),
    ("kubernetes/raycluster.yaml", "RayCluster", ("spec", *GPU, "minReplicas"), "two"),
    ("kubernetes/raycluster.yaml", "RayCluster", ("spec", *HEAD, "serviceAccount_Name"), "x"),
    ("kubernetes/raycluster.yaml", "RayCluster", ("spec", *HEAD, "containers", 0, "imag"), "x"),
    ("kubernetes/raycluster.yaml", "RayCluster", ("status",), {}),
    ("kubernetes/raycluster.yaml", "RayCluster", ("metadata", "nmae"), "x"),
    ("kubernetes/rayjob.yaml", "RayJob", ("spec", "backofflimit"), 3),
    ("kubernetes/rayjob.yaml", "RayJob", ("spec", "rayClusterSpec", *GPU, "replica"), 3),
    ("kubernetes/rayjob.yaml", "ConfigMap", ("data", "job.yaml"), {"name": "x"}),
    ("kubernetes/service-account.yaml", "ServiceAccount", ("secret",), []),
    ("aws.yaml", None, ("max_worker",), 4),
    ("aws.yaml", None, ("available_node_types", "gpu", "max_workers"), "four"),
    ("aws.yaml", None, ("docker", "runoptions"), []),
    ("compose.yaml", None, ("services", "head", "port"), []),
    ("compose.yaml", None, ("services", "worker", "depends_on", "head", "condition"), "up"),
]


@pytest.mark.parametrize(("file", "kind", "place", "value"), FAULTS, ids=lambda part: str(part))
def test_a_planted_fault_is_found(
    file: str, kind: str | None, place: tuple[Any, ...], value: Any
) -> None:
    planted = copy.deepcopy(document(file, kind))
    inner: Any = planted
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    assert problems(planted, schema_of(file, planted))


def crd_folder() -> Path | None:
    """KubeRay's own files, where there are any."""
    if named := os.environ.get("UNFREEZE_KUBERAY_CRDS"):
        return Path(named)
    folders = [parent / "shared" / "kuberay-crds" for parent in (ROOT, *ROOT.parents)]
    return next((folder for folder in folders if folder.is_dir()), None)


@pytest.mark.slow  # seconds: the files are long
@pytest.mark.parametrize("kind", CRDS)
def test_the_committed_schemas_are_kuberays(kind: str) -> None:
    folder = crd_folder()
    if folder is None:
        pytest.skip("KubeRay's CRDs are not here (UNFREEZE_KUBERAY_CRDS)")
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    definition = yaml.load((folder / CRDS[kind]).read_text(), loader)
    (version,) = [one for one in definition["spec"]["versions"] if one["name"] == "v1"]
    assert definition["spec"]["names"]["kind"] == kind
    assert definition["spec"]["group"] == "ray.io"
    assert version["served"]
    assert committed_schema(kind) == version["schema"]["openAPIV3Schema"]
