"""What a model says of the examples of a split, which are shared out over the ranks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from unfreeze.jobs.data.batches import score_batches
from unfreeze.jobs.data.token_store import Split
from unfreeze.jobs.metrics import Floats
from unfreeze.jobs.tasks.task import Arrays, Decode, Task, Units


@dataclass(frozen=True)
class Scorer:
    """Runs a model over units of a split, for its task. Works without a process group, too."""

    task: Task
    pad_id: int
    batch_size: int
    """Examples per worker and forward pass."""
    decode: Decode

    def statistics(
        self, module: nn.Module, split: Split, units: Units, *, thorough: bool = False
    ) -> Floats:
        """The task's statistics of the units; [units, k]. A collective call."""
        kept = self.keep(module, split, units, thorough=thorough)
        return self.task.statistics(kept, split, units, self.decode)

    def keep(
        self, module: nn.Module, split: Split, units: Units, *, thorough: bool = False
    ) -> Arrays:
        """What the task keeps of each example of the units, in their order, on every rank.

        Arrays of [examples, ...]; what is shorter than the longest is filled up with zeros.
        Every rank runs the same number of forward passes, as ZeRO-3 needs. A collective call.
        """
        device = _device_of(module)
        examples = split.examples_of(units)
        workers, rank = _world()
        mine: list[tuple[np.ndarray, Arrays]] = []
        for parts in score_batches(split.lengths[examples], self.batch_size * workers, workers):
            places = parts[rank]
            batch = self.task.collate(split, examples[places], self.pad_id)
            kept = self.task.keep(module, to_tensors(batch, device), thorough=thorough)
            if len(places):
                mine.append((places, {name: tensor.cpu().numpy() for name, tensor in kept.items()}))
        return _put_together(_of_all_ranks(mine), len(examples))


def to_tensors(batch: Mapping[str, np.ndarray], device: Any) -> dict[str, torch.Tensor]:
    """numpy -> torch, on the device."""
    return {name: torch.from_numpy(array).to(device) for name, array in batch.items()}


def _device_of(module: nn.Module) -> torch.device:
    """Where the module computes. With ZeRO-3 and offloading its weights lie elsewhere."""
    device = next(module.parameters()).device
    if device.type == "cpu" and torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return device


def _world() -> tuple[int, int]:
    """How many ranks there are, and which is this; without a process group it is alone."""
    if not dist.is_initialized():
        return 1, 0
    return dist.get_world_size(), dist.get_rank()


def _of_all_ranks(mine: list[tuple[np.ndarray, Arrays]]) -> list[tuple[np.ndarray, Arrays]]:
    workers, _ = _world()
    if workers == 1:
        return mine
    found: list[Any] = [None] * workers
    dist.all_gather_object(found, mine)
    return [part for parts in found for part in parts]


def _put_together(parts: list[tuple[np.ndarray, Arrays]], count: int) -> Arrays:
    assert parts, "a split without rows passed the checks"
    tables: Arrays = {}
    for name, first in parts[0][1].items():
        shapes = [kept[name].shape[1:] for _, kept in parts]
        widest = tuple(max(sizes) for sizes in zip(*shapes, strict=True))
        tables[name] = np.zeros((count, *widest), first.dtype)
        for places, kept in parts:
            inner: list[Any] = [slice(size) for size in kept[name].shape[1:]]
            tables[name][(places, *inner)] = kept[name]
    return tables
