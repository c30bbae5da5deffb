"""The examples of one split on disk: flat, memory-mapped, shared by all workers of a node.

input_ids.npy holds the ids of all examples end to end, input_ids.offsets.npy where each begins (and
the last one ends). Other sequences lie beside it; those that are as long, token for token, have no
offsets of their own. values.NAME.npy holds one number or vector for each example, weights.npy how
many terms of the loss each has. rows.arrow has the rows as they were, with their numbers in the
source, and row_of.npy which of them each example is of. Where examples were cut out of the stream
of all rows, rows_begin.npy says where in it each row begins.
"""

import json
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

from unfreeze.jobs.data.growing_array import GrowingArray

Rows = NDArray[np.int64]

IDS = "input_ids"
ROWS = "rows.arrow"


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
            file.name.removesuffix(".offsets.npy"): _mapped(file)
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
        weights = folder / "weights.npy"
        one = np.broadcast_to(np.float64(1), len(self))
        self.weights: NDArray[np.float64] = _mapped(weights) if weights.exists() else one
        """How many terms of the loss each example has."""
        row_of = folder / "row_of.npy"
        self._row_of: Rows | None = _mapped(row_of) if row_of.exists() else None
        begin = folder / "rows_begin.npy"
        self.rows_begin: Rows | None = _mapped(begin) if begin.exists() else None
        """Where in the stream of all rows each begins, if examples were cut out of it."""

    def __len__(self) -> int:
        return len(self.offsets[IDS]) - 1

    @property
    def units(self) -> int:
        """How many things are scored by themselves."""
        return len(self) if self._row_of is None else int(self._table.num_rows)

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
        numbers = np.asarray(units, np.int64)
        if self.rows_begin is not None:
            starts = self.offsets[IDS][numbers]
            numbers = np.searchsorted(self.rows_begin, starts, side="right") - 1
        found: list[dict[str, Any]] = [{}] * len(numbers)
        # pyarrow's own way would put all chunks together first.
        chunk_of = np.searchsorted(self._ends, numbers, side="right")
        for chunk in np.unique(chunk_of):
            wanted = np.flatnonzero(chunk_of == chunk)
            begin = int(self._ends[chunk - 1]) if chunk else 0
            rows = self._table.slice(begin, int(self._ends[chunk]) - begin)
            taken = rows.take(pa.array(numbers[wanted] - begin)).to_pylist()
            for place, row in zip(wanted, taken, strict=True):
                found[place] = row
        return found

    @cached_property
    def _table(self) -> Any:
        table = pa.ipc.open_file(pa.memory_map(str(self._folder / ROWS))).read_all()
        return table if self.rows_begin is None else table.select(["row"])

    @cached_property
    def _ends(self) -> Rows:
        """Where each chunk of the rows ends."""
        sizes = [len(chunk) for chunk in self._table.column(0).chunks]
        return np.cumsum(sizes, dtype=np.int64)


_PART = "part.json"
_OTHER_FILES = ("weights.npy", "row_of.npy", "rows_begin.npy")
_NARROW = {"token_type_ids": np.dtype(np.int8), "is_target": np.dtype(np.int8)}


