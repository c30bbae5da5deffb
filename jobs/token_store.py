"""The examples of one split on disk: flat, memory-mapped, shared by all workers of a node.

input_ids.npy holds the ids of all examples end to end, input_ids.offsets.npy where each begins (and
the last one ends). Other sequences lie beside it; those that are as long, token for token, have no
offsets of their own. values.NAME.npy holds one number or vector for each example, weights.npy how
many terms of the loss each has. rows.arrow has the rows as they were, with their numbers in the
source, and row_of.npy which of them each example is of. Where examples were cut out of the stream
of all rows, rows_begin.npy says where in it each row begins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Rows = NDArray[np.int64]

IDS = "input_ids"


@dataclass(frozen=True, slots=True)
class Examples:
    """What the model is shown of some rows, on the way to the disk."""

    sequences: Mapping[str, Sequence[Sequence[int]]]
    """`input_ids`, and others by name: one sequence for each example."""
    values: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """One number, or one vector, for each example."""
    row_of: Sequence[int] | None = None
    """Which of the rows each example is of; None: there is one for each."""
    weights: Sequence[float] | None = None
    """How many terms of the loss an example has; None: 1 for each."""
    cut_off: int = 0
    """Rows of which something was cut off at max_length."""


class Split:
    """The examples of one split. Open it anew in each process rather than send it.

    A unit is what is scored and counted by itself: a row, or an example that was cut out of the
    stream of all rows.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.offsets: dict[str, Rows] = {
            file.name.removesuffix(".offsets.npy"): np.load(file)
            for file in sorted(folder.glob("*.offsets.npy"))
        }
        """Where each example begins in the flat arrays, and where the last one ends."""
        self.sequences = {
            file.name.removesuffix(".npy"): _mapped(file)
            for file in sorted(folder.glob("*.npy"))
            if "." not in file.name.removesuffix(".npy") and file.name not in _OTHER_FILES
        }
        """The flat arrays by name, end to end over all examples."""
        self.values = {
            file.name.removeprefix("values.").removesuffix(".npy"): _mapped(file)
            for file in sorted(folder.glob("values.*.npy"))
        }
        """One number or vector for each example, by name."""
        self.lengths: Rows = sum(  # type: ignore[assignment]
            np.diff(offsets) for offsets in self.offsets.values()
        )
        """Tokens of each example, in all sequences that are not parallel."""
        self.weights: NDArray[np.float64] = _given(folder / "weights.npy", np.ones(len(self)))
        """How many terms of the loss each example has."""
        row_of = folder / "row_of.npy"
        self._row_of: Rows | None = np.load(row_of) if row_of.exists() else None
        begin = folder / "rows_begin.npy"
        self.rows_begin: Rows | None = np.load(begin) if begin.exists() else None
        """Where in the stream of all rows each begins, if examples were cut out of it."""

    def __len__(self) -> int:
        return len(self.offsets[IDS]) - 1

    @property
    def units(self) -> int:
        """How many things are scored by themselves."""
        return len(self) if self._row_of is None else int(self._row_of[-1]) + 1

    def examples_of(self, units: Rows) -> Rows:
        """The examples of these units, those of one together and in order."""
        if self._row_of is None:
            return units
        first = np.searchsorted(self._row_of, units)
        counts = np.searchsorted(self._row_of, units, side="right") - first
        starts = np.repeat(first - np.cumsum(counts) + counts, counts)
        result: Rows = starts + np.arange(counts.sum())
        return result

    def units_of(self, examples: Rows) -> Rows:
        """The unit of each of these examples."""
        return examples if self._row_of is None else self._row_of[examples]

    def offsets_of(self, name: str) -> Rows:
        """Where each example begins in the flat array of this name."""
        return self.offsets.get(name, self.offsets[IDS])

    def sequence(self, name: str, example: int) -> NDArray[Any]:
        """One example's part of a flat array, a view."""
        offsets = self.offsets_of(name)
        view: NDArray[Any] = self.sequences[name][offsets[example] : offsets[example + 1]]
        return view

    def rows(self, units: Sequence[int] | Rows) -> list[dict[str, Any]]:
        """The original rows by role, with `row`, their number in the source, from 1. Of examples
        that were cut out of the stream of all rows only that: the row in which each begins."""
        if self.rows_begin is not None:
            starts = self.offsets[IDS][np.asarray(units, np.int64)]
            units = np.searchsorted(self.rows_begin, starts, side="right") - 1
            numbers: list[dict[str, Any]]
            numbers = self._table.select(["row"]).take(pa.array(units, pa.int64())).to_pylist()
            return numbers
        found: list[dict[str, Any]] = self._table.take(pa.array(units, pa.int64())).to_pylist()
        return found

    @cached_property
    def _table(self) -> Any:
        return pa.ipc.open_file(pa.memory_map(str(self._folder / "rows.arrow"))).read_all()


