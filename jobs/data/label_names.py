"""Labels as names, whatever a file has them as, and their order."""

import math
from collections.abc import Iterable
from typing import Any


def label_name(value: Any) -> str | None:
    """The label's name; None if there is none.

    A csv column with one empty field reads 1 as 1.0, which must not make a new label.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip() or None


def sorted_labels(labels: Iterable[str]) -> list[str]:
    """By number if all are numbers (2 before 10), else by name. The place is the label's id."""
    names = sorted(labels)
    try:
        return sorted(names, key=float)
    except ValueError:
        return names
