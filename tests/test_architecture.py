"""What the code may import, and how it is cut into files."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT: dict[str, set[str]] = {
    "storage": set(),
    "cluster": set(),
    "jobs": {"storage", "cluster"},
    "tuning": {"storage", "cluster", "jobs"},
    "cli": {"storage", "cluster", "jobs", "tuning"},
}
MAY_NOT_IMPORT = [
    ("storage", "ray"),
    ("storage", "torch"),
    ("cluster", "transformers"),
    ("cluster", "deepspeed"),
]
NOT_CODE = {"benchmarks", "build", "deploy", "dist", "docs", "examples", "runs", "shared", "tests"}
RUNS_FOREIGN_CODE = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "_pickle"}
MOST_LINES = 300


def code_files(*packages: str) -> list[Path]:
    return [file for package in packages for file in sorted((ROOT / package).rglob("*.py"))]


ALL_FILES = code_files(*MAY_IMPORT)


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def imports_of(file: Path) -> Iterator[str]:
    """Full names of what a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name_of(file)}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def imported_by(package: str) -> set[str]:
    return {name for file in code_files(package) for name in imports_of(file)}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_only_point_down(package: str) -> None:
    ours = {name.split(".")[1] for name in imported_by(package) if name.startswith("unfreeze.")}
    assert ours - {package} <= MAY_IMPORT[package]


@pytest.mark.parametrize(("package", "library"), MAY_NOT_IMPORT)
def test_a_layer_does_not_know_what_is_not_its_business(package: str, library: str) -> None:
    assert library not in {name.split(".")[0] for name in imported_by(package)}


@pytest.mark.parametrize(
    ("package", "libraries"),
    [
        ("storage", ("ray", "torch", "transformers", "deepspeed")),
        ("cluster", ("transformers", "deepspeed")),
        # Each process of Ray that passes jobs or orders on imports these two.
        ("jobs", ("ray", "torch", "transformers", "deepspeed", "datasets")),
        ("tuning.lanes", ("ray", "torch", "transformers", "deepspeed", "datasets")),
        ("cli.main", ("ray", "torch", "transformers", "deepspeed", "datasets", "boto3")),
    ],
)
def test_importing_a_layer_loads_no_library_of_another(
    package: str, libraries: tuple[str, ...]
) -> None:
    code = f"import sys, unfreeze.{package}; print([m for m in {libraries!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_boto3_is_imported_by_one_file() -> None:
    files = {
        name_of(f) for f in ALL_FILES if any(n.split(".")[0] == "boto3" for n in imports_of(f))
    }
    assert files == {"storage/s3.py"}


def test_every_code_folder_is_a_package_of_the_project() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = {name.removeprefix("unfreeze.") for name in settings["tool"]["setuptools"]["packages"]}
    folders = {
        str(file.parent.relative_to(ROOT)).replace("/", ".")
        for file in ROOT.glob("[a-z]*/**/*.py")
        if file.relative_to(ROOT).parts[0] not in NOT_CODE
    }
    assert listed == folders
    assert {name.split(".")[0] for name in listed} == set(MAY_IMPORT)
    banned = settings["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]
    assert set(banned) == set(MAY_IMPORT)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_every_package_says_what_it_is_for_and_that_it_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
    assert ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text()))


def test_every_file_opens_with_what_it_is_for() -> None:
    assert not [name_of(f) for f in ALL_FILES if not ast.get_docstring(ast.parse(f.read_text()))]


def test_no_file_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "util", "helpers", "helper", "manager", "base", "common", "misc"}
    assert not [name_of(file) for file in ALL_FILES if file.stem in empty]


def test_no_file_is_too_long_to_be_read_at_once() -> None:
    lines = {name_of(file): len(file.read_text().splitlines()) for file in ALL_FILES}
    assert not {name: count for name, count in lines.items() if count > MOST_LINES}


def test_what_others_can_write_to_is_never_unpickled() -> None:
    found = []
    for file in ALL_FILES:
        tree = ast.parse(file.read_text())
        modules = {name.split(".")[0] for name in imports_of(file)}
        loads = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and node.attr in ("load", "save")
            and isinstance(node.value, ast.Name)
            and node.value.id == "torch"
        ]
        if modules & RUNS_FOREIGN_CODE or loads or "torch.load" in imports_of(file):
            found.append(name_of(file))
    assert not found


@pytest.mark.parametrize("file", ALL_FILES, ids=name_of)
def test_code_is_ascii(file: Path) -> None:
    assert file.read_text().isascii()


def test_ray_is_not_imported_before_its_token_is_set() -> None:
    """Ray reads its token settings when it is imported, and `connect` sets them."""
    code = "import sys, unfreeze.jobs, unfreeze.tuning.search; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
