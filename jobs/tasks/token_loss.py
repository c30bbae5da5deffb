"""Cross-entropy over a vocabulary, for as many tokens as there are, in little memory."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

IGNORED = -100
"""The target of a token that is not predicted; torch's own."""
AT_ONCE = 2**24
"""Logits that are held in fp32 at once: 64 MiB. All at once, 8,192 tokens over 50,257 words would
cost 1.6 GB, and as much again for the backward pass."""


def summed_loss(logits: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
    """The cross-entropy in fp32, summed over the targets that are not IGNORED.

    `logits` [..., words], `targets` [...]. Part after part, and again in the backward pass, so that
    the logits in fp32 never stand in memory together.
    """
    import torch
    from torch.utils.checkpoint import checkpoint

    total = torch.zeros((), dtype=torch.float32, device=logits.device)
    for part, wanted in _parts(logits, targets):
        loss: torch.Tensor = checkpoint(
            _summed, part, wanted, use_reentrant=False, preserve_rng_state=False
        )
        total = total + loss
    return total


def token_scores(
    logits: "torch.Tensor", targets: "torch.Tensor"
) -> "tuple[torch.Tensor, torch.Tensor]":
    """The cross-entropy of each target, and whether it is the likeliest word: [...] each, fp32 and
    bool. Both are zero where the target is IGNORED. Without gradients."""
    import torch
    from torch.nn.functional import cross_entropy

    losses, right = [], []
    with torch.no_grad():
        for part, wanted in _parts(logits, targets):
            losses.append(
                cross_entropy(part.float(), wanted, reduction="none", ignore_index=IGNORED)
            )
            right.append(part.argmax(dim=-1) == wanted)
    return torch.cat(losses).view(targets.shape), torch.cat(right).view(targets.shape)


def _summed(logits: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
    from torch.nn.functional import cross_entropy

    return cross_entropy(logits.float(), targets, reduction="sum", ignore_index=IGNORED)


def _parts(
    logits: "torch.Tensor", targets: "torch.Tensor"
) -> "list[tuple[torch.Tensor, torch.Tensor]]":
    tokens = max(1, AT_ONCE // logits.shape[-1])
    flat = logits.flatten(0, -2).split(tokens)
    return list(zip(flat, targets.flatten().split(tokens), strict=True))
