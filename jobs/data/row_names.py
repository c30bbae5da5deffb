"""How rows are named to people: by file, number and line. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from unfreeze.jobs.data.seen_rows import MOST_NAMED


@dataclass(frozen=True, slots=True)
class Place:
    """Where people find a row."""

    row: int
    """Its number in the file, or where that is not known in the source; from 1."""
    file: str | None = None
    line: int | None = None
    """Where it begins in the file, if that is another number."""


Locate = Callable[[Sequence[int]], Sequence[Place]]
"""Says where rows of a source are; they are given by their numbers in it, from 1, in order."""


def by_number(numbers: Sequence[int]) -> list[Place]:
    """Rows of which nothing is known but their numbers."""
    return [Place(int(number)) for number in numbers]


def in_rows(count: int, first: Sequence[Place]) -> str:
    """ "in row 3 of a.csv, line 4", or "in 40 rows (a.csv: 1, 5, 9; b.csv: 2 ...)"."""
    if count == 1:
        return f"in {named(first[0])}"
    return f"in {count} rows ({_listed(count, first[:MOST_NAMED])})"


def counted(count: int, first: Sequence[Place], at_most: int = 5) -> str:
    """ "3 rows (1, 5, 9) have", up to a verb's object."""
    if count == 1:
        return f"1 row ({named(first[0])}) has"
    return f"{count} rows ({_listed(count, first[:at_most])}) have"


def named(place: Place) -> str:
    """ "row 3 of a.csv, line 4"."""
    file = f" of {place.file}" if place.file else ""
    return f"row {place.row}{file}" + (f", line {place.line}" if place.line else "")


def _listed(count: int, places: Sequence[Place]) -> str:
    parts = []
    for file, group in groupby(places, key=lambda place: place.file):
        rows = ", ".join(
            f"{place.row} = line {place.line}" if place.line else str(place.row) for place in group
        )
        parts.append(f"{file}: {rows}" if file else f"rows {rows}")
    return "; ".join(parts) + (" ..." if count > len(places) else "")
