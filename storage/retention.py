"""Which checkpoints to keep: a decision, not a deed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Mode = Literal["max", "min"]


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    """One complete checkpoint, as a listing shows it."""

    id: str
    step: int
    metric: float | None
    created: str
    """ISO time, UTC."""
    size_bytes: int
    """Of its distinct blobs, some of which other checkpoints may share."""


def to_keep(
    infos: Sequence[CheckpointInfo], keep_latest: int, keep_best: int, mode: Mode
) -> set[str]:
    """Ids of the `keep_latest` newest and the `keep_best` best; of equals the earlier is better.

    Raises ValueError for keep_latest < 1: a run could no longer be resumed.
    """
    if keep_latest < 1 or keep_best < 0:
        raise ValueError(
            f"keep_latest must be 1 or more and keep_best 0 or more, "
            f"got {keep_latest} and {keep_best}"
        )
    newest = sorted(infos, key=lambda info: info.step, reverse=True)[:keep_latest]
    sign = -1 if mode == "max" else 1
    measured = [
        (sign * info.metric, info.step, info.id)
        for info in infos
        if info.metric is not None and not math.isnan(info.metric)
    ]
    return {info.id for info in newest} | {name for _, _, name in sorted(measured)[:keep_best]}
