"""Where predictions go: a file, and beside it the parts of it that are done.

`FILE.parts/` holds a file for each part, whole or not at all. Its name says which rows of which
input it is of, and by which model, so a part of anything else is never taken for one of ours. When
all are there they are joined, in the order of the input, and the folder goes.
"""

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unfreeze.storage import ObjectStore, open_store


class Output:
    """A file of JSON lines that is made part by part: a local one, or an object at s3://."""

    def __init__(self, target: str, endpoint: str | None = None) -> None:
        """Nothing is written yet."""
        self.target = target
        if target.startswith("s3://"):
            folder, _, self._name = target.rpartition("/")
            self._store: ObjectStore = open_store(folder, endpoint=endpoint)
        else:
            file = Path(target).expanduser()
            self._name = file.name
            self._store = open_store(str(file.parent))

    @property
    def _folder(self) -> str:
        return f"{self._name}.parts"

    def done(self) -> set[str]:
        """Names of the parts that are there."""
        return {info.key.rpartition("/")[2] for info in self._store.list(f"{self._folder}/")}

    def put(self, name: str, lines: Iterable[Mapping[str, Any]]) -> None:
        """A part, all or nothing."""
        self._store.put(f"{self._folder}/{name}", as_jsonl(lines))

    def join(self, names: Sequence[str]) -> None:
        """Makes the file of its parts, all or nothing, and then removes all parts."""
        with tempfile.TemporaryDirectory(prefix="unfreeze-join-") as scratch:
            whole, piece = Path(scratch) / "whole", Path(scratch) / "piece"
            with whole.open("wb") as file:
                for name in names:
                    self._store.fetch(f"{self._folder}/{name}", piece)
                    with piece.open("rb") as part:
                        shutil.copyfileobj(part, file)
            self._store.put(self._name, whole)
        self._store.delete([f"{self._folder}/{name}" for name in self.done()])


def as_jsonl(lines: Iterable[Mapping[str, Any]]) -> bytes:
    """One line for each."""
    text = (json.dumps(line, ensure_ascii=False, default=str) + "\n" for line in lines)
    return "".join(text).encode()
