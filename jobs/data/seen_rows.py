"""What the checks keep of a source's rows: some 20 bytes of each, whatever its texts are."""

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.bytes_]
"""[rows], of KEY: what `splits.text_key` gives."""
KEY = "S16"
MOST_NAMED = 20
"""Rows that do not fit are named up to here, and counted from here on; problems likewise."""

_KEY_BYTES = 16
_DOES_NOT_FIT = -1


def numbered(keys: Keys) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which of the distinct keys, in ascending order, each is; and where each of them comes first.

    What `np.unique` says too, in half of its memory.
    """
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    is_first = np.ones(len(keys), np.bool_)
    is_first[1:] = ordered[1:] != ordered[:-1]
    del ordered
    first = order[is_first]
    number = np.empty(len(keys), np.int64)
    number[order] = np.cumsum(is_first) - 1
    return number, first


@dataclass(slots=True)
class Problem:
    """Rows with which the same is wrong."""

    column: str
    text: str
    """What was expected, and what is there."""
    count: int = 0
    first: list[int] = field(default_factory=list)
    """Numbers of the first of them, from 1."""


class SeenRows:
    """Grows by a row at a time, in the source's order, until its arrays are asked for."""

    def __init__(self) -> None:
        self._keys, self._groups = bytearray(), bytearray()
        self._set_of = array("i")
        self._sets: dict[tuple[str, ...], int] = {}
        self._problems: dict[tuple[str, str], Problem] = {}
        self.other_problems = 0
        """Rows that do not fit for other reasons than `problems`."""
        self.counts: Counter[str] = Counter()
        """`Seen.counts`, summed up."""
        self.characters = 0
        """Of the texts of all rows that fit."""

    def __len__(self) -> int:
        return len(self._set_of)

    def add(
        self,
        key: bytes,
        labels: tuple[str, ...],
        counts: Mapping[str, int] | None = None,
        group: bytes | None = None,
        characters: int = 0,
    ) -> None:
        """A row that fits."""
        self.characters += characters
        if group is not None:
            self._groups += bytes(len(self._keys) - len(self._groups)) + group
        self._keys += key
        self._set_of.append(self._sets.setdefault(labels, len(self._sets)))
        if counts:
            self.counts.update(counts)

    def add_bad(self, column: str, problem: str) -> None:
        """A row that does not."""
        self._keys += bytes(_KEY_BYTES)
        self._set_of.append(_DOES_NOT_FIT)
        known = self._problems.get((column, problem))
        if known is None:
            if len(self._problems) == MOST_NAMED:
                self.other_problems += 1
                return
            known = self._problems[column, problem] = Problem(column, problem)
        known.count += 1
        if known.count <= MOST_NAMED:
            known.first.append(len(self))

    @property
    def keys(self) -> Keys:
        """Of the texts; nothing that counts for rows that do not fit."""
        return np.frombuffer(self._keys, KEY)

    @property
    def groups(self) -> Keys | None:
        """Of what must stay together, if the task says so."""
        if not self._groups:
            return None
        missing = bytes(len(self._keys) - len(self._groups))
        return np.frombuffer(bytes(self._groups) + missing, KEY)

    @property
    def fits(self) -> NDArray[np.bool_]:
        """[rows]"""
        fits: NDArray[np.bool_] = self.set_of != _DOES_NOT_FIT
        return fits

    @property
    def label_sets(self) -> list[tuple[str, ...]]:
        """The sets of labels that rows have."""
        return list(self._sets)

    @property
    def set_of(self) -> NDArray[np.int32]:
        """[rows]: which of them each row has; -1 for rows that do not fit."""
        return np.frombuffer(self._set_of, np.int32)

    @property
    def problems(self) -> list[Problem]:
        """What is wrong with the rows that do not fit, in the order in which it was found."""
        return list(self._problems.values())
