"""A job whose micro-batch is too large for its workers goes on with half of it."""

from pathlib import Path
from typing import Any

import pytest
import ray_tasks
import tiny
import worker_tasks
from worker_pool import WorkerPool

pytestmark = [pytest.mark.slow, pytest.mark.chaos]


def test_out_of_memory_halves_the_micro_batch_once_and_changes_no_loss(
    two_workers: WorkerPool, inputs: Path, tmp_path: Path, ray_address: str
) -> None:
    changes: dict[str, Any] = {"model": {"dropout": 0.0}, "training": {"batch_size": 20}}
    small = tiny.settings(inputs, storage={"uri": str(tmp_path / "small")}, **changes)
    small["training"] |= {"micro_batch_size": 5}
    two_workers.run(worker_tasks.run, small)

    large = tiny.settings(inputs, storage={"uri": str(tmp_path / "large")}, **changes)
    shown: list[dict[str, Any]] = []
    ended = ray_tasks.run(large, ray_address, shown.append, ray_tasks.train_with_little_memory)

    (halved,) = [message for message in shown if message["kind"] == "halved"]
    assert (halved["used"], halved["micro_batch_size"]) == (10, 5)
    assert "DefaultCPUAllocator" in halved["reason"]
    assert not [message for message in shown if message["kind"] == "again"]
    assert [attempt["workers"] for attempt in ended] == [2, 2]
    assert "ran out of memory" in ended[0]["ended"]
    assert worker_tasks.losses(large) == worker_tasks.losses(small)
