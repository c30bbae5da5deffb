"""What is trained when, and at which rate: all of it known before the job starts (pure)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from unfreeze.jobs.blocks import select_blocks
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
    phases, mistakes = [], []
    for index, config in enumerate(job.phases):
        try:
            phases.append(_plan(job, index, config, blocks, steps_per_epoch))
        except ConfigError as error:
            mistakes += [f"phases.{index}.train: {line}" for line in error.mistakes]
    if not mistakes and not any(phase.max_steps for phase in phases):
        mistakes.append("phases: all are empty, so there is nothing to train")
    if mistakes:
        raise ConfigError(mistakes)
    return phases


def _plan(
    job: JobConfig, index: int, config: PhaseConfig, blocks: Sequence[str], steps_per_epoch: int
) -> Phase:
    trained = select_blocks(config.train, blocks)
    last = index == len(job.phases) - 1
    rate = BODY_LEARNING_RATE if set(trained) - {"head"} else HEAD_LEARNING_RATE
    warmup = _first(config.warmup, job.training.warmup, LAST_PHASE_WARMUP if last else 0.0)
    max_steps = config.longest.steps(steps_per_epoch)
    return Phase(
        index=index,
        name=", ".join(config.train),
        blocks=trained,
        max_steps=max_steps,
        patience=config.length.patience if isinstance(config.length, Plateau) else None,
        learning_rate=config.learning_rate or rate,
        # A constant rate makes early phases of different lengths share their beginning.
        schedule=config.schedule or job.training.schedule or ("linear" if last else "constant"),
        warmup_steps=round(warmup * max_steps),
        layer_decay=config.layer_decay,
    )


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)
