"""DeepSpeed for one phase: exactly the phase's parameters are in its optimizer.

DeepSpeed picks its parameters once, so every phase has an engine of its own (DeepSpeed #1767,
#5341). State goes from engine to engine, and from run to run, as a PortableState.
"""

import functools
import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from unfreeze.jobs.blocks import Block
from unfreeze.jobs.config import TrainingConfig
from unfreeze.jobs.errors import LossNotFinite, ModelError
from unfreeze.jobs.host_memory import give_back_freed_memory, keep_freed_memory
from unfreeze.jobs.libraries import import_deepspeed
from unfreeze.jobs.masters import full_shape, masters_of
from unfreeze.jobs.phases import Phase
from unfreeze.jobs.portable import MOMENTS, WEIGHT, PortableState
from unfreeze.jobs.tasks.task import Task

Batch = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class MicroBatch:
    """What one worker handles at once."""

    inputs: Batch
    examples: int
    """How many of the examples count. 0: a stand-in that keeps the ranks in step."""


@dataclass(frozen=True)
class StepResult:
    """One optimizer step, the same on all ranks."""

    loss: float
    """Mean over the terms of the global batch, before the update."""
    grad_norm: float
    """Before clipping; nan if DeepSpeed did not compute it."""
    tokens: int
    """Tokens of the global batch, padding not counted."""
    flags: tuple[bool, ...] = ()
    """Those that were up on any rank."""


