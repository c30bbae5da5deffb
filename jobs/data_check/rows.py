"""The rows of each split as training has them, and those of them that are looked at closely.

Keys, labels and sizes are taken of all rows. The texts themselves are kept of a sample only where a
split is large, so that memory is bounded.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray

from unfreeze.jobs.config import JobConfig
from unfreeze.jobs.data.dataset import scan
from unfreeze.jobs.data.roles import RowsByRole
from unfreeze.jobs.data.seen_rows import Keys, SeenRows
from unfreeze.jobs.data.splits import Part, split_parts
from unfreeze.jobs.tasks import open_task
from unfreeze.jobs.tasks.task import Learned, Role, Row, Seen, Task

Labels = tuple[str, ...]
Ints = NDArray[np.int64]

MOST_ROWS = 100_000
MOST_CHARACTERS = 50_000_000
"""Of a split with more than either a random sample is looked at, always the same one."""
_EMPTY_LINES = re.compile(r"\n\s*\n")
MOST_SHOWN = 400
"""Characters of a text that are shown."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A row, or a part of it, to be read."""

    split: str
    row: int
    """Its number in the source of the split, from 1."""
    text: str
    labels: Labels = ()
    place: str = ""
    """In which file it is, if it comes from one."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A row that is looked at closely."""

    split: str
    row: int
    """Its number in the source of the split, from 1."""
    place: int
    """Which of the split's rows it is, from 0."""
    texts: tuple[str, ...]
    """What makes it the same row as another."""
    written: str
    """All that people wrote in it, targets too."""
    labels: Labels
    data: Row
    """The row by roles."""

    def shown(self) -> Shown:
        """To be read."""
        return Shown(self.split, self.row, excerpt(self.written), self.labels)


@dataclass(frozen=True, slots=True)
class SplitRows:
    """One split."""

    name: str
    source: str
    """The split whose source it is cut from: train, or its own."""
    keys: Keys
    """`text_key` of each row."""
    set_of: NDArray[np.int32]
    """Which of the label sets each row has."""
    label_sets: Sequence[Labels]
    looked: list[Looked]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def sets_there(self) -> list[tuple[Labels, int]]:
        """Label sets that rows have, and how many rows."""
        counts = np.bincount(self.set_of, minlength=len(self.label_sets)).tolist()
        return [(one, n) for one, n in zip(self.label_sets, counts, strict=True) if n]


def read_splits(
    job: JobConfig, sources: Mapping[str, datasets.Dataset]
) -> tuple[dict[str, SplitRows], Learned]:
    """The splits in the order train, validation, test, general, and what the task concludes from
    the training rows.

    They are those that training has; if its checks find errors, those that it would have if the
    rows with errors were not there.
    """
    task = open_task(job.task)
    by_role = {source: RowsByRole(rows, job.columns) for source, rows in sources.items()}
    seen = {source: scan(rows, task) for source, rows in by_role.items()}
    parts = split_parts(seen, job.data.shares)
    found = {
        name: _split(name, part, seen[part.source], by_role[part.source], task)
        for name, part in parts.items()
    }
    return found, job.task.conclude(seen["train"].counts)[0]


def learned_of_all(job: JobConfig, splits: Mapping[str, SplitRows], concluded: Learned) -> Learned:
    """What a task needs to encode the rows where training could not begin: it knows the labels of
    all splits, so that no label stops it. Raises DataError."""
    labels = {
        label for split in splits.values() for labels, _ in split.sets_there for label in labels
    }
    return open_task(job.task).learn(labels, None) | concluded


def _split(name: str, part: Part, seen: SeenRows, by_role: RowsByRole, task: Task) -> SplitRows:
    per_row = seen.characters / max(1, int(seen.fits.sum()))
    sample = sampled(len(part.rows), per_row)
    texts = (row for batch in by_role.batches(part.rows[sample].tolist()) for row in batch)
    looked = []
    for place, row in zip(sample.tolist(), texts, strict=True):
        what = task.look(row)
        written = "\n".join(_written(row, what, task.options.roles))
        looked.append(Looked(name, row["row"], place, what.texts, written, what.labels, row))
    keys, set_of = seen.keys[part.rows], seen.set_of[part.rows]
    return SplitRows(name, part.source, keys, set_of, seen.label_sets, looked)


def sampled(rows: int, characters: float) -> Ints:
    """Which of the rows are looked at, in ascending order. `characters` of a row of the source, on
    average."""
    most = min(rows, MOST_ROWS)
    if rows * characters > MOST_CHARACTERS:
        most = min(most, max(1, int(MOST_CHARACTERS / characters)))
    if most == rows:
        return np.arange(rows)
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False))


def _written(row: Row, seen: Seen, roles: Sequence[Role]) -> Iterator[str]:
    yield from seen.texts
    for role in roles:
        value: Any = row.get(role.name)
        if role.kind == "text" and isinstance(value, str) and value not in seen.texts:
            yield value


def excerpt(text: str) -> str:
    """What is shown of a text, without empty lines."""
    part = _EMPTY_LINES.sub("\n", text[:MOST_SHOWN])
    return part if len(text) <= MOST_SHOWN else part + " ..."
