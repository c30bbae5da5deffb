"""The axes of a search report's parallel coordinates: where each trial stands on each (pure)."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from unfreeze.jobs.page import SPACE, apart, finite, is_share, rate, score, title
from unfreeze.tuning.grouping import Data, best_metric

Axis = dict[str, Any]
"""`name`, `ticks` as [height, text], and `heights` of the trials, from 0, the bottom, to 1; None
for a trial without a place. `fan`, of choices: how far apart trials at one tick may be drawn."""

MAX_TICK = 14  # characters
NOT_SET = -0.15  # where trials stand that do not have the setting


def parallel_axes(result: Data) -> list[Axis]:
    """One for each dimension of the space, then the metric and the gap."""
    trials, metric = result["trials"], result["metric"]
    return [
        *(_of_dimension(key, dim, trials) for key, dim in result["space"].items()),
        _of_numbers(f"best {title(metric)}", [best_metric(t) for t in trials], metric, score),
        _of_numbers(
            "gap, points" if is_share(metric) else "gap",
            [finite(t.get("gap")) for t in trials],
            metric,
            lambda x, metric: apart(x, metric).split(SPACE)[0],
        ),
    ]


def setting_text(value: Any, most: int | None = None) -> str:
    """A value of the space as people write it, in `most` characters."""
    text = value if isinstance(value, str) else json.dumps(value)
    if value is None:
        text = "not set"
    elif isinstance(value, float) and math.isfinite(value):
        text = rate(value)
    return text if most is None or len(text) <= most else f"{text[: most - 3]}..."


def _of_dimension(key: str, dimension: Data, trials: Sequence[Data]) -> Axis:
    values = [t["settings"].get(key) for t in trials]
    if dimension.get("choice") is not None:
        return _of_choices(key, dimension["choice"], values)
    unit = dimension.get("unit") or ""
    numbers = [_number(value, unit) for value in values]
    if dimension.get("loguniform") is not None:
        numbers = [x if x is None or x > 0 else None for x in numbers]
        ends = [float(end) for end in dimension["loguniform"]]
        return _with_not_set(_log_axis(key, _known(ends, numbers), numbers))
    ends = list(dimension.get("uniform") or dimension.get("randint") or ())
    if dimension.get("randint") is not None:
        ends[1] -= 1  # the upper end is not possible
    return _with_not_set(_linear_axis(key, _known(ends, numbers), numbers, unit))


def _known(ends: Sequence[float], numbers: Sequence[float | None]) -> list[float]:
    """The default may lie outside the ends."""
    return [*ends, *(x for x in numbers if x is not None)]


def _number(value: Any, unit: str) -> float | None:
    if isinstance(value, str) and unit and value.endswith(unit):
        value = value.removesuffix(unit)
    if isinstance(value, bool):
        return None
    try:
        return finite(float(value))
    except (TypeError, ValueError):
        return None


def _of_choices(key: str, choices: Sequence[Any], values: Sequence[Any]) -> Axis:
    """Ticks in the order of the space; then what only the default has."""
    spelled = [_spelled(choice) for choice in choices]
    texts = {_spelled(choice): setting_text(choice, MAX_TICK) for choice in choices}
    for value in values:
        if value is not None and _spelled(value) not in texts:
            spelled.append(_spelled(value))
            texts[spelled[-1]] = setting_text(value, MAX_TICK)
    top = max(1, len(spelled) - 1)
    heights = {one: i / top if len(spelled) > 1 else 0.5 for i, one in enumerate(spelled)}
    return _with_not_set(
        {
            "name": key,
            "ticks": [[heights[one], texts[one]] for one in spelled],
            "heights": [None if v is None else heights[_spelled(v)] for v in values],
            "fan": 0.12 / top,
        }
    )


def _spelled(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True)


def _linear_axis(
    name: str, known: Sequence[float], numbers: Sequence[float | None], unit: str = ""
) -> Axis:
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    size = high - low
    ticks = [low, (low + high) / 2, high] if size else [low]
    return {
        "name": name,
        "ticks": [[(x - low) / size if size else 0.5, f"{x:.3g}{unit}"] for x in ticks],
        "heights": [_height(x, low, size) for x in numbers],
    }


def _log_axis(name: str, known: Sequence[float], numbers: Sequence[float | None]) -> Axis:
    """Ticks at both ends and at the powers of ten that are not too near to them."""
    logs = [None if x is None else math.log10(x) for x in numbers]
    low, high = math.log10(min(known)), math.log10(max(known))
    size = high - low
    room = 0.1 * size
    tens = [p for p in range(math.ceil(low), math.floor(high) + 1) if low + room < p < high - room]
    ticks = [low, *tens, high] if size else [low]
    return {
        "name": name,
        "ticks": [[(p - low) / size if size else 0.5, rate(10.0**p)] for p in ticks],
        "heights": [_height(x, low, size) for x in logs],
    }


def _of_numbers(
    name: str,
    numbers: Sequence[float | None],
    metric: str,
    say: Callable[[float, str], str],
) -> Axis:
    known = [x for x in numbers if x is not None]
    axis = _linear_axis(name, known, numbers)
    if not known:
        return axis | {"ticks": []}
    low, high = min(known), max(known)
    ends = [low, high] if high > low else [low]
    ticks = [[i if high > low else 0.5, say(x, metric)] for i, x in enumerate(ends)]
    return axis | {"ticks": ticks}


def _height(x: float | None, low: float, size: float) -> float | None:
    if x is None:
        return None
    return round((x - low) / size, 4) if size else 0.5


def _with_not_set(axis: Axis) -> Axis:
    """A place for the trials that do not have the setting, if there are any."""
    if None not in axis["heights"]:
        return axis
    heights = [NOT_SET if height is None else height for height in axis["heights"]]
    return axis | {"heights": heights, "ticks": [*axis["ticks"], [NOT_SET, "not set"]]}
