"""Which part of its history a trial shares with others: keys of fork points (pure).

A fork point is the state after some step. Its key is a hash of all that determines the state, and
of nothing else: two trials with the same key have the same weights there, to the last bit.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unfreeze.jobs.lengths import Span

if TYPE_CHECKING:  # they take seconds to import
    from unfreeze.jobs.inputs import Inputs
    from unfreeze.jobs.phases import Phase
    from unfreeze.jobs.progress import Progress

AT_PLATEAU = -1
"""In place of a step: wherever the plateau ends the phase."""


@dataclass(frozen=True)
class ForkPoint:
    """A place in a trial from which other trials may start."""

    phase: int
    step_in_phase: int
    """Steps of the phase that have been taken, or AT_PLATEAU."""
    key: str

    def is_at(self, progress: "Progress", phase: "Phase") -> bool:
        """Whether the run is at this point."""
        if progress.phase != self.phase:
            return False
        if self.step_in_phase == AT_PLATEAU:
            return progress.phase_is_over(phase)
        return progress.step_in_phase == self.step_in_phase


def fork_points(
    inputs: "Inputs",
    phases: "Sequence[Phase]",
    lengths: Mapping[int, Collection[Span]],
    steps_per_epoch: int,
) -> list[ForkPoint]:
    """The fork points of a trial, in the order in which it comes to them.

    `lengths`: for each phase whose length is searched, all that it may be in this search. The end
    of the job is a point only if a longer trial goes on from it.
    """
    points: list[ForkPoint] = []
    history: list[dict[str, Any]] = []
    common = _common(inputs)
    run = [phase for phase in phases if phase.max_steps]
    for phase in run:
        description = _describe(phase)
        alike = _lengths_that_begin_alike(inputs, phase, lengths, steps_per_epoch)
        steps = sorted(step for step in alike if step < phase.max_steps)
        longer = any(step > phase.max_steps for step in alike) or _may_go_on(phase, lengths)
        if phase is not run[-1] or longer:
            steps.append(AT_PLATEAU if phase.patience else phase.max_steps)
        # Where a plateau ends also depends on its limit.
        how_long = f"plateau {phase.patience} of {phase.max_steps}" if phase.patience else ""
        for step in steps:
            place = how_long if step == AT_PLATEAU else step
            points.append(
                ForkPoint(phase.index, step, _hash([common, history, description, place]))
            )
        history.append({**description, "steps": how_long or phase.max_steps})
    return points


def _lengths_that_begin_alike(
    inputs: "Inputs", phase: "Phase", lengths: Mapping[int, Collection[Span]], steps_per_epoch: int
) -> set[int]:
    """Lengths of the phase, in steps, with which its first steps have the rates of this one."""
    if phase.schedule != "constant":
        return set()
    warmup = inputs.job.phases[phase.index].warmup or 0.0  # a share, so longer ones may have more
    steps = {span.steps(steps_per_epoch) for span in lengths.get(phase.index, ())}
    return {step for step in steps if step and round(warmup * step) == phase.warmup_steps}


def _may_go_on(phase: "Phase", lengths: Mapping[int, Collection[Span]]) -> bool:
    """Whether others may train a phase after this one, and this one as it is here.

    The last phase of a job falls unless the job says otherwise, so it seldom is the same.
    """
    later = [span for index, spans in lengths.items() if index > phase.index for span in spans]
    return phase.schedule == "constant" and any(span.value for span in later)


def _describe(phase: "Phase") -> dict[str, Any]:
    """What decides the steps of a phase, its length left out where the rate does not depend on it.

    The index is in it because the metrics name phases by it.
    """
    description: dict[str, Any] = {
        "index": phase.index,
        "blocks": phase.blocks,
        "learning_rate": phase.learning_rate,
        "schedule": phase.schedule,
        "warmup_steps": phase.warmup_steps,
        "layer_decay": phase.layer_decay,
    }
    if phase.schedule != "constant":
        description["made_for"] = phase.max_steps
    return description


def _common(inputs: "Inputs") -> dict[str, Any]:
    plain = inputs.job.to_data()
    # What of these holds for a phase is in its description.
    training = {k: v for k, v in plain["training"].items() if k not in ("warmup", "schedule")}
    return {
        "task": plain["task"],
        "weights": inputs.weights,
        "dropout": inputs.job.model.dropout,
        "data": inputs.data.fingerprint,
        "training": training,
        "deepspeed": plain["deepspeed"],
    }


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:24]
