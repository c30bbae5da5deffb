"""Rows that people bring to a trained model: read, checked, and cut into parts."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import datasets
import pyarrow as pa

from unfreeze.jobs.config import JobConfig, SourceConfig
from unfreeze.jobs.data.checks import check_columns, check_rows
from unfreeze.jobs.data.dataset import scan
from unfreeze.jobs.data.origins import origin_of
from unfreeze.jobs.data.roles import RowsByRole, kinds_of
from unfreeze.jobs.data.row_names import Locate, by_number
from unfreeze.jobs.data.seen_rows import SeenRows
from unfreeze.jobs.data.sources import read_source
from unfreeze.jobs.errors import ConfigError, DataError
from unfreeze.jobs.tasks.task import BadRow, Task

FORMAT = 1
"""Part of the keys: raise it when the same rows would give another output."""

OnBadRow = Literal["stop", "skip"]


@dataclass(frozen=True)
class Part:
    """Some rows that stand together in the input."""

    number: int
    first: int
    """Number of the first row in the input, from 1."""
    originals: Sequence[Mapping[str, Any]]
    """All rows, with all columns of the input."""
    rows: Sequence[dict[str, Any]] = ()
    """Those that fit, by role; each with `row`, its number in the input, from 1."""
    problems: Mapping[int, str] = field(default_factory=dict)
    """What is wrong with the others, by the same numbers."""

    @property
    def last(self) -> int:
        """Number of the last row in the input, from 1."""
        return self.first + len(self.originals) - 1

    def name(self, version: str) -> str:
        """Equal for the same rows at the same place, and the same `version` of the model."""
        text = json.dumps([FORMAT, version, self.originals], default=str)
        return f"{self.number:08d}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.jsonl"

    def lines(self, predictions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The rows as they were, each with what the model says of it, or what is wrong with it."""
        said = {row["row"]: one for row, one in zip(self.rows, predictions, strict=True)}
        said |= {number: {"error": problem} for number, problem in self.problems.items()}
        return [
            {**original, **said[number]}
            for number, original in enumerate(self.originals, self.first)
        ]


class _ByRole(RowsByRole):
    """Rows by role, where texts may stand for lists of words."""

    def __init__(
        self, rows: datasets.Dataset, columns: Mapping[str, str], texts: Collection[str]
    ) -> None:
        """`texts`: roles of words whose columns hold texts; they are cut at white space."""
        super().__init__(rows, columns)
        self.texts = texts

    @property
    def schema(self) -> pa.Schema:
        schema = super().schema
        for role in self.texts:
            words = pa.field(role, pa.list_(pa.string()))
            schema = schema.set(schema.get_field_index(role), words)
        return schema

    def batches(self, numbers: Sequence[int] | None = None) -> Iterator[list[dict[str, Any]]]:
        for batch in super().batches(numbers):
            for role in self.texts:
                for row in batch:
                    row[role] = (row[role] or "").split()
            yield batch


class NewRows:
    """Rows of a source, as the task reads them."""

    def __init__(
        self,
        data: datasets.Dataset,
        columns: Mapping[str, str],
        task: Task,
        where: str,
        locate: Locate = by_number,
    ) -> None:
        """`columns`: role -> column. `where`: what the rows are called; `locate` names some.

        A text stands for its words, cut at white space, where the task reads words. Raises
        DataError if a column is missing or holds something else.
        """
        self.data, self.task, self._where, self._locate = data, task, where, locate
        kinds = kinds_of(data)
        roles = {role: columns[role.name] for role in task.options.roles if role.name in columns}
        texts = [r.name for r, c in roles.items() if r.kind == "words" and kinds.get(c) == "string"]
        checked = {role: column for role, column in roles.items() if role.name not in texts}
        if findings := check_columns(where, checked, kinds):
            raise DataError([finding.text for finding in findings])
        self.by_role = _ByRole(data, {role.name: c for role, c in roles.items()}, texts)

    def __len__(self) -> int:
        return len(self.data)

    def look(self, *, skip: bool) -> tuple[SeenRows, list[str]]:
        """Looks at every row. Also what is wrong, all of it; not with rows that do not fit if they
        are to be skipped."""
        seen = scan(self.by_role, self.task)
        findings = check_rows(self._where, seen, skip=skip, locate=self._locate)
        return seen, [finding.text for finding in findings if finding.severity == "error"]

    def parts(self, rows_per_part: int) -> Iterator[Part]:
        """All rows, in order. A part is read when it is asked for."""
        for number, start in enumerate(range(0, len(self), rows_per_part)):
            numbers = range(start, min(start + rows_per_part, len(self)))
            columns = self.data[start : numbers.stop]
            originals = [{name: columns[name][i] for name in columns} for i in range(len(numbers))]
            rows, problems = [], {}
            for row in chain.from_iterable(self.by_role.batches(numbers)):
                if problem := self._problem_with(row):
                    problems[row["row"]] = problem
                else:
                    rows.append(row)
                    for role in self.by_role.texts:  # predictions are by the word
                        originals[row["row"] - 1 - start][role] = row[role]
            yield Part(number, start + 1, originals, rows, problems)

    def _problem_with(self, row: Mapping[str, Any]) -> str | None:
        try:
            self.task.look(row)
        except BadRow as bad:
            return f"column {self.by_role.columns.get(bad.role, bad.role)!r}: {bad.problem}"
        return None


def read_new_rows(
    job: JobConfig,
    task: Task,
    source: SourceConfig,
    where: str,
    *,
    endpoint: str | None,
    cache: Path,
    renamed: Mapping[str, str],
    targets: bool,
) -> NewRows:
    """The rows of a source; `targets`: with what is to be predicted. Raises DataError."""
    folder = cache / "data" / "sources"
    data = read_source(source, where, endpoint=endpoint, cache=folder)
    columns = columns_read(job, data.column_names, renamed, targets=targets)
    locate = origin_of(source, where, endpoint=endpoint, cache_folder=folder)
    return NewRows(data, columns, task, where, locate)


def columns_read(
    job: JobConfig, there: Sequence[str], renamed: Mapping[str, str], *, targets: bool
) -> dict[str, str]:
    """Role -> column, of the roles that are read from new rows.

    `renamed`: columns that are called otherwise than the job's. A lone text column stands for
    words. Raises ConfigError for a role that the task does not have.
    """
    roles = {role.name: role for role in job.task.roles}
    if unknown := [name for name in renamed if name not in roles]:
        known = ", ".join(roles)
        raise ConfigError(
            f"--column {unknown[0]}: {job.task.in_words} has no such column; known: {known}"
        )
    columns = {
        name: column
        for name, column in (job.columns | dict(renamed)).items()
        if targets or not roles[name].is_target
    }
    for name, column in columns.items():
        if roles[name].kind == "words" and column not in there and "text" in there:
            columns[name] = "text"
    return columns
