"""Which program starts, and ends, the cluster of a deploy file (pure, but for reading the file)."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from unfreeze.cluster.errors import DeployFileUnknown

Command = tuple[str, ...]

WHERE_TO_GET = {
    "ray": "pip install 'ray[default]', in the environment of unfreeze",
    "kubectl": "https://kubernetes.io/docs/tasks/tools/",
    "docker": "https://docs.docker.com/engine/install/",
    "sh": "your system's packages",
}
"""By program."""

TUNNEL = "the dashboard is at http://127.0.0.1:8265 then"


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a deploy file is for, and the commands."""

    place: str
    up: tuple[Command, ...]
    down: tuple[Command, ...]
    token_files: tuple[Path, ...] = ()
    """Copied to the nodes by `up`; made at random where they are missing."""
    next_steps: tuple[str, ...] = ()
    """Shell lines that lead to its dashboard, and name its token."""


def read_deployment(file: Path) -> Deployment:
    """By what is in the file, not by its name. Raises DeployFileUnknown."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise DeployFileUnknown(f"{file}: cannot be read: {error}") from error
    return deployment_of(file, text, beside={path.name for path in file.parent.iterdir()})


def deployment_of(file: Path, text: str, *, beside: Iterable[str] = ()) -> Deployment:
    """The deployment of a file with this text, with those files beside it.

    Raises DeployFileUnknown.
    """
    if text.startswith("#!"):
        if "\n#SBATCH" in text:
            raise DeployFileUnknown(
                f"{file} is a script for Slurm, which starts a cluster for one job and ends it: "
                f"sbatch --nodes=2 --gpus-per-node=1 {file} train job.yaml"
            )
        documents: list[Any] = []
    else:
        documents = _documents(text)
    if any(_is_of_kuberay(document) for document in documents):
        return _on_kubernetes(file, documents, set(beside))
    if len(documents) == 1 and isinstance(documents[0], dict):
        keys = documents[0].keys()
        if {"cluster_name", "provider"} <= keys:
            return _by_ray_up(file, documents[0])
        if "services" in keys:
            return _by_compose(file, set(beside))
    raise DeployFileUnknown(
        f"{file}: no file that starts a cluster; expected one of `ray up` (cluster_name, provider),"
        " of KubeRay (apiVersion: ray.io/v1) or of Docker Compose (services)"
    )


def _documents(text: str) -> list[Any]:
    """None where it is not YAML."""
    try:
        return [document for document in yaml.safe_load_all(text) if document]
    except yaml.YAMLError:
        return []


def _is_of_kuberay(document: Any) -> bool:
    return isinstance(document, dict) and str(document.get("apiVersion")).startswith("ray.io/")


def _by_ray_up(file: Path, document: dict[str, Any]) -> Deployment:
    mounts = document.get("file_mounts") or {}
    tokens = tuple(Path(str(path)) for path in mounts.values() if str(path).endswith("token"))
    return Deployment(
        place=f"{(document.get('provider') or {}).get('type', 'a cloud')}, by `ray up`",
        up=(("ray", "up", "--yes", str(file)),),
        down=(("ray", "down", "--yes", str(file)),),
        token_files=tokens,
        next_steps=(
            f"ray dashboard {shlex.quote(str(file))}   # leave it open: {TUNNEL}",
            _name_token(tokens[0] if tokens else Path("FILE")),
        ),
    )


def _on_kubernetes(file: Path, documents: list[Any], beside: set[str]) -> Deployment:
    account = "service-account.yaml"
    files = [str(file.with_name(account))] if account in beside and file.name != account else []
    arguments = [word for each in (*files, str(file)) for word in ("-f", each)]
    clusters = [
        str((document.get("metadata") or {}).get("name"))
        for document in documents
        if _is_of_kuberay(document) and document.get("kind") == "RayCluster"
    ]
    return Deployment(
        place="Kubernetes, by KubeRay",
        up=(("kubectl", "apply", *arguments),),
        # The service account stays: it may carry a role.
        down=(("kubectl", "delete", "--ignore-not-found", "-f", str(file)),),
        next_steps=tuple(
            step
            for name in clusters
            for step in (
                f"kubectl port-forward {shlex.quote(f'service/{name}-head-svc')} 8265"
                f"   # leave it open: {TUNNEL}",
                _name_token(Path("~/.unfreeze/kubernetes-token")),
            )
        ),
    )


def _by_compose(file: Path, beside: set[str]) -> Deployment:
    compose = ("docker", "compose", "-f", str(file))
    secrets = [("sh", str(file.with_name("secrets.sh")))] if "secrets.sh" in beside else []
    token = file.with_name("secrets") / "ray-token"
    return Deployment(
        place="containers on this machine, by Docker Compose",
        up=(*secrets, (*compose, "up", "--detach", "--wait")),
        down=((*compose, "down"),),
        next_steps=(_name_token(token),),
    )


def _name_token(file: Path) -> str:
    home, path = ("~/", str(file)[2:]) if str(file).startswith("~/") else ("", str(file))
    return f"export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH={home}{shlex.quote(path)}"
