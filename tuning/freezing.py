"""How frozen a trial is, and how long ago it was unfrozen (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from unfreeze.jobs.phases import Phase


@dataclass(frozen=True)
class Freeze:
    """How much of the model a trial keeps frozen, and for how long."""

    epochs: float
    """Epochs before anything but the head is trained; all, if nothing else ever is."""
    depth: int
    """Blocks that are frozen in the last phase."""
    share: float
    """Mean over the steps of the share of parameters that are frozen."""


def freeze_of(phases: Sequence[Phase], sizes: Mapping[str, int], steps_per_epoch: int) -> Freeze:
    """From the plan of a trial. A phase that may end at a plateau counts with its limit."""
    run = [phase for phase in phases if phase.max_steps]
    total = sum(sizes.values())
    steps = sum(phase.max_steps for phase in run)
    frozen = sum(
        phase.max_steps * (total - sum(sizes[block] for block in phase.blocks)) for phase in run
    )
    before = sum(phase.max_steps for phase in _of_the_head(run))
    return Freeze(
        before / steps_per_epoch, len(sizes) - len(run[-1].blocks), frozen / total / steps
    )


def _of_the_head(run: Sequence[Phase]) -> list[Phase]:
    """The phases at the beginning that train nothing but the head."""
    return list(takewhile(lambda phase: set(phase.blocks) == {"head"}, run))


def epochs_since_unfreezing(
    metrics: Sequence[Mapping[str, Any]], phases: Sequence[Phase], steps_per_epoch: int, step: int
) -> float:
    """Epochs that a trial has trained more than its head, at a step; 0 before that.

    A trial that never does is counted from its start. At equal epochs a long freeze looks worse
    than it is, so ASHA's rungs count these epochs (docs/search.md shows what that changes).
    """
    run = [phase for phase in phases if phase.max_steps]
    head = _of_the_head(run)
    frozen = {phase.index for phase in head} if len(head) < len(run) else set()
    began = max(
        (line["step"] for line in metrics if line["kind"] == "train" and line["phase"] in frozen),
        default=0,
    )
    return max(0, step - began) / steps_per_epoch
