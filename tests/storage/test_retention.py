"""Which checkpoints are kept: a pure function, so a table."""

import math

import pytest

from unfreeze.storage import CheckpointInfo, to_keep
from unfreeze.storage.retention import Mode


def infos(*metrics: float | None) -> list[CheckpointInfo]:
    """Checkpoints of steps 1, 2, 3 ... with these metrics."""
    return [
        CheckpointInfo(str(step), step, metric, "2025-01-01T00:00:00+00:00", 1)
        for step, metric in enumerate(metrics, start=1)
    ]


@pytest.mark.parametrize(
    ("metrics", "latest", "best", "mode", "kept"),
    [
        ([], 1, 1, "max", ""),
        ([0.1, 0.9, 0.5], 1, 0, "max", "3"),
        ([0.1, 0.9, 0.5], 1, 1, "max", "23"),
        ([0.1, 0.9, 0.5], 1, 1, "min", "13"),
        ([0.1, 0.9, 0.5], 2, 1, "max", "23"),
        ([0.1, 0.9, 0.5], 9, 9, "max", "123"),
        ([0.5, 0.5, 0.5, 0.1], 1, 1, "max", "14"),  # of equals the earlier
        ([None, 0.2, None], 1, 2, "max", "23"),
        ([math.nan, 0.2, 0.1], 1, 1, "min", "3"),
        ([math.nan, 0.2, 0.1], 1, 1, "max", "23"),
    ],
)
def test_the_newest_and_the_best_are_kept(
    metrics: list[float | None], latest: int, best: int, mode: Mode, kept: str
) -> None:
    assert to_keep(infos(*metrics), latest, best, mode) == set(kept)
    assert to_keep(infos(*metrics)[::-1], latest, best, mode) == set(kept)


@pytest.mark.parametrize(("latest", "best"), [(0, 1), (1, -1)])
def test_a_run_can_always_be_resumed(latest: int, best: int) -> None:
    with pytest.raises(ValueError, match="keep_latest must be 1 or more"):
        to_keep(infos(0.1), latest, best, "max")