_OTHER_FILES = ("weights.npy", "row_of.npy", "rows_begin.npy")
_NARROW = {"token_type_ids": np.dtype(np.int8), "is_target": np.dtype(np.int8)}


class SplitWriter:
    """Writes a split batch by batch, so that it may be larger than memory.

    Use as a context manager; the split is whole when it ends without an error.
    """

    def __init__(self, folder: Path, schema: pa.Schema, *, pack: int | None = None) -> None:
        """`schema`: of the rows. `pack`: cut examples of so many tokens out of the stream of all
        rows, instead of taking them as they are; the last one may be shorter. The terms of the loss
        are then the tokens that have one before them in the same row and example."""
        folder.mkdir(parents=True)
        self._folder, self._pack = folder, pack
        self._schema = schema
        self._table = pa.ipc.new_file(str(folder / "rows.arrow"), schema)
        self._sequences: dict[str, _GrowingArray] = {}
        self._lengths: dict[str, list[int]] = {}
        self._values: dict[str, list[Any]] = {}
        self._weights: list[float] = []
        self._row_of: list[int] = []
        self._rows = 0
        self.cut_off = 0
        """Rows so far of which something was cut off."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._table.close()
        for array in self._sequences.values():
            array.close()
        if error is None:
            self._write_the_rest()

    def add(self, examples: Examples, rows: Sequence[dict[str, Any]]) -> None:
        """Some rows, and the examples that they gave."""
        self._table.write_table(pa.Table.from_pylist(list(rows), schema=self._schema))
        for name, parts in examples.sequences.items():
            if name not in self._sequences:
                file = self._folder / f"{name}.npy"
                self._sequences[name] = _GrowingArray(file, _NARROW.get(name, np.dtype(np.int32)))
                self._lengths[name] = []
            self._sequences[name].append(parts)
            self._lengths[name] += map(len, parts)
        for name, values in examples.values.items():
            self._values.setdefault(name, []).extend(values)
        self._weights += examples.weights or ()
        self._row_of += [self._rows + row for row in examples.row_of or ()]
        self._rows += len(rows)
        self.cut_off += examples.cut_off

    def _write_the_rest(self) -> None:
        offsets = {
            name: np.cumsum([0, *lengths], dtype=np.int64)
            for name, lengths in self._lengths.items()
        }
        if self._pack:
            tokens = int(offsets[IDS][-1])
            starts = np.arange(0, tokens, self._pack, dtype=np.int64)
            begin = offsets[IDS][:-1]
            np.save(self._folder / "rows_begin.npy", begin)
            offsets = {IDS: np.append(starts, tokens)}
            self._weights = _predicted(offsets[IDS], begin).tolist()
        for name, own in offsets.items():
            if name == IDS or not np.array_equal(own, offsets[IDS]):
                np.save(self._folder / f"{name}.offsets.npy", own)
        for name, values in self._values.items():
            np.save(self._folder / f"values.{name}.npy", np.array(values))
        if self._weights:
            np.save(self._folder / "weights.npy", np.array(self._weights, np.float64))
        if self._row_of:
            np.save(self._folder / "row_of.npy", np.array(self._row_of, np.int64))


class _GrowingArray:
    """A flat .npy file whose size is known at the end. numpy leaves room for it in the header."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self._file = path.open("wb")
        self._dtype = dtype
        self.size = 0
        self._write_header()

    def append(self, parts: Sequence[Sequence[int]]) -> None:
        flat = np.fromiter(chain.from_iterable(parts), self._dtype)
        self._file.write(flat.tobytes())
        self.size += flat.size

    def close(self) -> None:
        with self._file:
            self._file.seek(0)
            self._write_header()

    def _write_header(self) -> None:
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (self.size,)}
        np.lib.format.write_array_header_1_0(self._file, header)


def _predicted(offsets: Rows, begin: Rows) -> Rows:
    """Tokens of each example that have one before them in the same row and example."""
    begin = np.unique(begin)  # rows of no tokens begin where the next one does
    starts, ends = offsets[:-1], offsets[1:]
    inside = np.searchsorted(begin, ends) - np.searchsorted(begin, starts, side="right")
    result: Rows = ends - starts - 1 - inside
    return result


def _given(file: Path, otherwise: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.load(file) if file.exists() else otherwise
    return found


def _mapped(file: Path) -> NDArray[Any]:
    """Memory-mapped, as a plain array: `np.memmap` makes every slice slow."""
    array: NDArray[Any] = np.load(file, mmap_mode="r").view(np.ndarray)
    return array
