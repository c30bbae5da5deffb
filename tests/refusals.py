"""What tests of refused commands share."""

import re
from collections.abc import Callable
from typing import Any

Run = Callable[..., tuple[int, list[str]]]


def in_one_worker(**changes: Any) -> dict[str, Any]:
    return {"scale": {"workers": 1, "gpus_per_worker": 0}, **changes}


def check_lines(lines: list[str], *patterns: str) -> None:
    assert all(line.startswith("error: ") for line in lines), lines
    assert len(lines) == len(patterns), lines
    for line, pattern in zip(lines, patterns, strict=True):
        assert re.search(pattern, line), line
