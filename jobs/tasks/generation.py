"""Text that a model goes on with: generated under plain modules and ZeRO-3, and measured without
anything to compare it with."""

from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from unfreeze.jobs.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import torch
    from torch import nn

REPEATED = 4
"""Length of the n-grams that count as repeated, as in work on degenerate text since Holtzman et al.
(2020): shorter ones recur in good prose too."""


class Decoding(Settings):
    """How text is generated."""

    new_tokens: Annotated[int, Field(ge=1)] = 64
    """Most tokens that are generated."""
    beams: Annotated[int, Field(ge=1)] = 1
    """Beams of the search; 1: always the likeliest token (greedy)."""
    length_penalty: float | None = None
    """With beams: more than 0 favours long texts, less than 0 short ones; null: the model's own."""
    no_repeat_ngram_size: Annotated[int, Field(ge=0)] | None = None
    """No n-gram of so many tokens comes twice, 0: any may; null: the model's own."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of text that is drawn at random: below 1 likely tokens come more often."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    """It is drawn from the likeliest tokens that have this probability together."""


def generate(
    model: "nn.Module",
    inputs: "Mapping[str, torch.Tensor]",
    decoding: Decoding,
    *,
    seeds: Sequence[int] | None = None,
) -> "tuple[torch.Tensor, torch.Tensor]":
    """What the model says: tokens, [rows, at most new_tokens], and how many of each row count.

    The end token does not count. `inputs` are `input_ids` and `attention_mask`, [rows, tokens]; for
    a decoder alone they must be padded on the left (`left_padded`). Without `seeds` it is the
    likeliest text that the search finds. With a seed for each row it is drawn, row by row, so that
    it does not depend on what else is in the batch.

    Collective under ZeRO-3: all ranks must call it together, and with seeds for as many rows.
    """
    import torch

    if seeds is not None:
        drawn = []
        for row, seed in enumerate(seeds):
            one = {name: tensor[row : row + 1] for name, tensor in inputs.items()}
            with _seeded(seed, one["input_ids"].device):
                drawn.append(_generate(model, one, decoding, drawn=True)[0])
        rows = torch.nn.utils.rnn.pad_sequence(drawn, batch_first=True, padding_value=_pad(model))
    else:
        rows = _generate(model, inputs, decoding, drawn=False)
    ends = torch.tensor(_end_tokens(model), dtype=rows.dtype, device=rows.device)
    is_end = torch.isin(rows, ends)
    whole = torch.full((len(rows),), rows.shape[1], device=rows.device)
    return rows, torch.where(is_end.any(dim=1), is_end.int().argmax(dim=1), whole)


def _generate(
    model: Any, inputs: "Mapping[str, torch.Tensor]", decoding: Decoding, *, drawn: bool
) -> "torch.Tensor":
    from transformers import GenerationConfig

    # What is not named here is the model's own, such as the token that its decoder begins with.
    config = GenerationConfig(
        max_new_tokens=decoding.new_tokens,
        do_sample=drawn,
        num_beams=1 if drawn else decoding.beams,
        length_penalty=decoding.length_penalty,
        no_repeat_ngram_size=decoding.no_repeat_ngram_size,
        temperature=decoding.temperature if drawn else 1.0,
        top_p=decoding.top_p if drawn else 1.0,
        top_k=0 if drawn else 50,  # 50 is the library's default, which it does not warn about
        pad_token_id=_pad(model),
        eos_token_id=_end_tokens(model) or None,
    )
    found: torch.Tensor = model.generate(
        **inputs, generation_config=config, synced_gpus=is_sharded(model)
    )
    given = 1 if model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
    return found[:, given:]


def make_usual(model: Any, decoding: Decoding) -> None:
    """Makes the likeliest text by `decoding` what the model generates of itself, also where it is
    exported to: so it is written into its generation_config.json."""
    usual = model.generation_config
    # What contradicts it: transformers refuses to save settings of which some have no effect.
    for name in ("max_length", "do_sample", "temperature", "top_p", "top_k"):
        setattr(usual, name, None)
    if decoding.beams == 1:
        usual.early_stopping = usual.length_penalty = None
    usual.max_new_tokens, usual.num_beams = decoding.new_tokens, decoding.beams
    for name in ("length_penalty", "no_repeat_ngram_size"):
        if (chosen := getattr(decoding, name)) is not None:
            setattr(usual, name, chosen)


def is_sharded(model: "nn.Module") -> bool:
    """Whether a forward pass is a collective call: ZeRO-3, on more than one rank."""
    import torch.distributed as dist

    several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
    return several and any(hasattr(parameter, "ds_id") for parameter in model.parameters())


def left_padded(rows: "Sequence[torch.Tensor]", pad_id: int) -> "dict[str, torch.Tensor]":
    """`input_ids` and `attention_mask` of rows of different lengths, for `generate`."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    masks = [torch.ones_like(row) for row in rows]
    return {
        name: pad_sequence(parts, batch_first=True, padding_value=fill, padding_side="left")
        for name, parts, fill in (("input_ids", list(rows), pad_id), ("attention_mask", masks, 0))
    }


def room(model: Any, new_tokens: int) -> tuple[int, int]:
    """Tokens of a prompt, and new tokens, that a decoder has positions for together."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 2**31
    new_tokens = min(new_tokens, positions // 2)
    return positions - new_tokens, new_tokens


def distinct(tokens: Sequence[int], n: int) -> float | None:
    """The share of the n-grams that differ from each other (distinct-n, Li et al., 2016); None if
    there are none."""
    grams = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    return len(set(grams)) / len(grams) if grams else None


def repetition(tokens: Sequence[int]) -> float | None:
    """The share of the 4-grams that stood in the text before; None if there are none."""
    share = distinct(tokens, REPEATED)
    return None if share is None else 1 - share


def _end_tokens(model: Any) -> list[int]:
    """Tokens that end a text, by the model's own settings."""
    ends = model.generation_config.eos_token_id
    if ends is None:
        ends = model.config.get_text_config(decoder=True).eos_token_id
    if ends is None:
        return []
    return list(ends) if isinstance(ends, list | tuple) else [ends]


def _pad(model: Any) -> int:
    pad = model.config.get_text_config(decoder=True).pad_token_id
    return int(pad if pad is not None else next(iter(_end_tokens(model)), 0))


@contextmanager
def _seeded(seed: int, device: "torch.device") -> "Iterator[None]":
    import torch

    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
