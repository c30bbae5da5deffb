"""Our own code, shipped: what is in it, what it is called, and that a node imports it."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from unfreeze.cluster.submission.package import (
    PARTS,
    Package,
    content_version,
    package_files,
    write_package,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return write_package(tmp_path_factory.mktemp("package"))


def test_every_sub_package_is_shipped() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = settings["tool"]["setuptools"]["packages"]
    assert {name.split(".")[1] for name in listed} == set(PARTS)


def test_all_files_of_the_wheel_are_shipped_and_no_litter() -> None:
    expected = {
        f"unfreeze/{file.relative_to(ROOT)}"
        for part in PARTS
        for file in (ROOT / part).rglob("*")
        if file.suffix in (".py", ".j2", ".typed")
    }
    assert set(package_files()) == expected


def test_the_folders_are_the_code_and_what_tells_its_version(package: Package) -> None:
    code, description = package.folders
    assert code.name == "unfreeze"
    assert (code / "jobs/report.html.j2").is_file()
    assert description.name == f"unfreeze-{package.version}.dist-info"
    assert sum(package.files.values()) == sum(
        file.stat().st_size
        for folder in package.folders
        for file in folder.rglob("*")
        if file.is_file()
    )


@pytest.mark.parametrize(
    "contents",
    [
        {"a.py": b"1", "b.py": b"3"},
        {"a.py": b"1", "c.py": b"2"},
        {"a.py": b"1"},
        {"a.py": b"1b.py 2", "b.py": b""},
    ],
)
def test_the_version_changes_with_a_byte_and_with_a_name(contents: dict[str, bytes]) -> None:
    before = content_version("0.1.0", {"a.py": b"1", "b.py": b"2"})
    assert before == content_version("0.1.0", {"b.py": b"2", "a.py": b"1"})
    assert before.startswith("0.1.0+")
    assert len(before) == len("0.1.0+") + 12
    assert content_version("0.1.0", contents) != before


def test_the_hash_of_a_shipped_version_is_replaced_not_added_to() -> None:
    assert content_version("0.1.0+abc", {"a": b""}) == content_version("0.1.0", {"a": b""})


def test_a_node_imports_the_shipped_code_before_its_own_and_would_ship_the_same(
    package: Package, tmp_path: Path
) -> None:
    # As Ray does it: each folder below a folder of its own, which is put on PYTHONPATH.
    places = [tmp_path / str(number) for number in range(len(package.folders))]
    for place, folder in zip(places, package.folders, strict=True):
        shutil.copytree(folder, place / folder.name)
    code = """
import importlib.metadata, sys, tempfile
from pathlib import Path
import unfreeze.cli.main, unfreeze.storage.store
from unfreeze.cluster.submission.package import write_package
print(unfreeze.cli.main.__file__, unfreeze.storage.store.__file__)
print(importlib.metadata.version("unfreeze"))
print(write_package(Path(sys.argv[1])).version)
"""
    answer = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "again")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    files, version, again = answer.stdout.splitlines()
    assert all(file.startswith(str(places[0])) for file in files.split())
    assert version == package.version
    assert again == package.version
