"""One forward pass of a pretrained model over the rows that it is judged by, kept by content.

Of every place (an example, or a word) it keeps hidden states of a few layers, one behind the other:
fine-tuning can use what any layer knows. Of an example they are the mean and the largest value over
its tokens.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import torch
from numpy.typing import NDArray
from torch import nn

from unfreeze.jobs.compare.candidate import Candidate
from unfreeze.jobs.data.batches import score_batches
from unfreeze.jobs.data.tokenizer import decoder
from unfreeze.jobs.errors import ModelError
from unfreeze.jobs.scoring import Scorer, to_tensors

FORMAT = 1
"""Part of the key: raise it when the same pass would be kept in another way."""
MOST_STATES = 7
"""Hidden states that are kept of a place: of models with more, evenly spaced ones and the last."""
TOKENS_AT_ONCE = 2048
MEASURED = 8
"""Examples of which the memory is measured."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What an example costs on this machine, in fp32."""

    milliseconds: float
    """Of the forward pass, in batches."""
    activation_bytes: int
    """What training would keep of an example of the middle length for the backward pass."""
    peak_bytes: int | None
    """Most memory of the pass on a GPU, weights included; None without one."""


@dataclass(frozen=True)
class FrozenPass:
    """What a pass gave."""

    values: NDArray[Any]
    """Features, [places, width] in fp32; or statistics, [units, k]."""
    costs: Costs
    was_kept: bool
    """It was computed by an earlier run."""


def frozen_pass(candidate: Candidate, cache: Path) -> FrozenPass:
    """From the cache if it is there, else computed. Raises ModelError."""
    file = cache / "compare" / f"{_key(candidate)}.safetensors"
    if file.exists():
        with safetensors.safe_open(file, framework="numpy") as kept:
            costs = Costs(**json.loads(kept.metadata()["costs"]))
            return FrozenPass(kept.get_tensor("values"), costs, was_kept=True)
    found = _compute(candidate)
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".new-") as scratch:
        new = Path(scratch) / "new"
        metadata = {"costs": json.dumps(asdict(found.costs))}
        safetensors.numpy.save_file({"values": found.values}, new, metadata=metadata)
        os.replace(new, file)
    return found


def _key(candidate: Candidate) -> str:
    determined_by = {
        "format": FORMAT,
        "data": candidate.data.fingerprint,
        "weights": candidate.weights,
        "task": candidate.job.task.model_dump(mode="json"),
        "units": sha256(np.ascontiguousarray(candidate.units).tobytes()).hexdigest(),
    }
    return sha256(json.dumps(determined_by, sort_keys=True).encode()).hexdigest()[:32]


def _compute(candidate: Candidate) -> FrozenPass:
    model = candidate.build()
    began = _start_clock()
    try:
        with torch.no_grad():
            values = _features(model, candidate) if candidate.probe else _scored(model, candidate)
        seconds = time.perf_counter() - began
        peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
        activations = activation_bytes(model, candidate)
    except ModelError:
        raise
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ModelError(f"model: {candidate.name}: cannot be run: {reason}") from error
    examples = len(candidate.split.examples_of(candidate.units))
    costs = Costs(
        milliseconds=1000 * seconds / examples, activation_bytes=activations, peak_bytes=peak
    )
    return FrozenPass(values, costs, was_kept=False)


def _start_clock() -> float:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    return time.perf_counter()


