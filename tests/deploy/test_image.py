"""Dockerfile: pinned like the rest, small in what it takes in, not root."""

import re
import tomllib

import pytest
from deploy_files import DEPLOY, PINS, PROJECT, ROOT

PACKAGES = {"cli", "cluster", "jobs", "storage", "tuning"}


def instructions() -> list[tuple[str, str]]:
    """(INSTRUCTION, arguments), comments left out and continued lines joined."""
    text = "\n".join(
        line
        for line in (DEPLOY / "Dockerfile").read_text().splitlines()
        if line and not line.startswith("#")
    )
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    found = []
    for line in lines:
        name, _, arguments = line.partition(" ")
        found.append((name, arguments))
    return found


INSTRUCTIONS = instructions()
LAST_STAGE = INSTRUCTIONS[max(i for i, (name, _) in enumerate(INSTRUCTIONS) if name == "FROM") :]


def arguments_of(name: str) -> list[str]:
    return [arguments for one, arguments in INSTRUCTIONS if one == name]


@pytest.mark.parametrize("image", [line.split()[0] for line in arguments_of("FROM")])
def test_an_image_is_pinned_to_a_version(image: str) -> None:
    assert re.fullmatch(r"[a-z0-9./-]+:\d+\.\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?", image)


def test_cuda_is_the_one_of_the_pinned_torch() -> None:
    cuda = {line.split()[0] for line in arguments_of("FROM") if "cuda" in line}
    assert cuda == {"nvidia/cuda:13.0.2-base-ubuntu24.04"}
    assert PINS["torch"].startswith("2.13."), "which CUDA does this torch's wheel on PyPI bring?"


def test_python_is_the_one_of_the_project() -> None:
    versions = set(re.findall(r"\b3\.\d+\.\d+\b", " ".join(arguments_of("RUN"))))
    assert len(versions) == 1
    (minor,) = [version.rpartition(".")[0] for version in versions]
    assert f"PYTHON ?= python{minor}\n" in (ROOT / "Makefile").read_text()
    assert PROJECT["requires-python"] == f">={minor}"


def test_what_is_installed_is_pinned() -> None:
    installs = [
        part.strip()
        for line in arguments_of("RUN")
        for part in line.split("&&")
        if "pip install" in part
    ]
    assert len(installs) == 3
    for install in installs:
        assert "-c constraints.txt" in install or "--no-deps dist/unfreeze-" in install


def test_the_dependencies_are_those_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r'python -c "(.*?)"', " ".join(arguments_of("RUN")))
    exec(
        code.replace(
            "open('pyproject.toml', 'rb')", f"open({str(ROOT / 'pyproject.toml')!r}, 'rb')"
        )
    )
    assert capsys.readouterr().out.splitlines() == PROJECT["dependencies"]


def test_all_packages_are_copied_and_nothing_else() -> None:
    copied = {
        source
        for line in arguments_of("COPY")
        if not line.startswith("--from=")
        for source in line.split()[:-1]
    }
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert {name.split(".")[1] for name in settings["packages"]} == PACKAGES
    assert copied == PACKAGES | {"pyproject.toml", "constraints.txt", "README.md", "LICENSE"}
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == copied


def test_it_is_not_root() -> None:
    names = [name for name, _ in LAST_STAGE]
    users = [arguments for name, arguments in LAST_STAGE if name == "USER"]
    assert users == ["unfreeze"]
    assert not {"RUN", "COPY", "ADD"} & set(names[names.index("USER") :])
    (made,) = [arguments for name, arguments in LAST_STAGE if name == "RUN"]
    assert 'useradd --uid "$USER_ID"' in made
    assert ("ARG", "USER_ID=1000") in LAST_STAGE


def test_ray_does_not_start_in_it_without_a_token() -> None:
    (environment,) = [arguments for name, arguments in LAST_STAGE if name == "ENV"]
    assert "RAY_AUTH_MODE=token" in environment.split()
    assert "TOKEN=" not in environment
    assert "HOME=/home/unfreeze" in environment.split(), "`ray up` mounts files below it"


def test_commands_are_found_by_login_shells_too() -> None:
    """KubeRay and `ray up` start Ray through them."""
    (made,) = [arguments for name, arguments in LAST_STAGE if name == "RUN"]
    assert "> /etc/profile.d/unfreeze.sh" in made
    assert ("ENTRYPOINT", "[]") in LAST_STAGE
