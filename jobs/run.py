"""One worker's view of a job: what the loop asks for, by the words that the loop uses."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from unfreeze.jobs.checkpointing import (
    BEST_STATISTICS_FILE,
    METRICS_FILE,
    Checkpointer,
    Notes,
    Tell,
)
from unfreeze.jobs.companion import Alone, Companion
from unfreeze.jobs.config import JobConfig
from unfreeze.jobs.data.batches import epoch_batches, split_batch
from unfreeze.jobs.data.dataset import PreparedData
from unfreeze.jobs.engine import MicroBatch, PhaseEngine, StepResult
from unfreeze.jobs.errors import LossNotFinite, NodeLeaving, RunStopped
from unfreeze.jobs.host_memory import peak_memory_bytes
from unfreeze.jobs.lengths import Span
from unfreeze.jobs.metrics import Floats, from_bytes, scores_of, to_bytes
from unfreeze.jobs.model import ModelPlan
from unfreeze.jobs.notices import Heard, Notices
from unfreeze.jobs.phases import Phase
from unfreeze.jobs.portable import WEIGHT, PortableState
from unfreeze.jobs.progress import Progress
from unfreeze.jobs.scoring import Scorer, to_tensors
from unfreeze.jobs.tasks.task import Task
from unfreeze.jobs.zero import BatchPlan


@dataclass
class Run:
    """A job as one worker sees it."""

    job: JobConfig
    phases: Sequence[Phase]
    model_plan: ModelPlan
    data: PreparedData
    batches: BatchPlan
    task: Task
    deepspeed: dict[str, Any]
    build_model: Callable[[], nn.Module]
    """The pretrained model with its new head, the same at each call."""
    pad_id: int
    decode: Callable[[Sequence[int]], str]
    """Tokens to text."""
    checkpointer: Checkpointer
    tell: Tell
    companion: Companion = field(default_factory=Alone)
    notices: Notices = field(default_factory=Notices)
    heard: Heard = field(default_factory=Heard)
    """What any of the workers had heard by the last step."""
    metrics: list[dict[str, Any]] = field(default_factory=list)
    """What was measured so far, in the order of steps."""
    best_statistics: Floats | None = None
    """The task's statistics of the validation rows at the best validation so far; [units, k]."""
    _epoch: tuple[int, list[np.ndarray]] = (-1, [])

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.data.splits["train"]) // self.batches.batch_size)

    @property
    def scorer(self) -> Scorer:
        """Scores twice as many examples at once as are trained on: nothing is kept for backward."""
        return Scorer(self.task, self.pad_id, 2 * self.batches.micro_batch_size, self.decode)

    def is_due(self, step: int, every: Span) -> bool:
        return step % every.steps(self.steps_per_epoch) == 0

    def batch(self, step: int) -> np.ndarray:
        """Examples of a global batch: a function of seed and step, and not of the workers."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._epoch[0] != epoch:
            lengths, seed = self.data.splits["train"].lengths, self.job.training.seed
            self._epoch = epoch, epoch_batches(lengths, self.batches.batch_size, seed, epoch)
        return self._epoch[1][place]

    def micro_batches(self, batch: np.ndarray) -> list[MicroBatch]:
        """This worker's part of a global batch."""
        split = self.data.splits["train"]
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        parts = split_batch(batch, split.lengths, self.batches.workers, self.batches.micro_batches)
        mine = [ranks[dist.get_rank()] for ranks in parts]
        return [
            MicroBatch(to_tensors(self.task.collate(split, part, self.pad_id), device), len(part))
            for part in mine
        ]

    def weight(self, batch: np.ndarray) -> float:
        """How many terms the loss of a global batch has; 1 if it has none, as a divisor."""
        return float(self.data.splits["train"].weights[batch].sum()) or 1.0

    def seed_draws(self, step: int) -> None:
        """Dropout is drawn afresh for each step and rank, so a restart needs no saved state."""
        entropy = [self.job.training.seed, step, dist.get_rank()]
        seed = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
        torch.manual_seed(seed % 2**63)

    def open_engine(self, phase: Phase, state: PortableState, progress: Progress) -> PhaseEngine:
        """The engine of a phase, on the pretrained weights and what was trained since."""
        model = self.build_model()
        load_weights(model, self.model_plan, state)
        if self.job.training.gradient_checkpointing:
            # The reentrant kind loses gradients above a frozen block (mechanisms A3).
            model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
        engine = PhaseEngine(
            model,
            self.model_plan.blocks,
            phase,
            training=self.job.training,
            config=self.deepspeed,
            state=state,
        )
        self.tell(
            "phase",
            index=phase.index,
            name=phase.name,
            blocks=list(phase.blocks),
            trained_parameters=self._trained(phase),
            total_parameters=sum(self.model_plan.sizes.values()),
            step=progress.step,
            end_step=progress.phase_start + phase.max_steps,
            plateau=phase.patience is not None,
            learning_rate=phase.learning_rate,
        )
        return engine

    def has_done(self, phase: Phase, progress: Progress) -> bool:
        """Whether nothing of the phase is left to do, not even to validate its end."""
        return progress.phase_is_over(phase) and not self.has_to_validate_its_end(phase, progress)

    def has_to_validate_its_end(self, phase: Phase, progress: Progress) -> bool:
        """Whether the phase has run its length and was not validated there."""
        ended = 0 < phase.max_steps == progress.step_in_phase
        return ended and progress.metric_here is None

    def validate(self, engine: PhaseEngine, progress: Progress) -> bool:
        """Scores the validation rows, and as many training rows; whether it is the best so far."""
        scores = {}
        thorough = any(m.thorough for m in self.task.metrics if m.name == self.job.metric)
        with engine.scoring() as module:
            for name in ("train", "validation"):
                split = self.data.splits[name]
                statistics = self.scorer.statistics(
                    module, split, self._sample(name), thorough=thorough
                )
                scores[name] = scores_of(self.task.metrics, statistics)
        metric = scores["validation"].get(self.job.metric, float("nan"))
        best = progress.note_validation(metric, self.job.mode)
        if best:
            self.best_statistics = statistics  # those of the validation rows, scored last
        line = {
            "kind": "validation",
            "step": progress.step,
            "epoch": progress.step / self.steps_per_epoch,
            "phase": engine.phase.index,
            **scores,
            "best": best,
        }
        self.metrics.append(line)
        self.tell(**line)
        return best

    def _sample(self, name: str) -> np.ndarray:
        """Units to score: all, but of the training rows only as many as there are to validate.

        The same each time; without dropout, so that the gap compares like with like.
        """
        count = self.data.splits[name].units
        if name != "train":
            return np.arange(count)
        wanted = min(count, self.data.splits["validation"].units)
        return np.sort(np.random.default_rng(0).permutation(count)[:wanted])

    def publish_fork(self, engine: PhaseEngine, progress: Progress) -> None:
        """Publishes the state if other runs may start from here.

        Before a phase's end is noted: a run whose phase is longer can go on from it just as well.
        """
        if forks := self.companion.forks_at(progress):
            state = engine.capture()
            for fork in forks:
                self.checkpointer.publish(fork, state, progress, self.notes())

    def wants_checkpoint(self, progress: Progress, *, is_best: bool) -> bool:
        """Raises RunStopped, on all ranks after the same step, if the companion wants an end."""
        is_due = self.is_due(progress.step, self.job.checkpoints.every)
        signals = self.companion.signals(is_best=is_best, is_due=is_due)
        if signals.stop:
            raise RunStopped(progress.step)
        return signals.checkpoint or any(self.heard)

    def leave_if_noticed(self, progress: Progress) -> None:
        """After a notice: waits until this step's checkpoint is in the store, and raises
        NodeLeaving, on all ranks after the same step."""
        if any(self.heard):
            kept = self.checkpointer.wait()
            self.tell("leaving", step=progress.step, asked=self.heard.asked, kept=kept)
            raise NodeLeaving(progress.step, self.heard.asked)

    def save_checkpoint(self, state: PortableState, progress: Progress) -> None:
        self.checkpointer.save(state, progress, self.notes())

    def save_phase_end(self, state: PortableState, progress: Progress) -> None:
        signals = self.companion.signals(is_best=progress.best_step == progress.step, is_due=True)
        if signals.stop and progress.phase < len(self.phases):
            raise RunStopped(progress.step)
        if signals.checkpoint or any(self.heard):
            self.save_checkpoint(state, progress)

    def notes(self) -> Notes:
        """What goes into a checkpoint beside the state."""
        notes = {METRICS_FILE: self.metrics_bytes()}
        if self.best_statistics is not None:
            notes[BEST_STATISTICS_FILE] = to_bytes(self.best_statistics)
        return notes

    def take_up_notes(self, notes: Notes) -> None:
        self.metrics = [json.loads(line) for line in notes[METRICS_FILE].splitlines()]
        if BEST_STATISTICS_FILE in notes:
            self.best_statistics = from_bytes(notes[BEST_STATISTICS_FILE])

    def metrics_bytes(self) -> bytes:
        """The metrics as JSON lines."""
        return "".join(json.dumps(line) + "\n" for line in self.metrics).encode()

    @contextmanager
    def clock(self, progress: Progress) -> Iterator[None]:
        """Adds the time of a step to the phase; says where a loss that is not finite came up."""
        began = time.perf_counter()
        try:
            yield
        except LossNotFinite as error:
            name = self.phases[progress.phase].name
            raise LossNotFinite(error.value, progress.step, name) from None
        progress.phase_seconds += time.perf_counter() - began

    def note_step(self, phase: Phase, result: StepResult, progress: Progress) -> None:
        line = {
            "kind": "train",
            "step": progress.step,
            "epoch": progress.step / self.steps_per_epoch,
            "phase": phase.index,
            "loss": result.loss,
            "learning_rate": phase.rate_at(progress.step_in_phase - 1),
            "grad_norm": result.grad_norm,
        }
        self.metrics.append(line)
        self.heard = Heard(*result.flags)
        self.tell(**line, tokens=result.tokens)

    def note_phase_end(self, phase: Phase, progress: Progress) -> None:
        progress.phases.append(
            {
                "index": phase.index,
                "name": phase.name,
                "blocks": list(phase.blocks),
                "trained_parameters": self._trained(phase),
                "total_parameters": sum(self.model_plan.sizes.values()),
                "from_step": progress.phase_start,
                "steps": progress.step_in_phase,
                "learning_rate": phase.learning_rate,
                "seconds": progress.phase_seconds,
                "peak_memory_bytes": peak_memory_bytes(),
                "ended": "plateau" if progress.is_on_plateau(phase) else "length",
            }
        )

    def _trained(self, phase: Phase) -> int:
        return sum(self.model_plan.sizes[block] for block in phase.blocks)


def load_weights(model: nn.Module, plan: ModelPlan, state: PortableState) -> None:
    """Puts the trained blocks' weights over the pretrained ones. A collective call."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for block in plan.blocks:
            if block.name in state.adam_steps:
                for name in block.parameters:
                    weight = parameters[name]
                    weight.copy_(state.hand_out(block.name, WEIGHT, name, weight))
