"""What tests let lanes do instead of, or around, a trial. Sent to the lanes by value."""

import json
import time
from typing import Any

from unfreeze.tuning.orders import Assignment, Outcome
from unfreeze.tuning.trial_run import Bench, Line


def with_slow_uploads(assignment: Assignment, bench: Bench, line: Line, every_s: float) -> Outcome:
    """A trial on a store that takes a while for each object; or one that needs too much memory."""
    import torch

    from unfreeze.storage import FolderStore
    from unfreeze.tuning.trial_run import carry_out

    if assignment.order.id == "too-large":
        torch.empty(2**52)
    original = FolderStore.put

    def slow(self: FolderStore, *args: Any, **kwargs: Any) -> None:
        time.sleep(0.1)
        original(self, *args, **kwargs)

    FolderStore.put = slow  # type: ignore[method-assign]
    try:
        return carry_out(assignment, bench, line, every_s)
    finally:
        FolderStore.put = original  # type: ignore[method-assign]


def in_no_time(assignment: Assignment, bench: Bench, line: Line, every_s: float) -> Outcome:
    """A trial without a job: two validations that follow from its settings, and its record."""
    from unfreeze.tuning.files import RECORD, root_of

    rate = assignment.order.job.phases[-1].learning_rate or 0.0
    lines = []
    for epoch in (1, 2):
        accuracy = 1.0 / (1.0 + abs(rate - 3e-5) * 1e4) * epoch / 2
        scores = {"loss": 1 - accuracy, "accuracy": accuracy, "f1": accuracy}
        place = {"step": epoch, "epoch": float(epoch), "since_unfreezing": float(epoch)}
        lines.append({**place, "phase": 1, "train": scores, "validation": scores})
        line.report({**place, "accuracy": accuracy, "train_accuracy": accuracy, "gap": 0.0})
    record = {
        **{"state": "finished", "why": "ran its length", "gap": 0.0, "shared": None},
        "best": {"metric": accuracy, "train_metric": accuracy, "step": 2, "epoch": 2.0},
        "freeze": {"epochs": 0.0, "depth": 0, "share": 0.0},
        "learning_rate": rate,
        "validations": lines,
        "cost": {
            **{"seconds": 0.0, "start_up_s": 0.0, "steps_run": 2},
            **{"steps_shared": 0, "seconds_shared": 0.0, "attempts": 1},
        },
    }
    root = root_of(assignment.order.job)
    root.put(f"{assignment.order.place}/{RECORD}", json.dumps(record).encode())
    return Outcome("finished", "ran its length")
