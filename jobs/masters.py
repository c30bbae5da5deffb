"""The optimizer's own fp32 weights and moments, by model parameter, whatever the ZeRO stage."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import nn

from unfreeze.jobs.portable import MOMENTS, WEIGHT


def full_shape(parameter: Any) -> torch.Size:
    """The full shape; under ZeRO-3 the parameter itself is empty."""
    shape: torch.Size = getattr(parameter, "ds_shape", parameter.shape)
    return shape


class Masters(Protocol):
    """The optimizer's fp32 weights and moments, by model parameter, as full tensors."""

    def allocate(self, adam_steps: Sequence[int]) -> None:
        """Makes the moments, all zero, with the number of steps of each parameter group."""

    def get(self, parameter: nn.Parameter, kind: str) -> torch.Tensor:
        """A collective call under ZeRO."""

    def set(self, parameter: nn.Parameter, kind: str, value: torch.Tensor) -> None: ...


def masters_of(engine: Any) -> Masters:
    """For a DeepSpeed engine."""
    if engine.zero_optimization_stage():
        return _ZeroMasters(engine.optimizer)
    return _PlainMasters(engine.optimizer)


class _ZeroMasters:
    """ZeRO 1 to 3: flat partitions, reached through DeepSpeed's safe_get and safe_set."""

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer

    def allocate(self, adam_steps: Sequence[int]) -> None:
        zero = self._optimizer
        if hasattr(zero, "fp32_partitioned_groups_flat"):  # stage 3
            flat = zero.fp32_partitioned_groups_flat
            groups = [zero.sub_group_to_group_id[i] for i in range(len(flat))]
        else:
            flat, groups = zero.single_partition_of_fp32_groups, list(range(len(adam_steps)))
        for tensor, group in zip(flat, groups, strict=True):
            zero.optimizer.state[tensor] = _zero_moments(tensor, adam_steps[group])
        if hasattr(zero, "_lazy_init_hp_params_optimizer_state"):
            zero._lazy_init_hp_params_optimizer_state()

    def get(self, parameter: nn.Parameter, kind: str) -> torch.Tensor:
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        if kind == WEIGHT:
            full: torch.Tensor = safe_get_full_fp32_param(parameter)
        else:
            full = safe_get_full_optimizer_state(parameter, kind)
        return full.view(full_shape(parameter))

    def set(self, parameter: nn.Parameter, kind: str, value: torch.Tensor) -> None:
        from deepspeed.utils import safe_set_full_fp32_param, safe_set_full_optimizer_state

        if kind == WEIGHT:
            safe_set_full_fp32_param(parameter, value)
        else:
            safe_set_full_optimizer_state(parameter, value, kind)


class _PlainMasters:
    """ZeRO 0: torch's own optimizer in fp32, or DeepSpeed's wrapper with fp32 copies."""

    def __init__(self, optimizer: Any) -> None:
        self._inner = getattr(optimizer, "optimizer", optimizer)
        copies = getattr(optimizer, "fp32_groups", None)
        self._copies: dict[nn.Parameter, torch.Tensor] = (
            {}
            if copies is None
            else {
                low: high
                for lows, highs in zip(optimizer.fp16_groups, copies, strict=True)
                for low, high in zip(lows, highs, strict=True)
            }
        )

    def _master(self, parameter: nn.Parameter) -> torch.Tensor:
        return self._copies.get(parameter, parameter)

    def allocate(self, adam_steps: Sequence[int]) -> None:
        for group, steps in zip(self._inner.param_groups, adam_steps, strict=True):
            for tensor in group["params"]:
                self._inner.state[tensor] = _zero_moments(tensor, steps)
        # DeepSpeed's wrapper has taken a step with no gradient, which decayed its copies.
        for low, high in self._copies.items():
            high.data.copy_(low.data)

    def get(self, parameter: nn.Parameter, kind: str) -> torch.Tensor:
        master = self._master(parameter)
        tensor: torch.Tensor = master if kind == WEIGHT else self._inner.state[master][kind]
        return tensor.detach()

    def set(self, parameter: nn.Parameter, kind: str, value: torch.Tensor) -> None:
        self.get(parameter, kind).copy_(value)


def _zero_moments(tensor: torch.Tensor, steps: int) -> dict[str, torch.Tensor]:
    return {
        "step": torch.tensor(float(steps), dtype=torch.float32, device=tensor.device),
        **{kind: torch.zeros_like(tensor) for kind in MOMENTS},
    }
