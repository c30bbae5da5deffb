"""In which scripts the texts are written, and which rows are not like the others in that."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from unfreeze.jobs.data_check.rows import Shown, SplitRows
from unfreeze.jobs.data_check.words import script_of

SHOWN = 3


@dataclass(frozen=True, slots=True)
class SplitScripts:
    """The scripts of one split; of the rows that are looked at."""

    shares: dict[str, float]
    """Share of the letters, the most frequent script first. Empty if there are no letters."""
    others: dict[str, int]
    """Rows by their own main script, where it is not the main script of the train split."""
    shown: list[Shown]
    """The first of them."""


def look_at_scripts(splits: Mapping[str, SplitRows]) -> dict[str, SplitScripts]:
    """A row's main script is that of most of its letters; the one to compare with is train's."""
    counts = {
        name: [count_scripts(looked.written) for looked in split.looked]
        for name, split in splits.items()
    }
    letters = {name: sum(each, Counter[str]()) for name, each in counts.items()}
    usual = _main(letters["train"])
    found = {}
    for name, split in splits.items():
        odd = [
            (looked, main)
            for looked, row in zip(split.looked, counts[name], strict=True)
            if (main := _main(row)) not in (None, usual)
        ]
        total = letters[name].total()
        found[name] = SplitScripts(
            {script: count / total for script, count in letters[name].most_common()},
            dict(Counter(main for _, main in odd if main).most_common()),
            [looked.shown() for looked, _ in odd[:SHOWN]],
        )
    return found


def count_scripts(text: str) -> Counter[str]:
    """Letters by script."""
    found: Counter[str] = Counter()
    for character, count in Counter(text).items():
        if script := script_of(character):
            found[script] += count
    return found


def _main(letters: Counter[str]) -> str | None:
    return letters.most_common(1)[0][0] if letters else None
