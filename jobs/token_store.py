"""Tokenized rows of one split on disk: flat, memory-mapped, shared by all workers of a node.

tokens.npy holds the ids of all rows end to end, offsets.npy where each row begins (and the last one
ends), labels.npy the label ids, token_types.npy (pairs only) which text a token is of, and
rows.arrow the texts as they were, with their row numbers in the source.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TokenizedRows:
    """Some rows, on their way to the disk."""

    tokens: Sequence[Sequence[int]]
    token_types: Sequence[Sequence[int]] | None
    label_ids: Sequence[int]
    rows: Sequence[int]
    """Numbers in the source, from 1."""
    texts: Sequence[str]
    text_pairs: Sequence[str] | None


class Split:
    """The rows of one split. Open it anew in each process rather than send it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.flat_tokens = _mapped(folder / "tokens.npy")
        """The ids of all rows, end to end."""
        self.offsets: NDArray[np.int64] = np.load(folder / "offsets.npy")
        """Where each row begins in the flat arrays, and where the last one ends."""
        types = folder / "token_types.npy"
        self.flat_token_types = _mapped(types) if types.exists() else None
        """Which text of the pair each token is of; None where there are no pairs."""
        self.label_ids: NDArray[np.int64] = np.load(folder / "labels.npy")
        self.lengths: NDArray[np.int64] = np.diff(self.offsets)
        """Tokens of each row."""

    def __len__(self) -> int:
        return len(self.label_ids)

    def tokens(self, i: int) -> NDArray[np.int32]:
        """The ids of one row, a view."""
        view: NDArray[np.int32] = self.flat_tokens[self.offsets[i] : self.offsets[i + 1]]
        return view

    def texts(self, rows: Sequence[int] | NDArray[np.int64]) -> list[dict[str, Any]]:
        """The original texts: `row` (in its source, from 1), `text`, and `text_pair` if any."""
        found: list[dict[str, Any]] = self._table.take(pa.array(rows, pa.int64())).to_pylist()
        return found

    @cached_property
    def _table(self) -> Any:
        return pa.ipc.open_file(pa.memory_map(str(self._folder / "rows.arrow"))).read_all()


def write_split(folder: Path, batches: Iterable[TokenizedRows], *, pairs: bool) -> None:
    """Writes a split batch by batch, so that it may be larger than memory."""
    folder.mkdir(parents=True)
    lengths: list[int] = []
    label_ids: list[int] = []
    schema = pa.schema([("row", pa.int64()), ("text", pa.large_string())])
    if pairs:
        schema = schema.append(pa.field("text_pair", pa.large_string()))
    with (
        _GrowingArray(folder / "tokens.npy", np.dtype(np.int32)) as tokens,
        _GrowingArray(folder / "token_types.npy", np.dtype(np.int8)) as token_types,
        pa.ipc.new_file(str(folder / "rows.arrow"), schema) as texts,
    ):
        for batch in batches:
            tokens.append(batch.tokens)
            token_types.append(batch.token_types or ())
            lengths += map(len, batch.tokens)
            label_ids += batch.label_ids
            columns = [batch.rows, batch.texts, *([batch.text_pairs] if pairs else [])]
            arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
            texts.write_batch(pa.record_batch(arrays, schema=schema))
    if not token_types.size:
        (folder / "token_types.npy").unlink()
    np.save(folder / "offsets.npy", np.cumsum([0, *lengths], dtype=np.int64))
    np.save(folder / "labels.npy", np.array(label_ids, np.int64))


class _GrowingArray:
    """A flat .npy file whose size is known at the end. numpy leaves room for it in the header."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self._file = path.open("wb")
        self._dtype = dtype
        self.size = 0
        self._write_header()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._file:
            self._file.seek(0)
            self._write_header()

    def append(self, rows: Sequence[Sequence[int]]) -> None:
        flat = np.fromiter(chain.from_iterable(rows), self._dtype)
        self._file.write(flat.tobytes())
        self.size += flat.size

    def _write_header(self) -> None:
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (self.size,)}
        np.lib.format.write_array_header_1_0(self._file, header)


def _mapped(file: Path) -> NDArray[Any]:
    """Memory-mapped, as a plain array: `np.memmap` makes every slice slow."""
    array: NDArray[Any] = np.load(file, mmap_mode="r").view(np.ndarray)
    return array
