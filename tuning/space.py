"""What a search draws from: which settings are possible, and the job of a trial (pure)."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import yaml

from unfreeze.jobs import ConfigError, JobConfig, parse_job
from unfreeze.jobs.config import Plateau
from unfreeze.jobs.lengths import Span, parse_span
from unfreeze.jobs.nearest import nearest
from unfreeze.tuning.config import Dimension

_FREEZE_LENGTH = re.compile(r"phases\.(\d+)\.for")
MOST_GRID_VALUES = 1000
"""A whole-number dimension of a grid may have so many values."""


class Chooser(Protocol):
    """Decides what is drawn. The key is given so that a chooser may learn about each."""

    def choice(self, key: str, n: int) -> int:
        """A number from 0 to n - 1."""

    def uniform(self, key: str, low: float, high: float, *, log: bool) -> float:
        """A number from low to high; with `log`, its logarithm is uniform."""

    def randint(self, key: str, low: int, high: int) -> int:
        """A number from low to high - 1."""


class Space:
    """The dimensions of a search, by dotted key of the job."""

    def __init__(self, dimensions: Mapping[str, Dimension]) -> None:
        """Raises ConfigError with all mistakes in `when`, and values that stand twice."""
        self.dimensions = dict(dimensions)
        mistakes = [line for key in self.dimensions for line in self._mistakes(key)]
        if mistakes:
            raise ConfigError(mistakes)
        self.order = self._after_what_they_depend_on(list(self.dimensions))
        """Keys in the order of drawing: that of the file, but after what they depend on."""

    def draw(self, chooser: Chooser) -> dict[str, Any]:
        """Settings of one trial, in the order of the file; only the keys that are active."""
        found: dict[str, Any] = {}
        for key in self.order:
            if self._is_active(key, found):
                found[key] = _drawn(key, self.dimensions[key], chooser)
        return self.active(found)

    def grid(self) -> Iterator[dict[str, Any]]:
        """Every combination once. Raises ConfigError at once if a dimension is continuous.

        Freeze lengths vary slowest and longest first: a long freeze computes the beginnings that
        the shorter ones share.
        """
        dimensions = self.dimensions.items()
        mistakes = [line for key, dim in dimensions for line in reasons_against_grid(key, dim)]
        if mistakes:
            raise ConfigError(mistakes)
        lengths = [key for key in self.dimensions if _FREEZE_LENGTH.fullmatch(key)]
        lengths.sort(key=lambda key: int(key.split(".")[1]))
        others = [key for key in self.dimensions if key not in lengths]
        return self._points(self._after_what_they_depend_on([*lengths, *others]), {})

    def lengths(self, key: str) -> list[Any] | None:
        """All values that the dimension can take; None if it is continuous."""
        dimension = self.dimensions[key]
        if dimension.choice is not None:
            return list(dimension.choice)
        if dimension.randint is not None:
            return [_with_unit(dimension, number) for number in range(*dimension.randint)]
        return None

    def place_of(self, key: str, value: Any) -> float | None:
        """Where the value stands in its dimension: the index of a choice, else the number.

        None if the dimension cannot take it.
        """
        dimension = self.dimensions[key]
        if dimension.choice is not None:
            same = (i for i, v in enumerate(dimension.choice) if _same(key, v) == _same(key, value))
            return next(same, None)
        if dimension.unit:
            try:
                span = parse_span(value)
            except ValueError:
                return None
            value = span.value if span.unit == dimension.unit else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        low, high = dimension.bounds
        if dimension.randint is not None:
            return int(value) if low <= value < high and value == int(value) else None
        return value if low <= value <= high else None

    def active(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings without those whose condition is not met, in the order of the file."""
        found: dict[str, Any] = {}
        for key in self.order:
            if key in settings and self._is_active(key, found):
                found[key] = settings[key]
        return {key: found[key] for key in self.dimensions if key in found}

    def condition_of(self, key: str) -> dict[str, Any]:
        """Settings under which the key is active: the first ones that `when` names."""
        found: dict[str, Any] = {}
        for other, values in (self.dimensions[key].when or {}).items():
            found |= self.condition_of(other) | {other: values[0]}
        return found

    def settings_of_default(self, base_job_data: Mapping[str, Any]) -> dict[str, Any]:
        """What the job itself has at each key, spelled as in the space; None if not set."""
        found = {}
        for key, dimension in self.dimensions.items():
            value = _look_up(base_job_data, key.split("."))
            if dimension.choice is not None and (index := self.place_of(key, value)) is not None:
                value = dimension.choice[int(index)]
            found[key] = value
        return found

    def _is_active(self, key: str, drawn: Mapping[str, Any]) -> bool:
        conditions = (self.dimensions[key].when or {}).items()
        return all(
            other in drawn and _same(other, drawn[other]) in {_same(other, v) for v in values}
            for other, values in conditions
        )

    def _points(self, keys: Sequence[str], done: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if not keys:
            yield self.active(done)
        elif not self._is_active(keys[0], done):
            yield from self._points(keys[1:], done)
        else:
            values = self.lengths(keys[0]) or []
            if _FREEZE_LENGTH.fullmatch(keys[0]):
                values.sort(key=_longest, reverse=True)
            for value in values:
                yield from self._points(keys[1:], done | {keys[0]: value})

    def _after_what_they_depend_on(self, keys: Sequence[str]) -> list[str]:
        """The keys in this order as far as `when` allows. Raises ConfigError for a cycle."""
        found: list[str] = []
        while left := [key for key in keys if key not in found]:
            ready = (k for k in left if (self.dimensions[k].when or {}).keys() <= set(found))
            following = next(ready, None)
            if following is None:
                raise ConfigError(f"space: `when` goes round in a circle: {', '.join(left)}")
            found.append(following)
        return found

    def _mistakes(self, key: str) -> Iterator[str]:
        dimension = self.dimensions[key]
        spelled: set[str] = set()
        for value in dimension.choice or ():
            if _same(key, value) in spelled:
                yield f"space.{key}.choice: {json.dumps(value)} stands there twice"
            spelled.add(_same(key, value))
        for other, values in (dimension.when or {}).items():
            where = f"space.{key}.when.{other}"
            if other not in self.dimensions:
                near = nearest(other, (k for k in self.dimensions if k != key))
                hint = f"; did you mean {near}?" if near else ""
                yield f"{where}: the space has no such key{hint}"
            elif self.dimensions[other].kind in ("uniform", "loguniform"):
                yield f"{where}: only a choice or a randint can be a condition"
            else:
                for value in values:
                    if self.place_of(other, value) is None:
                        yield f"{where}: {other} is never {json.dumps(value)}"


def reasons_against_grid(key: str, dimension: Dimension) -> list[str]:
    """Why the dimension cannot be part of a grid, and what to do; nothing if it can."""
    instead = "give a choice of values, or set searcher to random or optuna"
    if dimension.kind in ("uniform", "loguniform"):
        return [f"space.{key}: a grid cannot hold every {dimension.kind} value; {instead}"]
    if dimension.randint and dimension.randint[1] - dimension.randint[0] > MOST_GRID_VALUES:
        return [f"space.{key}: more than {MOST_GRID_VALUES} values in a grid; {instead}"]
    return []


def with_settings(base: JobConfig, settings: Mapping[str, Any]) -> JobConfig:
    """The job of a trial. Raises ConfigError with all mistakes."""
    # What contains other settings comes first, so that it does not undo them. YAML, not JSON:
    # JSON writes 1e-05, which YAML reads as text.
    overrides = [
        f"{key}={yaml.safe_dump(settings[key], default_flow_style=True, width=10**9)}"
        for key in sorted(settings, key=lambda key: key.count("."))
    ]
    return parse_job(base.to_data(), overrides)


def extremes(dimension: Dimension) -> list[Any]:
    """Every choice, or both ends of a number: if they are possible, what is between them is."""
    if dimension.choice is not None:
        return list(dimension.choice)
    low, high = dimension.randint or dimension.bounds
    return [_with_unit(dimension, low), _with_unit(dimension, high - bool(dimension.randint))]


def settings_key(settings: Mapping[str, Any]) -> str:
    """10 hex digits that are equal for equal settings, however they are spelled or ordered."""
    text = json.dumps({key: _canonical(key, value) for key, value in settings.items()}, **_COMPACT)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


_COMPACT: dict[str, Any] = {"sort_keys": True, "separators": (",", ":")}


def _same(key: str, value: Any) -> str:
    """Equal for values that mean the same; unlike ==, it tells true from 1."""
    return json.dumps(_canonical(key, value), **_COMPACT)


def _canonical(key: str, value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if key.endswith(".train") and isinstance(value, str):
        return [value]
    if key.endswith(".for") and isinstance(value, str):
        try:
            span = parse_span(value)
        except ValueError:
            return value
        return str(span) if span.value else "0ep"
    return value


def _drawn(key: str, dimension: Dimension, chooser: Chooser) -> Any:
    if dimension.choice is not None:
        return dimension.choice[chooser.choice(key, len(dimension.choice))]
    if dimension.randint is not None:
        return _with_unit(dimension, chooser.randint(key, *dimension.randint))
    low, high = dimension.bounds
    log = dimension.kind == "loguniform"
    return _with_unit(dimension, chooser.uniform(key, low, high, log=log))


def _with_unit(dimension: Dimension, number: float) -> Any:
    if not dimension.unit:
        return number
    low, high = dimension.bounds
    return str(Span(min(max(round(number, 2), low), high), dimension.unit))


def _longest(value: Any) -> tuple[bool, bool, float]:
    """Sorts lengths: none, then steps, then epochs; a plateau by the most that it may take."""
    if isinstance(value, dict):
        value = value.get("at_most", Plateau.model_fields["at_most"].default)
    try:
        span = parse_span(value)
    except ValueError:
        return False, False, 0.0
    return span.value > 0, span.unit == "ep", span.value


def _look_up(data: Any, keys: Sequence[str]) -> Any:
    """What the keys lead to in plain data; None if there is nothing."""
    for key in keys:
        if isinstance(data, list):
            data = data[int(key)] if key.isdigit() and int(key) < len(data) else None
        else:
            data = data.get(key) if isinstance(data, dict) else None
    return data
