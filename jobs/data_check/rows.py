"""The rows of each split as training has them, and those of them that are looked at closely.

Keys, labels and sizes are taken of all rows. The texts themselves are kept of a sample only where a
split is large, so that memory is bounded.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray

from unfreeze.jobs.config import JobConfig
from unfreeze.jobs.data.checks import GENERAL
from unfreeze.jobs.data.roles import BATCH, RowsByRole
from unfreeze.jobs.data.seen_rows import KEY
from unfreeze.jobs.data.splits import cut_shares, text_key
from unfreeze.jobs.data.token_store import Split
from unfreeze.jobs.tasks import open_task
from unfreeze.jobs.tasks.task import BadRow, Learned, Role, Row, Seen, Task

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
    rows: Sequence[int]
    """Number of each row in the source, from 1."""
    keys: Sequence[bytes]
    """`text_key` of each row."""
    labels: Sequence[Labels]
    looked: list[Looked]

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(slots=True)
class _Overview:
    """What is kept of all rows of a source that fit."""

    rows: list[int] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    labels: list[Labels] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    groups: list[bytes] = field(default_factory=list)
    """Of each row, if the task says what must stay together."""
    counts: Counter[str] = field(default_factory=Counter)


def read_splits(
    job: JobConfig,
    sources: Mapping[str, datasets.Dataset],
    prepared: Mapping[str, Split] | None,
) -> tuple[dict[str, SplitRows], Learned]:
    """The splits in the order train, validation, test, general, and what the task concludes from
    the training rows.

    `prepared` are the splits that training would have. Without them, as its checks found errors,
    shares are cut as it would cut them if the rows with errors were not there.
    """
    task, shares = open_task(job.task), _shares(job)
    found: dict[str, SplitRows] = {}
    concluded: Learned = {}
    for source, rows in sources.items():
        by_role = RowsByRole(rows, job.columns)
        seen = _overview(by_role, task)
        names = {"train", *shares} if source == "train" else {source}
        cut = _as_prepared(names, seen, prepared or {})
        if not cut:
            cut = _cut(seen, shares if source == "train" else {})
            cut = {source if name == "train" else name: places for name, places in cut.items()}
        for split, places in cut.items():
            found[split] = _split(split, source, seen, places, by_role, task)
        if source == "train":
            concluded = job.task.conclude(seen.counts)[0]
    order = ("train", "validation", "test", GENERAL)
    return {name: found[name] for name in order if name in found}, concluded


def learned_of_all(job: JobConfig, splits: Mapping[str, SplitRows], concluded: Learned) -> Learned:
    """What a task needs to encode the rows where training could not begin: it knows the labels of
    all splits, so that no label stops it. Raises DataError."""
    labels = {label for split in splits.values() for each in split.labels for label in each}
    return open_task(job.task).learn(labels, None) | concluded


def _cut(seen: _Overview, shares: Mapping[str, float]) -> dict[str, Ints]:
    strata = ["\0".join(labels) for labels in seen.labels]
    groups = np.array(seen.groups, KEY) if seen.groups else None
    return cut_shares(seen.keys, strata, shares, groups)


def _as_prepared(
    names: Collection[str], seen: _Overview, prepared: Mapping[str, Split]
) -> dict[str, Ints]:
    """Which of the rows each of these splits has; nothing if it cannot be told."""
    if not all(name in prepared and prepared[name].rows_begin is None for name in names):
        return {}
    rows = np.array(seen.rows, np.int64)
    return {name: np.searchsorted(rows, _numbers(prepared[name])) for name in names}


def _numbers(split: Split) -> Ints:
    """The rows of a split by their number in the source, in ascending order."""
    found = [
        row["row"]
        for start in range(0, split.units, BATCH)
        for row in split.rows(np.arange(start, min(start + BATCH, split.units)))
    ]
    return np.sort(np.array(found, np.int64))


def _shares(job: JobConfig) -> dict[str, float]:
    given = {"validation": job.data.validation, "test": job.data.test}
    return {split: share for split, share in given.items() if isinstance(share, float)}


def _overview(rows: RowsByRole, task: Task) -> _Overview:
    found = _Overview()
    for batch in rows.batches():
        for row in batch:
            try:
                seen = task.look(row)
            except BadRow:
                continue  # the checks of training count and name them
            found.rows.append(row["row"])
            found.keys.append(text_key(*seen.texts))
            found.labels.append(seen.labels)
            found.sizes.append(sum(map(len, seen.texts)))
            if seen.group is not None:
                found.groups.append(text_key(seen.group))
            found.counts.update(seen.counts)
    return found


def _split(
    name: str, source: str, seen: _Overview, places: Ints, by_role: RowsByRole, task: Task
) -> SplitRows:
    rows = [seen.rows[place] for place in places]
    sample = sampled(np.array([seen.sizes[place] for place in places], np.int64))
    numbers = [rows[i] - 1 for i in sample]
    looked = []
    texts = (row for batch in by_role.batches(numbers) for row in batch)
    for place, row in zip(sample.tolist(), texts, strict=True):
        what = task.look(row)
        written = "\n".join(_written(row, what, task.options.roles))
        looked.append(Looked(name, row["row"], place, what.texts, written, what.labels, row))
    keys, labels = [seen.keys[place] for place in places], [seen.labels[p] for p in places]
    return SplitRows(name, source, rows, keys, labels, looked)


def sampled(sizes: Ints) -> Ints:
    """Which rows are looked at, in ascending order; `sizes` are their characters."""
    rows = len(sizes)
    most = min(rows, MOST_ROWS)
    if (total := int(sizes.sum())) > MOST_CHARACTERS:
        most = min(most, max(1, int(rows * MOST_CHARACTERS / total)))
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
