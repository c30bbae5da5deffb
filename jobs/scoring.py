"""Logits of a whole split, the rows shared out over the ranks."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from unfreeze.jobs.batches import collate, score_batches
from unfreeze.jobs.dataset import Split


def score(
    module: nn.Module, split: Split, rows: np.ndarray, *, pad_id: int, batch_size: int
) -> np.ndarray:
    """Logits of `rows`, fp32, in their order, on every rank; [len(rows), num_labels].

    Every rank runs the same number of forward passes, as ZeRO-3 needs. A collective call.
    """
    device = next(module.parameters()).device
    if device.type == "cpu" and torch.cuda.is_available():
        device = torch.device("cuda", torch.cuda.current_device())
    table: torch.Tensor | None = None
    workers, rank = dist.get_world_size(), dist.get_rank()
    for parts in score_batches(split.lengths[rows], batch_size * workers, workers):
        inputs = to_tensors(collate(split, rows[parts[rank]], pad_id), device)
        inputs.pop("labels")
        logits = module(**inputs).logits.float()
        if table is None:
            table = torch.zeros(len(rows), logits.shape[-1], device=device)
        if len(parts[rank]):
            table[torch.from_numpy(parts[rank])] = logits
    assert table is not None, "an empty split passed the checks"
    if workers > 1:
        dist.all_reduce(table)  # each row is zero on all ranks but one
    result: np.ndarray = table.cpu().numpy()
    return result


def to_tensors(batch: Mapping[str, np.ndarray], device: Any) -> dict[str, torch.Tensor]:
    """numpy -> torch, on the device."""
    return {name: torch.from_numpy(array).to(device) for name, array in batch.items()}
