"""The part of a job's state that any ZeRO stage and any number of workers can take up.

For each block that was ever trained: its fp32 weights and AdamW's moments. The blocks are shared
out over the ranks: each rank holds, writes and hands out its own, so that no rank holds a copy of
everything. A block that was never trained is the pretrained one and is not held at all.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import safetensors.torch
import torch
import torch.distributed as dist

WEIGHT = "weight"
MOMENTS = ("exp_avg", "exp_avg_sq")

_WEIGHTS_FILE = ".weights.safetensors"
_MOMENTS_FILE = ".moments.safetensors"


@dataclass
class PortableState:
    """This rank's share of the trained blocks."""

    sizes: Mapping[str, int]
    """Number of parameters of each block of the model."""
    adam_steps: dict[str, int] = field(default_factory=dict)
    """Optimizer steps that each trained block has taken; the same on all ranks."""
    loss_scale: dict[str, float] = field(default_factory=dict)
    """fp16's dynamic loss scale; empty in other precisions."""
    mine: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    """Block -> "kind:parameter" -> fp32 tensor on the CPU, for the blocks that this rank owns."""

    def owner(self, block: str) -> int:
        """The rank that holds the block: sizes are balanced, and all ranks agree."""
        loads = [0] * dist.get_world_size()
        for name in sorted(self.sizes, key=lambda name: (-self.sizes[name], name)):
            rank = loads.index(min(loads))
            if name == block:
                return rank
            loads[rank] += self.sizes[name]
        raise KeyError(block)

    def put(self, block: str, kind: str, parameter: str, tensor: torch.Tensor) -> None:
        """Takes a full tensor; all but the owner forget it at once."""
        if self.owner(block) == dist.get_rank():
            copy = tensor.detach().to("cpu", torch.float32, copy=True)
            self.mine.setdefault(block, {})[f"{kind}:{parameter}"] = copy.contiguous()

    def hand_out(self, block: str, kind: str, parameter: str, like: torch.Tensor) -> torch.Tensor:
        """The full tensor, on every rank, on the device of `like`. A collective call."""
        owner = self.owner(block)
        if owner == dist.get_rank():
            tensor = self.mine[block][f"{kind}:{parameter}"].to(like.device)
        else:
            tensor = torch.empty(like.shape, dtype=torch.float32, device=like.device)
        if dist.get_world_size() > 1:
            dist.broadcast(tensor, owner)
        return tensor

    def shares(self) -> "PortableState":
        """A state that does not change when this one takes new tensors."""
        mine = {block: dict(tensors) for block, tensors in self.mine.items()}
        return PortableState(self.sizes, dict(self.adam_steps), self.loss_scale, mine)

    def files_of(self, block: str) -> dict[str, bytes]:
        """The block as safetensors: weights and moments apart, so that the best weights of a job
        can be fetched alone."""
        tensors = self.mine[block]
        weights = {k: t for k, t in tensors.items() if k.startswith(f"{WEIGHT}:")}
        moments = {k: t for k, t in tensors.items() if k not in weights}
        return {
            block + _WEIGHTS_FILE: safetensors.torch.save(weights),
            block + _MOMENTS_FILE: safetensors.torch.save(moments),
        }

    def take_file(self, name: str, data: bytes) -> None:
        """Takes up a file that `files_of` made."""
        self.mine.setdefault(block_of_file(name), {}).update(safetensors.torch.load(data))


def block_of_file(name: str) -> str:
    """The block whose weights or moments the file holds."""
    return name.removesuffix(_WEIGHTS_FILE).removesuffix(_MOMENTS_FILE)


def weight_files(names: Iterable[str]) -> list[str]:
    """Those of the files that hold weights."""
    return [name for name in names if name.endswith(_WEIGHTS_FILE)]
