"""constraints.txt pins what the tests ran with; pyproject.toml's ranges admit it."""

import sysconfig
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins() -> dict[str, Version]:
    found: dict[str, Version] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if not (text := line.partition("#")[0].strip()):
            continue
        name, exact, version = text.partition("==")
        assert exact, f"{line}: not a pin"
        assert canonicalize_name(name) not in found, f"{name}: pinned twice"
        found[canonicalize_name(name)] = Version(version)
    return found


def installed() -> dict[str, Version]:
    """What is installed, without what says where a build comes from (+cpu).

    Asked of the environment's own folders: Ray puts what it brings along on sys.path.
    """
    found = {}
    folders = list({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    for distribution in distributions(path=folders):
        name = canonicalize_name(distribution.metadata["Name"])
        if name != "unfreeze":
            found[name] = Version(Version(distribution.version).public)
    return found


def requirements() -> list[str]:
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    return [line for group in groups for line in group]


def test_everything_that_is_installed_is_pinned_to_exactly_its_version() -> None:
    pinned = pins()
    wrong = {
        name: f"installed {version}, pinned {pinned.get(name)}"
        for name, version in installed().items()
        if pinned.get(name) != version
    }
    assert not wrong


def test_nothing_is_pinned_that_is_not_installed() -> None:
    assert set(pins()) - set(installed()) == set()


@pytest.mark.parametrize("line", requirements())
def test_the_projects_ranges_admit_the_pins(line: str) -> None:
    requirement = Requirement(line)
    pinned = pins()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(pinned), f"{line} does not admit {pinned}"


@pytest.mark.parametrize("line", PROJECT["dependencies"])
def test_every_dependency_has_a_lowest_version_that_is_known_to_work(line: str) -> None:
    operators = {specifier.operator for specifier in Requirement(line).specifier}
    assert operators & {">=", "~=", "=="}
