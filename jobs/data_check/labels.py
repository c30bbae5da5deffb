"""How often each label stands in each split."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

from unfreeze.jobs.data_check.rows import SplitRows


@dataclass(frozen=True, slots=True)
class LabelBalance:
    """Rows with each label. Of a task whose rows have several labels, a row counts for each."""

    names: list[str]
    """The most frequent in train first."""
    rows: dict[str, list[int]]
    """Of each split, in the order of the names."""
    is_single: bool
    """Every row has one label."""


def balance(splits: Mapping[str, SplitRows]) -> LabelBalance | None:
    """None if the task has no labels."""
    counts = {name: _counted(split) for name, split in splits.items()}
    every = set(chain.from_iterable(counts.values()))
    if not every:
        return None
    names = sorted(every, key=lambda name: (-counts["train"][name], name))
    return LabelBalance(
        names,
        {split: [count[name] for name in names] for split, count in counts.items()},
        all(len(labels) == 1 for split in splits.values() for labels, _ in split.sets_there),
    )


def _counted(split: SplitRows) -> Counter[str]:
    found: Counter[str] = Counter()
    for labels, rows in split.sets_there:
        found.update(dict.fromkeys(labels, rows))
    return found
