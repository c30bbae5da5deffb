"""What a driver on the cluster needs of this machine, as one folder: Ray's `working_dir`.

A path that leads down from the working directory keeps its name; what lies elsewhere gets a place
below `files/`, and the settings that name it are rewritten.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from unfreeze.cluster.errors import SubmissionRefused

ELSEWHERE = "files"
"""Folder of the shipment for files that do not lie below the working directory."""

MOST_BYTES = 512 * 2**20
"""Ray stores a package in one message of its control service (its GRPC_CPP_MAX_MESSAGE_SIZE)."""

_ZIP_ENTRY_BYTES = 512
"""More than the zip file has to say of a file, besides its contents."""

_WILDCARD = re.compile(r"[*?\[]")

Place = tuple[str | int, ...]
"""Where in settings a value stands: ("data", "train", "path")."""


@dataclass(frozen=True)
class LocalFiles:
    """What one setting names on this machine."""

    place: Place
    path: str
    """As written: a file, a folder or a glob."""
    files: tuple[Path, ...]
    """Those of its files that are read."""


@dataclass(frozen=True)
class Shipment:
    """Contents of the folder, before it is made."""

    description: str
    """Name of the file with the settings."""
    settings: bytes
    """Its contents."""
    files: Mapping[str, Path]
    """Every other file: its name in the folder, and where it is here."""

    @property
    def sizes(self) -> dict[str, int]:
        """In bytes, by name."""
        found = {name: file.stat().st_size for name, file in self.files.items()}
        return {self.description: len(self.settings), **dict(sorted(found.items()))}

    def content_hash(self, version: str) -> str:
        """SHA-256 of all contents, and of the version of the code that goes with them."""
        digest = hashlib.sha256(f"{version}\n{self.description}\n".encode() + self.settings)
        for name, file in sorted(self.files.items()):
            with file.open("rb") as stream:
                contents = hashlib.file_digest(stream, "sha256").hexdigest()
            digest.update(f"\n{name} {contents}".encode())
        return digest.hexdigest()

    def write(self, folder: Path) -> None:
        """Makes the folder; files are linked where that can be done."""
        folder.mkdir(parents=True)
        (folder / self.description).write_bytes(self.settings)
        for name, file in self.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            _link_or_copy(file.resolve(), target)


def arranged(
    named: Sequence[LocalFiles], description: str
) -> tuple[dict[Place, str], dict[str, Path]]:
    """The path that each setting has in the shipment, and its files by name (pure)."""
    roots: dict[Path, str] = {}
    paths: dict[Place, str] = {}
    files: dict[str, Path] = {}
    for each in named:
        root, pattern = _without_pattern(each)
        kept = _kept(root, description)
        if kept is None and root not in roots:
            roots[root] = _free_name(root.name, set(roots.values()))
        name = roots[root] if kept is None else kept
        moved = "/".join(filter(None, (name, pattern)))
        paths[each.place] = moved if kept is None else each.path  # as it was, to the letter
        for file in each.files:
            inside = file.relative_to(root).as_posix() if file != root else ""
            files["/".join(filter(None, (name, inside)))] = file
    return paths, files


def with_paths(settings: Mapping[str, Any], paths: Mapping[Place, str]) -> dict[str, Any]:
    """A copy of the settings with these values put in at their places."""
    found = deepcopy(dict(settings))
    for (*parents, last), path in paths.items():
        part: Any = found
        for key in parents:
            part = part[key]
        part[last] = path
    return found


def check_size(sizes: Mapping[str, int], limit: int = MOST_BYTES) -> None:
    """Raises SubmissionRefused if Ray would not take files of these sizes, naming the largest."""
    whole = sum(size + len(name) + _ZIP_ENTRY_BYTES for name, size in sizes.items())
    if whole < limit:
        return
    largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
    listed = ", ".join(f"{name} ({_mib(sizes[name])})" for name in largest)
    raise SubmissionRefused(
        f"the local files of the job are {_mib(whole)} together, and Ray takes at most "
        f"{_mib(limit)}; the largest are {listed}. Put them into object storage, and name them "
        "by their s3:// uri"
    )


def _without_pattern(named: LocalFiles) -> tuple[Path, str]:
    """The file or folder that a path names, and what stands behind it: `*.jsonl`."""
    whole = Path(named.path).expanduser()
    if whole in named.files or not _WILDCARD.search(named.path):
        return whole, ""
    parts = whole.parts
    first = next(i for i, part in enumerate(parts) if _WILDCARD.search(part))
    return Path(*parts[:first]), PurePosixPath(*parts[first:]).as_posix()


def _kept(root: Path, description: str) -> str | None:
    """The name that it keeps; None if it cannot keep it."""
    if root.is_absolute() or not root.parts or ".." in root.parts:
        return None
    return None if root.parts[0] in (ELSEWHERE, description) else root.as_posix()


def _free_name(name: str, taken: set[str]) -> str:
    wanted, number = f"{ELSEWHERE}/{name or 'here'}", 1
    while wanted in taken:
        number += 1
        wanted = f"{ELSEWHERE}/{number}/{name or 'here'}"
    return wanted


def _link_or_copy(source: Path, target: Path) -> None:
    with suppress(FileExistsError):  # two settings may name the same file
        try:
            os.link(source, target)
        except FileExistsError:
            raise
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, target)


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
