"""The packages' faces: what `from unfreeze.jobs import ...` offers."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WITH_FACE = ["cluster", "jobs", "storage", "tuning"]


def imported_names(package: str) -> set[str]:
    tree = ast.parse((ROOT / package / "__init__.py").read_text())
    nodes = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name for node in nodes for alias in node.names}


def place(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, as ruff sorts them."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.parametrize("package", WITH_FACE)
def test_public_names_are_complete_sorted_and_exist(package: str) -> None:
    module = importlib.import_module(f"unfreeze.{package}")
    assert module.__all__ == sorted(module.__all__, key=place)
    assert set(module.__all__) == imported_names(package)
    assert all(hasattr(module, name) for name in module.__all__)


@pytest.mark.parametrize("package", WITH_FACE)
def test_public_classes_say_what_they_are(package: str) -> None:
    module = importlib.import_module(f"unfreeze.{package}")
    things = {name: getattr(module, name) for name in module.__all__}
    classes = {name: thing for name, thing in things.items() if isinstance(thing, type)}
    assert not [name for name, thing in classes.items() if not thing.__doc__]


@pytest.mark.parametrize("package", ["cluster", "jobs", "tuning"])
def test_every_error_a_caller_may_meet_can_be_imported_from_the_face(package: str) -> None:
    module = importlib.import_module(f"unfreeze.{package}")
    errors = importlib.import_module(f"unfreeze.{package}.errors")
    classes = {
        name
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, Exception)
    }
    assert classes <= set(module.__all__)
