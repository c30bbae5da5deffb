"""In which file people find the rows that are shown."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from unfreeze.jobs.data.row_names import Locate, named
from unfreeze.jobs.data_check.rows import Shown

T = TypeVar("T")


def with_places(found: T, source_of: Mapping[str, str], locate: Mapping[str, Locate]) -> T:
    """The same, with `place` in each Shown that is anywhere in it and comes from a file.

    `source_of`: of each split the one whose source it is cut from; `locate`: by source.
    """
    shown = list(_shown_in(found))
    places: dict[tuple[str, int], str] = {}
    for source, find in locate.items():
        rows = sorted({row.row for row in shown if source_of[row.split] == source})
        there = zip(rows, find(rows), strict=True)
        places |= {(source, row): named(place) for row, place in there if place.file}
    placed: T = _replaced(found, lambda row: places.get((source_of[row.split], row.row), ""))
    return placed


def _shown_in(found: Any) -> Iterator[Shown]:
    if isinstance(found, Shown):
        yield found
    elif isinstance(found, list | tuple):
        for each in found:
            yield from _shown_in(each)
    elif isinstance(found, dict):
        yield from _shown_in(list(found.values()))
    elif is_dataclass(found):
        yield from _shown_in([getattr(found, field.name) for field in fields(found)])


def _replaced(found: Any, place_of: Callable[[Shown], str]) -> Any:
    if isinstance(found, Shown):
        return replace(found, place=place_of(found))
    if isinstance(found, list | tuple):
        return type(found)(_replaced(each, place_of) for each in found)
    if isinstance(found, dict):
        return {key: _replaced(each, place_of) for key, each in found.items()}
    if is_dataclass(found) and not isinstance(found, type):
        kept = {f.name: _replaced(getattr(found, f.name), place_of) for f in fields(found)}
        return replace(found, **kept)
    return found
