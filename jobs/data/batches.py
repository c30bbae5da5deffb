"""Which examples come together, in which order, and as which arrays. Pure numpy.

The order is a function of (seed, epoch) alone, and not of the number of workers, so that a run can
go on at any step and at another world size.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfreeze.jobs.data.token_store import IDS, Split

Rows = NDArray[np.int64]
Lengths = NDArray[np.integer]

MEGA_BATCH = 50
"""Batches that are sorted by length together. More saves more padding and shuffles less."""


def epoch_batches(lengths: Lengths, batch_size: int, seed: int, epoch: int) -> list[Rows]:
    """The global batches of one epoch. Each example comes once; only the last may be short.

    Examples of similar length share a batch, so little of it is padding, and the batches come in
    random order. The short batch is of random examples, and last so that steps count evenly.
    """
    # The raw bits of PCG64 never change between numpy's versions; its shuffle may.
    shuffle = np.random.PCG64([seed, epoch])
    order = _random_order(shuffle, len(lengths))
    whole = len(order) - len(order) % batch_size
    batches: list[Rows] = []
    for start in range(0, whole, MEGA_BATCH * batch_size):
        mega = order[start : min(start + MEGA_BATCH * batch_size, whole)]
        mega = mega[np.argsort(lengths[mega], kind="stable")]
        batches += list(mega.reshape(-1, batch_size))
    batches = [batches[i] for i in _random_order(shuffle, len(batches))]
    return [*batches, order[whole:]] if whole < len(order) else batches


def split_batch(
    batch: Rows, lengths: Lengths, workers: int, micro_batches: int
) -> list[list[Rows]]:
    """The parts of a global batch, [micro-batch][rank]; sizes differ by one at most.

    Longest first, neighbours in length on different ranks of the same micro-batch: ranks finish
    together, and what does not fit into memory fails at once. Parts of a short batch may be empty.
    """
    longest_first = batch[np.argsort(-lengths[batch], kind="stable")]
    parts = []
    dealt = 0
    for micro in np.array_split(longest_first, micro_batches):
        # The next rank goes on where the last micro-batch stopped, so ranks get equal totals.
        parts.append([micro[(rank - dealt) % workers :: workers] for rank in range(workers)])
        dealt += len(micro)
    return parts


def score_batches(lengths: Lengths, batch_size: int, workers: int) -> list[list[Rows]]:
    """Parts of all examples for scoring them once, [step][rank], longest first.

    `batch_size` is over all workers, as in training. All ranks have the same number of steps; parts
    may be empty.
    """
    order = np.argsort(-lengths, kind="stable")
    steps = (order[start : start + batch_size] for start in range(0, len(order), batch_size))
    return [[step[rank::workers] for rank in range(workers)] for step in steps]


def padded(
    split: Split, examples: Rows | Sequence[int], fill: Mapping[str, int]
) -> dict[str, NDArray[Any]]:
    """The examples as arrays, each sequence padded on the right to its longest with its `fill`.

    With `attention_mask` for the ids, and the values as they are, `weights` among them.
    For no examples it gives a made-up one, two tokens of the first example, so that a rank without
    work still takes part in the collective operations of a step. The caller must give it no weight.
    """
    nothing = not len(examples)
    examples = np.zeros(1, np.int64) if nothing else np.asarray(examples, np.int64)
    arrays = {name: values[examples] for name, values in split.values.items()}
    arrays["weights"] = split.weights[examples]
    for name, flat in split.sequences.items():
        offsets = split.offsets_of(name)
        lengths = offsets[examples + 1] - offsets[examples]
        columns = np.arange(min(2, lengths.max()) if nothing else lengths.max())
        filled = columns < lengths[:, None]
        arrays[name] = np.full(filled.shape, fill[name], np.int64)
        arrays[name][filled] = flat[(offsets[examples][:, None] + columns)[filled]]
        if name == IDS:
            arrays["attention_mask"] = filled.astype(np.int64)
    return arrays


def _random_order(bits: np.random.PCG64, count: int) -> Rows:
    return np.argsort(bits.random_raw(count), kind="stable")
