"""What is trained when, and at which rate: all of it known before the job starts (pure)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unfreeze.jobs.blocks import Block, select_blocks
from unfreeze.jobs.config import JobConfig, PhaseConfig, Plateau, Schedule
from unfreeze.jobs.errors import ConfigError

# New heads learn at the rates of linear probes (fastai 2e-3, SetFit 1e-2, kept lower for wide
# heads); pretrained layers at BERT's 2e-5 to 5e-5.
HEAD_LEARNING_RATE = 1e-3
BODY_LEARNING_RATE = 3e-5
# Mosbach et al. (2021) and RoBERTa warm up over 6-10 % of the steps.
LAST_PHASE_WARMUP = 0.06


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A span of the job during which one fixed set of blocks is trained."""

    index: int
    """Place in the job file."""
    name: str
    """The patterns of the job file, such as "head" or "last:3"."""
    blocks: tuple[str, ...]
    """Trained blocks, bottom to top. All others are frozen."""
    max_steps: int
    """Length in optimizer steps; a plateau may end it earlier. 0: the phase is skipped."""
    patience: int | None
    """Validations without a new best before the phase ends; None: it runs its length."""
    learning_rate: float
    """Peak rate of the head; layers may have less of it (layer_decay)."""
    schedule: Schedule
    warmup_steps: int
    layer_decay: float

    def rate_at(self, step: int) -> float:
        """The learning rate of the phase's optimizer step `step`, counted from 0.

        Depends on nothing outside the phase, so trials that share a phase share its weights.
        """
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / (self.warmup_steps + 1)
        if self.schedule == "constant":
            return self.learning_rate
        done = (step - self.warmup_steps) / max(1, self.max_steps - self.warmup_steps)
        if self.schedule == "linear":
            return self.learning_rate * (1 - done)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))

    def share_of_rate(self, block: str, blocks: Sequence[str]) -> float:
        """The block's share of the phase's rate: layer_decay per block below the head."""
        return self.layer_decay ** (len(blocks) - 1 - blocks.index(block))


def plan_phases(job: JobConfig, blocks: Sequence[str], steps_per_epoch: int) -> list[Phase]:
    """All phases of the job, for a model with these blocks. Raises ConfigError.

    A phase of no length stays in the list, so that its index is that of the job file.
    """
    mistakes = []
    for index, config in enumerate(job.phases):
        try:
            select_blocks(config.train, blocks)
        except ConfigError as error:
            mistakes += [f"phases.{index}.train: {line}" for line in error.mistakes]
    if not any(config.longest.value for config in job.phases):
        mistakes.append("phases: all are empty, so there is nothing to train")
    if mistakes:
        raise ConfigError(mistakes)
    settled = settle_phases(job, blocks).phases
    return [_plan(i, config, blocks, steps_per_epoch) for i, config in enumerate(settled)]


def settle_phases(job: JobConfig, blocks: Sequence[str]) -> JobConfig:
    """The job with each phase's rate, schedule and warmup written out. Raises ConfigError.

    What is written out does not change when phases are added after it.
    """
    phases = []
    last = max((i for i, phase in enumerate(job.phases) if phase.longest.value), default=0)
    for index, phase in enumerate(job.phases):
        # A constant rate makes early phases of different lengths share their beginning.
        usual: tuple[Schedule, float] = (
            ("linear", LAST_PHASE_WARMUP) if index == last else ("constant", 0.0)
        )
        only_head = set(select_blocks(phase.train, blocks)) <= {"head"}
        is_new = only_head and job.task.has_new_head
        rate = HEAD_LEARNING_RATE if is_new else BODY_LEARNING_RATE
        settled = {
            "learning_rate": phase.learning_rate or rate,
            "schedule": phase.schedule or job.training.schedule or usual[0],
            "warmup": _first(phase.warmup, job.training.warmup, usual[1]),
        }
        phases.append(phase.model_copy(update=settled))
    return job.model_copy(update={"phases": tuple(phases)})


def check_weights(job: JobConfig, sizes: Mapping[str, int]) -> None:
    """Every phase has something to train, in blocks of these sizes. Raises ConfigError."""
    mistakes = [
        f"phases.{index}.train: {', '.join(phase.train)} has no weights of its own in this model: "
        "they are tied to those of other blocks"
        for index, phase in enumerate(job.phases)
        if phase.longest.value
        and not any(sizes[block] for block in select_blocks(phase.train, list(sizes)))
    ]
    if mistakes:
        raise ConfigError(mistakes)


def _plan(index: int, config: PhaseConfig, blocks: Sequence[str], steps_per_epoch: int) -> Phase:
    max_steps = config.longest.steps(steps_per_epoch)
    return Phase(
        index=index,
        name=", ".join(config.train),
        blocks=select_blocks(config.train, blocks),
        max_steps=max_steps,
        patience=config.length.patience if isinstance(config.length, Plateau) else None,
        learning_rate=_first(config.learning_rate),
        schedule=config.schedule or "constant",
        warmup_steps=round(_first(config.warmup) * max_steps),
        layer_decay=config.layer_decay,
    )


def frozen_ties(phases: Sequence[Phase], blocks: Sequence[Block]) -> list[str]:
    """What each phase does not train although its name may promise it: weights that a trained block
    shares with a frozen one below, a line each."""
    found = []
    for phase in phases:
        for block in blocks:
            users = [user for user in block.lent_to if user in phase.blocks]
            if not users or block.name in phase.blocks or not phase.max_steps:
                continue
            found.append(
                f"phase {phase.index} ({phase.name}): {' and '.join(users)} shares a weight with "
                f"{block.name} (tied), which is frozen, so that weight is frozen as well"
            )
    return found


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)