class ExamplesWriter:
    """Writes examples batch by batch, so that they may be larger than memory."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._arrays: dict[str, GrowingArray] = {}
        self._tokens: dict[str, int] = {}
        self.rows = 0
        """So far."""
        self.cut_off = 0
        """Of them, those of which something was cut off."""

    def add(self, examples: Examples, rows: int) -> None:
        """The examples that so many rows gave."""
        for name, parts in examples.sequences.items():
            dtype = _NARROW.get(name, np.dtype(np.int32))
            flat = np.fromiter(chain.from_iterable(parts), dtype)
            ends = np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)))
            self._add_sequence(name, flat, ends)
        for name, values in examples.values.items():
            self._append(f"values.{name}", np.array(values))
        if examples.weights is not None:
            self._append("weights", np.array(examples.weights, np.float64))
        if examples.row_of is not None:
            self._append("row_of", np.array(examples.row_of, np.int64) + self.rows)
        self.rows += rows
        self.cut_off += examples.cut_off

    def add_part(self, folder: Path) -> None:
        """What another one has written."""
        for file in sorted(folder.glob("*.npy")):
            name, array = file.name.removesuffix(".npy"), _mapped(file)
            if (offsets := folder / f"{name}.offsets.npy").exists():
                self._add_sequence(name, array, _mapped(offsets)[1:])
            elif not name.endswith(".offsets"):
                self._append(name, array + self.rows if name == "row_of" else array)
        about = json.loads((folder / _PART).read_text())
        self.rows += about["rows"]
        self.cut_off += about["cut_off"]

    def close_part(self) -> None:
        """Makes it a part, for `add_part`."""
        self._close()
        about = {"rows": self.rows, "cut_off": self.cut_off}
        (self._folder / _PART).write_text(json.dumps(about))

    def close_split(self, pack: int | None = None) -> None:
        """Makes it a split; see SplitWriter."""
        self._close()
        ids = self._folder / f"{IDS}.offsets.npy"
        offsets = _mapped(ids)
        others = [name for name in self._tokens if name != IDS]
        if pack:
            tokens, begin = int(offsets[-1]), offsets[:-1]
            np.save(self._folder / "rows_begin.npy", begin)
            pieces = np.append(np.arange(0, tokens, pack, dtype=np.int64), tokens)
            np.save(self._folder / "weights.npy", _predicted(pieces, begin).astype(np.float64))
            ids.unlink()  # and not under what is mapped
            np.save(ids, pieces)
        for name in others:
            file = self._folder / f"{name}.offsets.npy"
            if pack or np.array_equal(_mapped(file), offsets):
                file.unlink()

    def discard(self) -> None:
        """Leaves no files that seem to be whole."""
        for array in self._arrays.values():
            array.close()
            array.path.unlink()

    def _close(self) -> None:
        for array in self._arrays.values():
            array.close()

    def _add_sequence(self, name: str, flat: NDArray[Any], ends: Rows) -> None:
        if name not in self._tokens:
            self._tokens[name] = 0
            self._append(f"{name}.offsets", np.zeros(1, np.int64))
        self._append(name, flat)
        self._append(f"{name}.offsets", ends + self._tokens[name])
        self._tokens[name] += len(flat)

    def _append(self, name: str, array: NDArray[Any]) -> None:
        if name not in self._arrays:
            self._arrays[name] = GrowingArray(self._folder / f"{name}.npy")
        self._arrays[name].append(array)


class SplitWriter:
    """Writes a split. Use as a context manager; it is whole when it ends without an error."""

    def __init__(self, folder: Path, schema: pa.Schema, *, pack: int | None = None) -> None:
        """`schema`: of the rows. `pack`: cut examples of so many tokens out of the stream of all
        rows, instead of taking them as they are; the last one may be shorter. The terms of the loss
        are then the tokens that have one before them in the same row and example."""
        folder.mkdir(parents=True)
        self._schema, self._pack = schema, pack
        self._table = pa.ipc.new_file(str(folder / ROWS), schema)
        self._examples = ExamplesWriter(folder)

    @property
    def cut_off(self) -> int:
        """Rows so far of which something was cut off."""
        return self._examples.cut_off

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._table.close()
        if error is None:
            self._examples.close_split(self._pack)
        else:
            self._examples.discard()

    def add(self, examples: Examples, rows: Sequence[dict[str, Any]]) -> None:
        """Some rows, and the examples that they gave."""
        self._table.write_table(pa.Table.from_pylist(list(rows), schema=self._schema))
        self._examples.add(examples, len(rows))


def _predicted(offsets: Rows, begin: Rows) -> Rows:
    """Tokens of each example that have one before them in the same row and example."""
    begin = np.unique(begin)  # rows of no tokens begin where the next one does
    starts, ends = offsets[:-1], offsets[1:]
    inside = np.searchsorted(begin, ends) - np.searchsorted(begin, starts, side="right")
    result: Rows = ends - starts - 1 - inside
    return result


def _mapped(file: Path) -> NDArray[Any]:
    """Memory-mapped, as a plain array: `np.memmap` makes every slice slow."""
    array: NDArray[Any] = np.load(file, mmap_mode="r").view(np.ndarray)
    return array
