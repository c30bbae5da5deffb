"""Which row of which file a row of a source is. Asked only when there is something to say about
rows, for files must be read for it."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from unfreeze.jobs.config import SourceConfig
from unfreeze.jobs.data.file_kinds import Kind, lines_of
from unfreeze.jobs.data.row_files import kind_of_all, rows_in
from unfreeze.jobs.data.row_names import Locate, Place, by_number
from unfreeze.jobs.data.sources import files_of


def origin_of(
    source: SourceConfig, split: str, *, endpoint: str | None, cache_folder: Path
) -> Locate:
    """Where the rows of a source are that was read before with the same settings."""

    @cache
    def origin() -> Locate:
        files = files_of(source, split, endpoint=endpoint, cache=cache_folder, fetch=False)
        if files is None:
            return by_number
        return Origin(files, kind_of_all(list(files), source, f"data.{split}"))

    return lambda numbers: origin()(numbers) if numbers else []


class Origin:
    """The files of a source."""

    def __init__(self, files: Mapping[Path, str], kind: Kind) -> None:
        """`files`: with what people call them."""
        self._files, self._names, self._kind = list(files), list(files.values()), kind
        self._counts: list[int] = []

    def __call__(self, numbers: Sequence[int]) -> list[Place]:
        """Places of rows, by their numbers in the source, from 1 and ascending."""
        found: list[Place] = []
        rest, before = list(numbers), 0
        for i, file in enumerate(self._files):
            is_last = i == len(self._files) - 1
            end = max(rest, default=0) if is_last else before + self._count(i)
            inside = [number - before for number in rest if number <= end]
            rest, before = rest[len(inside) :], end
            if inside:
                lines = self._lines(file, inside)
                found += [
                    Place(row, self._names[i], line)
                    for row, line in zip(inside, lines, strict=True)
                ]
            if not rest:
                break
        return found

    def _count(self, i: int) -> int:
        while len(self._counts) <= i:
            self._counts.append(rows_in(self._files[len(self._counts)], self._kind))
        return self._counts[i]

    def _lines(self, file: Path, rows: Sequence[int]) -> Iterator[int | None]:
        known = lines_of(file, self._kind, rows)
        return (None if (line := known.get(row)) == row else line for row in rows)