class PhaseEngine:
    """Trains the blocks of one phase. Use as a context manager: it is torn down at the end."""

    def __init__(
        self,
        model: nn.Module,
        blocks: Sequence[Block],
        phase: Phase,
        *,
        training: TrainingConfig,
        config: dict[str, Any],
        state: PortableState,
    ) -> None:
        """`state` must be in the model's weights already (`load_weights`)."""
        self.phase, self.blocks, self.state = phase, blocks, state
        self.updates = 0
        self._trained = [block for block in blocks if block.name in phase.blocks]
        self._parameters = {
            name: parameter for name, parameter in model.named_parameters() if parameter is not None
        }
        known = {name for block in blocks for name in block.parameters}
        if stray := self._parameters.keys() - known:
            raise ModelError(f"the model has weights that belong to no block: {sorted(stray)}")
        trained = {name for block in self._trained for name in block.parameters}
        for name, parameter in self._parameters.items():
            parameter.requires_grad_(name in trained)
        groups = self._groups(training)
        if torch.cuda.is_available():
            model.to(torch.device("cuda", torch.cuda.current_device()))
        else:
            keep_freed_memory()
        optimizer = torch.optim.AdamW(
            groups, lr=phase.learning_rate, betas=training.betas, eps=training.eps, fused=True
        )
        self._shares = [group["share"] for group in groups]
        self.engine: Any = import_deepspeed().initialize(
            model=model, optimizer=optimizer, config=config
        )[0]
        self._micro_batches: int = self.engine.gradient_accumulation_steps()
        self._masters = masters_of(self.engine)
        self._take_up(state, [group["adam_steps"] for group in groups])
        self.train()

    def __enter__(self) -> "PhaseEngine":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _groups(self, training: TrainingConfig) -> list[dict[str, Any]]:
        """Parameter groups: all of one have the same rate, decay and number of Adam steps."""
        names = [block.name for block in self.blocks]
        groups: dict[tuple[float, float, int], list[nn.Parameter]] = {}
        for block in self._trained:
            share = self.phase.share_of_rate(block.name, names)
            steps = self.state.adam_steps.get(block.name, 0)
            for parameter in map(self._parameters.__getitem__, block.parameters):
                # Biases and norms are vectors; they do not decay.
                decay = training.weight_decay if parameter.ndim > 1 else 0.0
                groups.setdefault((share, decay, steps), []).append(parameter)
        return [
            {"params": parameters, "weight_decay": decay, "share": share, "adam_steps": steps}
            for (share, decay, steps), parameters in groups.items()
        ]

    def _take_up(self, state: PortableState, adam_steps: Sequence[int]) -> None:
        self._masters.allocate(adam_steps)
        if scaler := _loss_scaler(self.engine):
            for key, value in state.loss_scale.items():
                setattr(scaler, key, value)
        for block in self._trained:
            if block.name not in state.adam_steps:
                continue
            for name in block.parameters:
                parameter = self._parameters[name]
                like = torch.empty(full_shape(parameter), device=self.engine.device)
                for kind in (WEIGHT, *MOMENTS):
                    self._masters.set(parameter, kind, state.hand_out(block.name, kind, name, like))

    def train(self) -> None:
        """Trained blocks in training mode, frozen ones in eval mode: that is what frozen means."""
        self.engine.train()
        modules = dict(self.engine.module.named_modules())
        for block in self.blocks:
            if block.name not in self.phase.blocks:
                for name in block.modules:
                    modules[name].training = False

    @contextmanager
    def scoring(self) -> Iterator[nn.Module]:
        """The module in eval mode, without gradients."""
        self.engine.eval()
        try:
            with torch.no_grad():
                yield self.engine.module
        finally:
            self.train()

    def step(
        self,
        batches: Sequence[MicroBatch],
        weight: float,
        task: Task,
        *,
        rate: float,
        flags: Sequence[bool] = (),
    ) -> StepResult:
        """One optimizer step over a global batch, of which `batches` is our part.

        `flags` are this rank's; all ranks see in the result which are up on any, at no cost.

        `weight` is that of the global batch: how many terms its loss has. Each term weighs the
        same, wherever it is: DeepSpeed takes the mean over micro-batches and workers, which
        `scale` undoes. Raises LossNotFinite on all ranks, before the update.
        """
        scale = self._micro_batches * dist.get_world_size() / weight
        sums = torch.tensor([0.0, 0.0, *flags], dtype=torch.float64, device=self.engine.device)
        for i, batch in enumerate(batches):
            outputs = self.engine(**task.model_inputs(self.engine.module, batch.inputs))
            loss = task.loss(outputs, batch.inputs)
            self.engine.backward(loss * (scale if batch.examples else 0.0))
            if batch.examples:
                tokens = task.tokens(batch.inputs).double()
                sums[:2] += torch.stack([loss.detach().double(), tokens])
            if i < len(batches) - 1:
                self.engine.step()
        dist.all_reduce(sums)
        loss_sum, tokens_sum, *flags_up = sums.tolist()
        mean = loss_sum / weight
        if not torch.isfinite(torch.tensor(mean)):
            raise LossNotFinite(mean)
        for group, share in zip(self.engine.optimizer.param_groups, self._shares, strict=True):
            group["lr"] = rate * share
        self.engine.step()
        self.updates += bool(self.engine.was_step_applied())
        norm = self.engine.get_global_grad_norm()
        norm = float("nan") if norm is None else float(norm)
        return StepResult(mean, norm, int(tokens_sum), tuple(up > 0 for up in flags_up))

    def capture(self) -> PortableState:
        """The state with the trained blocks as they are now. A collective call."""
        state = self.state.shares()
        for block in self._trained:
            for name in block.parameters:
                for kind in (WEIGHT, *MOMENTS):
                    full = self._masters.get(self._parameters[name], kind)
                    state.put(block.name, kind, name, full)
            state.adam_steps[block.name] = self.state.adam_steps.get(block.name, 0) + self.updates
        scaler = _loss_scaler(self.engine)
        state.loss_scale = {
            key: getattr(scaler, key) for key in _SCALER_STATE if hasattr(scaler, key)
        }
        return state

    def close(self) -> None:
        """Frees the engine. ZeRO-3 keeps the model alive in two globals (mechanisms B4)."""
        self.engine.destroy()
        del self.engine, self._masters, self._parameters
        release_deepspeed()


_SCALER_STATE = ("cur_scale", "cur_iter", "last_overflow_iter", "cur_hysteresis")


def _loss_scaler(engine: Any) -> Any:
    """What holds fp16's dynamic loss scale; None in other precisions."""
    if not engine.fp16_enabled():
        return None
    optimizer = engine.optimizer
    return getattr(optimizer, "loss_scaler", None) or optimizer.loss_scale_config


def release_deepspeed() -> None:
    """Lets go of what DeepSpeed's module globals hold of engines that are gone."""
    from deepspeed.runtime.zero import parameter_offload

    getattr(parameter_offload, "FWD_MODULE_STACK", []).clear()
    for thing in gc.get_objects():
        # By type: isinstance would ask dead weak references, which raise.
        if type(thing) is functools._lru_cache_wrapper and thing.__module__.startswith("deepspeed"):
            thing.cache_clear()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    give_back_freed_memory()
