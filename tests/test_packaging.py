"""The wheel: what is in it, and that it works from anywhere."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ["cli", "cluster", "jobs", "storage", "tuning"]
LEFT_OUT = (".*", "build", "dist", "runs", "*.egg-info", "__pycache__", "shared")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools writes into the folder that it builds from."""
    source, built = tmp_path_factory.mktemp("source") / "copy", tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*LEFT_OUT))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-q"]
    options = ["--no-build-isolation", "--no-deps", "--no-index", "-w", str(built), str(source)]
    subprocess.run([*pip, *options], check=True, capture_output=True, text=True)
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    return zipfile.ZipFile(wheel).namelist()


@pytest.mark.parametrize("package", PACKAGES)
def test_the_wheel_holds_every_file_of_a_package(names: list[str], package: str) -> None:
    files = [p for p in (ROOT / package).rglob("*") if p.suffix in (".py", ".j2", ".typed")]
    expected = {f"unfreeze/{file.relative_to(ROOT)}" for file in files}
    assert expected == {name for name in names if name.startswith(f"unfreeze/{package}/")}
    assert f"unfreeze/{package}/py.typed" in names


def test_the_wheel_holds_the_reports_template(names: list[str]) -> None:
    assert "unfreeze/jobs/report.html.j2" in names


def test_the_wheel_holds_nothing_but_the_packages_and_its_description(names: list[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert len(tops) == 2
    assert "unfreeze" in tops
    assert {name.split("/")[1] for name in names if name.startswith("unfreeze/")} == set(PACKAGES)
    assert not [name for name in names if "test" in name]
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_installed_wheel_works_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    options = ["--no-deps", "--no-index", "--target", str(target), str(wheel)]
    subprocess.run([*install, *options], check=True, capture_output=True)
    # -S and our own path: neither the editable install nor this folder may answer instead.
    packages = [path for path in sys.path if path.endswith("site-packages")]
    code = f"""
import sys
sys.path = [{str(target)!r}, *sys.path, *{packages!r}]
from importlib.resources import files
import unfreeze.storage, unfreeze.cluster, unfreeze.tuning, unfreeze.cli.main, unfreeze.jobs.lengths
for module in (unfreeze.storage, unfreeze.cluster, unfreeze.tuning, unfreeze.cli.main):
    assert module.__file__.startswith({str(target)!r}), module.__file__
assert files("unfreeze.jobs").joinpath("report.html.j2").is_file()
unfreeze.cli.main.cli.main(["schema", "job"], standalone_mode=False)
"""
    found = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    assert '"properties"' in found.stdout


def test_the_console_script_is_the_command_line() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert settings["project"]["scripts"] == {"unfreeze": "unfreeze.cli.main:main"}