def _scored(model: nn.Module, candidate: Candidate) -> NDArray[Any]:
    """The task's statistics of the model as it is."""
    longest = int(candidate.split.lengths.max())
    scorer = Scorer(
        candidate.task,
        candidate.tokenizer.pad_token_id,
        max(1, TOKENS_AT_ONCE // longest),
        decoder(candidate.tokenizer),
    )
    return scorer.statistics(model, candidate.split, candidate.units)


def _features(model: nn.Module, candidate: Candidate) -> NDArray[np.float32]:
    """[places, width]."""
    split, probe = candidate.split, candidate.probe
    assert probe is not None
    examples = split.examples_of(candidate.units)
    lengths = split.lengths[examples]
    found: NDArray[np.float32] | None = None
    for (places,) in score_batches(lengths, max(1, TOKENS_AT_ONCE // int(lengths.max())), 1):
        states, mask = hidden_states(model, candidate, examples[places])
        if probe.at is None:
            rows, values = places, pooled(states, mask)
        else:
            rows, values = _at(states, places, *probe.at)
        if found is None:
            found = np.zeros((len(probe.truth), values.shape[1]), np.float32)
        found[rows] = values.float().cpu().numpy()
    assert found is not None, "a split without rows passed the checks"
    return found


def _at(
    states: torch.Tensor,
    shown: NDArray[np.int64],
    examples: NDArray[np.int64],
    tokens: NDArray[np.int64],
) -> tuple[NDArray[np.int64], torch.Tensor]:
    """Of all places those that are in the examples that are shown, and their states."""
    place_of = np.full(int(max(examples.max(), shown.max())) + 1, -1)
    place_of[shown] = np.arange(len(shown))
    rows = np.flatnonzero(place_of[examples] >= 0)
    which = torch.from_numpy(place_of[examples[rows]]), torch.from_numpy(tokens[rows])
    return rows, states[which[0], :, which[1]].flatten(1)


def pooled(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """[examples, states, tokens, width] -> [examples, 2 * states * width]: the mean and the largest
    value over the tokens of the mask, [examples, tokens]."""
    real = mask[:, None, :, None].bool()
    mean = (states * real).sum(dim=2) / real.sum(dim=2).clamp(min=1)
    largest = states.masked_fill(~real, torch.finfo(states.dtype).min).amax(dim=2)
    return torch.cat([mean.flatten(1), largest.flatten(1)], dim=1)


def hidden_states(
    model: nn.Module, candidate: Candidate, examples: NDArray[np.int64]
) -> tuple[torch.Tensor, torch.Tensor]:
    """[examples, states, tokens, width], and the mask of real tokens, [examples, tokens]."""
    batch, inputs = _inputs(model, candidate, examples)
    outputs: Any = model(**inputs, output_hidden_states=True)
    states = getattr(outputs, "hidden_states", None)
    states = states or getattr(outputs, "decoder_hidden_states", None)
    if not states:
        raise ModelError(f"model: {candidate.name}: it gives no hidden states, so no features")
    wanted = np.linspace(0, len(states) - 1, min(len(states), MOST_STATES)).round().astype(int)
    return torch.stack([states[i] for i in wanted], dim=1), batch["attention_mask"]


def _inputs(
    model: nn.Module, candidate: Candidate, examples: NDArray[np.int64]
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    pad = candidate.tokenizer.pad_token_id
    arrays = candidate.task.collate(candidate.split, examples, pad)
    batch = to_tensors(arrays, next(model.parameters()).device)
    return batch, candidate.task.model_inputs(model, batch)


def activation_bytes(model: nn.Module, candidate: Candidate) -> int:
    """Bytes for each example that a step of training keeps for its backward pass: measured on a few
    examples of the middle length, weights not counted."""
    examples = candidate.split.examples_of(candidate.units)
    by_length = examples[np.argsort(candidate.split.lengths[examples], kind="stable")]
    start = max(0, (len(by_length) - MEASURED) // 2)
    chosen = by_length[start : start + MEASURED]
    batch, inputs = _inputs(model, candidate, chosen)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, tuple[int, torch.Tensor]] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes(), tensor  # held, so that none comes twice
        return tensor

    model.train()
    same: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor  # noqa: E731
    with torch.autograd.graph.saved_tensors_hooks(keep, same):
        candidate.task.loss(model(**inputs), batch)
    model.eval()
    return sum(size for size, _ in kept.values()) // len(chosen)
