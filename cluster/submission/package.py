"""Our own code as folders that a node imports: what pip would unpack from our wheel.

Not the wheel itself: Ray 2.60 installs a .whl of `py_modules` by `pip install --target`, with all
dependencies, so torch once more on each node (ray/_private/runtime_env/packaging.py). Of a folder,
Ray puts the parent on PYTHONPATH, before anything that is installed there.
"""

import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

NAME = "unfreeze"
PARTS = ("cli", "cluster", "jobs", "storage", "tuning")
"""The sub-packages, which an editable install keeps in folders of their own."""

_OPENING = '''"""Shipped by `unfreeze submit`.

With this file the package is a regular one: parts of another version, installed on the node, are
not found below the same name.
"""
'''


@dataclass(frozen=True)
class Package:
    """Folders with our code, for `py_modules`."""

    version: str
    """With the hash of the contents as its local part, such as 0.1.0+3f2a9c01b77d."""
    folders: tuple[Path, ...]
    """The code, and the metadata that tells its version."""
    files: dict[str, int]
    """Sizes in bytes, by the names that the files have on a node."""


def write_package(folder: Path) -> Package:
    """Writes the running code into `folder`, which is empty."""
    contents = {name: file.read_bytes() for name, file in package_files().items()}
    contents[f"{NAME}/__init__.py"] = _OPENING.encode()
    version = content_version(importlib.metadata.version(NAME), contents)
    description = f"{NAME}-{version}.dist-info"
    # importlib.metadata needs no more of it.
    contents[f"{description}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {version}\n".encode()
    )
    for name, data in contents.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    sizes = {name: len(data) for name, data in sorted(contents.items())}
    return Package(version, (folder / NAME, folder / description), sizes)


def package_files() -> dict[str, Path]:
    """The files of the running code, installed or editable, by the names that they have in a
    wheel."""
    found = {}
    for part in PARTS:
        spec = importlib.util.find_spec(f"{NAME}.{part}")
        assert spec is not None, part
        assert spec.submodule_search_locations, part
        root = Path(spec.submodule_search_locations[0])
        for file in sorted(root.rglob("*")):
            inside = file.relative_to(root)
            if file.is_file() and not any(map(_is_litter, inside.parts)):
                found[f"{NAME}/{part}/{inside.as_posix()}"] = file
    return found


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__" or name.endswith((".pyc", "~"))


def content_version(version: str, contents: Mapping[str, bytes]) -> str:
    """`version` with a hash of names and contents as its local part (PEP 440)."""
    digest = hashlib.sha256()
    for name, data in sorted(contents.items()):
        digest.update(f"{name} {hashlib.sha256(data).hexdigest()}\n".encode())
    return f"{version.partition('+')[0]}+{digest.hexdigest()[:12]}"
