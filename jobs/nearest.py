"""Which of the known names somebody probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(given: str, known: Iterable[str]) -> str | None:
    """A name that begins like the given one, else the one that is most like it; None if none is."""
    names = list(known)
    longer = [name for name in names if given and name.startswith(given)]
    return next(iter(longer or get_close_matches(given, names, 1, 0.5)), None)


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """A sentence with the nearest name, or with all that are known."""
    names = list(known)
    near = nearest(given, names)
    return f"did you mean {near}?" if near else f"known are {', '.join(names)}"
