"""The rows of a source by what the task reads from them, whatever its columns are called."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unfreeze.jobs.data.checks import LISTS

BATCH = 1024
"""Rows that are read and encoded at once."""
BATCH_BYTES = 4 << 20
"""Or fewer, where these many hold more than this: some 30 bytes of memory for each are in use."""


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
        return self._schema()

    def _schema(self) -> pa.Schema:
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
        at_once = self._at_once
        for start in range(0, len(numbers), at_once):
            some = numbers[start : start + at_once]
            batch = self._rows[some]
            parts = {
                role: [_named(value, names[role]) for value in batch[column]]
                for role, column in self.columns.items()
            }
            yield [
                {"row": number + 1} | {role: parts[role][i] for role in parts}
                for i, number in enumerate(some)
            ]

    def tables(self, numbers: NDArray[np.int64]) -> Iterator[pa.Table]:
        """What `batches` gives of rows with these numbers (from 0, ascending), as tables."""
        schema, at_once = self._schema(), self._at_once
        names = {role: self.declared(role) for role in self.columns}
        features = self._rows.features
        if not all(_is_stored_as_it_is(features[column]) for column in self.columns.values()):
            for batch in RowsByRole.batches(self, numbers.tolist()):
                yield pa.Table.from_pylist(batch, schema=schema)
            return
        stored = self._rows.with_format("arrow")
        for start in range(0, len(numbers), at_once):
            some = numbers[start : start + at_once]
            first = int(some[0])
            table = stored[first : int(some[-1]) + 1].take(pa.array(some - first))
            parts = [
                _named_at_once(table.column(column), names[role])
                for role, column in self.columns.items()
            ]
            yield pa.table([pa.array(some + 1), *parts], schema=schema).combine_chunks()

    @property
    def _at_once(self) -> int:
        rows = max(1, len(self._rows))
        size: int = self._rows.data.nbytes
        return min(BATCH, max(1, BATCH_BYTES * rows // max(1, size)))


def _is_stored_as_it_is(feature: Any) -> bool:
    """Whether the stored values are those that rows have, but for declared labels."""
    if isinstance(feature, dict):
        return all(map(_is_stored_in_lists_as_it_is, feature.values()))
    if isinstance(feature, datasets.List | datasets.LargeList):
        return _is_stored_in_lists_as_it_is(feature.feature)
    return isinstance(feature, datasets.Value | datasets.ClassLabel)


def _is_stored_in_lists_as_it_is(feature: Any) -> bool:
    return not isinstance(feature, datasets.ClassLabel) and _is_stored_as_it_is(feature)


def _named_at_once(values: pa.ChunkedArray, names: Sequence[str] | None) -> pa.ChunkedArray:
    if names is None:
        return values
    is_known = pc.and_(pc.greater_equal(values, 0), pc.less(values, len(names)))
    return pa.chunked_array([names], pa.string()).take(pc.if_else(is_known, values, None))


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
