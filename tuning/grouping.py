"""The trials of a result, put together by how long or how deep they were frozen (pure)."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.special import stdtrit

from unfreeze.jobs.page import finite

Data = Mapping[str, Any]
Range = tuple[float, float]
Group = tuple[Range, list[Data]]
"""Trials whose freeze lies between two values, and these values."""

MOST_GROUPS = 5  # more cannot be read in a sentence, nor told apart by colour


def epochs_frozen(trial: Data) -> float | None:
    """Freeze length. None for a trial that has no phases, as its settings were refused."""
    value = finite((trial.get("freeze") or {}).get("epochs"))
    return None if value is None else float(f"{value:.3g}")


def blocks_frozen(trial: Data) -> float | None:
    """Freeze depth."""
    return finite((trial.get("freeze") or {}).get("depth"))


def best_metric(trial: Data) -> float | None:
    """The trial's best validation metric."""
    return finite((trial.get("best") or {}).get("metric"))


def grouped(
    trials: Sequence[Data], value: Callable[[Data], float | None], into: int = MOST_GROUPS
) -> list[Group]:
    """The trials by `value`, the smallest first. If there are more than MOST_GROUPS values,
    neighbours are put together, into so many groups with equally many values each."""
    values = [value(trial) for trial in trials]
    known = sorted({x for x in values if x is not None})
    size = -(-len(known) // into) if len(known) > MOST_GROUPS else 1
    parts = [known[start : start + size] for start in range(0, len(known), size)]
    place = {x: i for i, part in enumerate(parts) for x in part}
    members: list[list[Data]] = [[] for _ in parts]
    for trial, x in zip(trials, values, strict=True):
        if x is not None:
            members[place[x]].append(trial)
    return [((part[0], part[-1]), some) for part, some in zip(parts, members, strict=True)]


def range_text(ends: Range) -> str:
    """2, or 0.5 to 2."""
    low, high = (f"{end:.3g}" for end in ends)
    return low if low == high else f"{low} to {high}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two of several groups of numbers."""

    difference: float
    """Mean of the second minus mean of the first."""
    spread: float | None
    """Standard deviation of a number from the mean of its group, over all groups. None if no
    group has two numbers."""
    margin: float | None
    """Half the 95 % interval of the difference, by Student's t with the pooled spread; wider for
    more groups, as the second was picked among them (Bonferroni)."""


def compare(groups: Sequence[Sequence[float]], first: int, second: int) -> Comparison:
    """The group at `second` against that at `first`; no group is empty."""
    means = [statistics.fmean(some) for some in groups]
    difference = means[second] - means[first]
    free = sum(len(some) - 1 for some in groups)
    if not free:
        return Comparison(difference=difference, spread=None, margin=None)
    squares = sum((x - mean) ** 2 for some, mean in zip(groups, means, strict=True) for x in some)
    spread = float((squares / free) ** 0.5)
    se = spread * (1 / len(groups[first]) + 1 / len(groups[second])) ** 0.5
    margin = float(stdtrit(free, 1 - 0.025 / (len(groups) - 1))) * se
    return Comparison(difference=difference, spread=spread, margin=margin)
