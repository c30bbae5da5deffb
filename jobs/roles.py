"""The rows of a source by what the task reads from them, whatever its columns are called."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import datasets
import pyarrow as pa

from unfreeze.jobs.checks import LISTS

BATCH = 1024
"""Rows that are read and encoded at once."""


class RowsByRole:
    """Rows of a data set, as mappings from roles. Declared labels are given by their names."""

    def __init__(self, rows: datasets.Dataset, columns: Mapping[str, str]) -> None:
        self.columns = {role: name for role, name in columns.items() if name in rows.column_names}
        """Role -> column."""
        self._rows = rows.select_columns(list(self.columns.values()))

    def declared(self, role: str) -> list[str] | None:
        """Names of the labels, if the column says which there are."""
        feature = self._rows.features[self.columns[role]] if role in self.columns else None
        while isinstance(feature, datasets.List | datasets.LargeList):
            feature = feature.feature
        return list(feature.names) if isinstance(feature, datasets.ClassLabel) else None

    @property
    def schema(self) -> pa.Schema:
        """Of the rows as `batches` gives them."""
        schema = self._rows.features.arrow_schema
        fields = [pa.field("row", pa.int64())]
        for role, column in self.columns.items():
            kind = schema.field(column).type
            if self.declared(role):
                nested = isinstance(self._rows.features[column], datasets.List | datasets.LargeList)
                kind = pa.list_(pa.string()) if nested else pa.string()
            fields.append(pa.field(role, kind))
        return pa.schema(fields)

    def batches(self, numbers: Sequence[int] | None = None) -> Iterator[list[dict[str, Any]]]:
        """All rows, or those with these numbers (from 0); each with `row`, its number from 1."""
        numbers = range(len(self._rows)) if numbers is None else numbers
        names = {role: self.declared(role) for role in self.columns}
        for start in range(0, len(numbers), BATCH):
            some = numbers[start : start + BATCH]
            batch = self._rows[some]
            parts = {
                role: [_named(value, names[role]) for value in batch[column]]
                for role, column in self.columns.items()
            }
            yield [
                {"row": number + 1} | {role: parts[role][i] for role in parts}
                for i, number in enumerate(some)
            ]


def _named(value: Any, names: Sequence[str] | None) -> Any:
    """A declared label by its name. Hub data sets mark rows without a label by -1."""
    if names is None or value is None:
        return value
    if isinstance(value, list):
        return [_named(part, names) for part in value]
    return names[value] if 0 <= value < len(names) else None


def kinds_of(rows: datasets.Dataset) -> dict[str, str]:
    """The type of each column, in words."""
    return {name: _kind(feature) for name, feature in rows.features.items()}


def _kind(feature: Any) -> str:
    if isinstance(feature, datasets.ClassLabel):
        return "label"
    if isinstance(feature, datasets.Value):
        return str(feature.dtype)
    if type(feature).__name__ == "Json":  # `datasets` for a column whose values have two types
        return "values of several types"
    return LISTS
