"""Several documents in one example, which do not attend to each other.

transformers reads off positions that begin anew where one document ends and the next begins, as
long as it is given neither an attention mask nor a cache (`find_packed_sequence_indices`).
"""

from typing import TYPE_CHECKING

import numpy as np

from unfreeze.jobs.tasks.task import Units

if TYPE_CHECKING:
    import torch
    from torch import nn

    from unfreeze.jobs.data.token_store import Split

TOGETHER = (
    "the model cannot keep documents apart that share an example: it does not heed positions that "
    "begin anew (ALiBi and recurrent models do not), so each sees those before it"
)
TOLERANCE = 1e-3
"""Largest difference of logits, as a share of the largest logit, that is taken for rounding. The
sight of another document changes them by more than that, in models of random weights too."""


def positions(split: "Split", examples: Units, width: int) -> Units:
    """Of each token its place in its document, as far as that is in the example: [examples, width].

    What fills an example up on the right counts as a document of its own.
    """
    assert split.rows_begin is not None, "the split is packed"
    starts, ends = (split.offsets["input_ids"][examples + i][:, None] for i in (0, 1))
    places = starts + np.arange(width)
    row = np.searchsorted(split.rows_begin, places, side="right") - 1
    begin = np.where(places < ends, np.maximum(split.rows_begin[row], starts), ends)
    result: Units = places - begin
    return result


def longest_piece(split: "Split", example: int) -> tuple[int, int]:
    """Where the longest part of one document lies in an example: its first token, and its size."""
    size = int(split.lengths[example])
    places = positions(split, np.array([example]), size)[0]
    starts = np.flatnonzero(places == 0)
    sizes = np.diff(np.append(starts, size))
    longest = int(sizes.argmax())
    return int(starts[longest]), int(sizes[longest])


def keeps_apart(model: "nn.Module") -> bool:
    """Whether the second of two packed documents has the logits that it has alone."""
    import torch

    words = model.config.get_text_config().vocab_size  # type: ignore[union-attr, operator]
    device = next(model.parameters()).device
    first, second = (torch.arange(a, a + 4, device=device)[None] % words for a in (1, 5))
    places = torch.arange(4, device=device)[None]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            packed = _logits(model, torch.cat([first, second], 1), torch.cat([places, places], 1))
            alone = _logits(model, second, places)
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError, NotImplementedError):
        return False  # it does not take positions, or not such ones
    finally:
        model.train(was_training)
    apart = (packed[:, 4:] - alone).abs().max()
    return bool(apart <= TOLERANCE * alone.abs().max())


def _logits(model: "nn.Module", ids: "torch.Tensor", places: "torch.Tensor") -> "torch.Tensor":
    logits: torch.Tensor = model(input_ids=ids, position_ids=places, use_cache=False).logits
    return logits.float()
