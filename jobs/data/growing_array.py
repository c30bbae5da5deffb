"""A .npy file whose size is known at the end."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_AT_ONCE = 1 << 20  # items: what was mapped from a file is copied in pieces


class GrowingArray:
    """Grows along its first axis. The type and the other axes are those of what it is given."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("wb+")
        self._like: NDArray[Any] = np.empty(0)
        self.size = 0
        """Along the first axis."""
        self._write_header()

    def append(self, part: NDArray[Any]) -> None:
        """Types that do not agree become one that holds both; nothing has no type."""
        if self.size and not len(part):
            return
        if not self.size:
            self._like = part[:0].copy()
            self._write_header()
        elif (both := np.result_type(self._like, part)) != self._like.dtype:
            self._widen(both)
        for start in range(0, len(part), _AT_ONCE):
            piece = np.ascontiguousarray(part[start : start + _AT_ONCE], self._like.dtype)
            self._file.write(piece.data if piece.size else b"")
        self.size += len(part)

    def close(self) -> None:
        """The file is whole after this."""
        with self._file:
            self._file.seek(0)
            self._write_header()

    def _widen(self, dtype: np.dtype[Any]) -> None:
        self.close()
        before: NDArray[Any] = np.load(self.path)
        self._file = self.path.open("wb+")
        self._like, self.size = self._like.astype(dtype), 0
        self.append(before.astype(dtype))

    def _write_header(self) -> None:
        """numpy leaves room in it for a larger size."""
        if not self.size:
            self._file.seek(0)
            self._file.truncate()
        shape = (self.size, *self._like.shape[1:])
        header = {"descr": self._like.dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)
