"""Names the parts of a model: embeddings, layer.0 ... layer.N, head; bottom to top.

No architecture is known by name. The stack of layers is found by watching one small forward pass:
it is the list of modules that are called once each, in order, and each of which is handed the very
tensor that the one before it gave back (reference: 130 Hugging Face architectures, mechanisms A1).
What runs before the stack is `embeddings`, what runs after it is `head`. In an encoder-decoder the
layers of the decoder go on counting where those of the encoder end.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import count, pairwise
from typing import Any

import torch
from torch import nn

from unfreeze.jobs.errors import ConfigError, ModelError

PROBE_TOKENS = 8


@dataclass(frozen=True)
class Block:
    """A named group of parameters."""

    name: str
    parameters: tuple[str, ...]
    """Full parameter names, as in `model.named_parameters()`."""
    modules: tuple[str, ...]
    """Full names of the modules that are in eval mode when the block is frozen."""
    lent_to: tuple[str, ...] = ()
    """Blocks above it that use a weight of this one too (tied)."""


def select_blocks(patterns: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The blocks that a phase trains, bottom to top. Raises ConfigError naming all blocks.

    `all`, `last:N` (the top N layers and the head), a block's name, or a pattern with * and ?.
    """
    chosen: set[str] = set()
    layers = [name for name in names if name.startswith("layer.")]
    for pattern in patterns:
        kind, _, count = pattern.partition(":")
        if pattern == "all":
            found = set(names)
        elif kind == "last" and count.isascii() and count.isdigit():
            top = {name for name in layers if layers.index(name) >= len(layers) - int(count)}
            found = {*top, "head"} if int(count) <= len(layers) else set()
        else:
            found = {name for name in names if fnmatchcase(name, pattern)}
        if not found:
            raise ConfigError(
                f"{pattern!r} matches no block; the blocks are {describe_blocks(names)}"
            )
        chosen |= found
    return tuple(name for name in names if name in chosen)


def describe_blocks(names: Sequence[str]) -> str:
    """Block names for people: runs of layers become "layer.0 ... layer.5"."""
    layers = [name for name in names if name.startswith("layer.")]
    numbers = [int(name.removeprefix("layer.")) for name in layers]
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    words = [
        ", ".join(f"layer.{n}" for n in run)
        if len(run) < 3
        else f"layer.{run[0]} ... layer.{run[-1]}"
        for run in runs
    ]
    others = [name for name in names if name not in layers]
    first = [name for name in others if name == "embeddings"]
    return ", ".join([*first, *words, *(name for name in others if name not in first)])


def find_blocks(model: nn.Module) -> list[Block]:
    """The blocks of a model from transformers. Raises ModelError.

    Works on the meta device too; where a model does not run there, it is moved to the CPU with
    arbitrary weights.
    """
    base: nn.Module = getattr(model, "base_model", model)
    try:
        calls = _watch(model, base)
    except ModelError:
        if next(model.parameters()).device.type != "meta":
            raise
        _leave_meta(model)
        calls = _watch(model, base)
    layers: list[nn.Module] = []
    for root in _stack_roots(base):
        layers += _find_stack(root, calls)
    layer_of = {
        module: f"layer.{i}" for i, layer in enumerate(layers) for module in layer.modules()
    }
    last = calls[layers[-1]].end
    inside = set(base.modules())

    def block_of(module: nn.Module) -> str:
        if module in layer_of:
            return layer_of[module]
        # Never called, but part of the trunk: a table that is read (DeBERTa's relative positions).
        started = calls[module].start if module in calls else -1
        return "embeddings" if module in inside and started < last else "head"

    return _group(model, block_of, layers)


def _leave_meta(model: Any) -> None:
    """For models that look at values on their way. Memory that is only read costs nothing."""
    model.to_empty(device="cpu")
    for buffer in model.buffers():
        buffer.zero_()  # positions among them: they must be valid indices
    model.tie_weights()


def _group(
    model: nn.Module, block_of: Callable[[nn.Module], str], layers: list[nn.Module]
) -> list[Block]:
    names = ["embeddings", *(f"layer.{i}" for i in range(len(layers))), "head"]
    parameters: dict[str, list[str]] = {name: [] for name in names}
    modules: dict[str, list[str]] = {name: [] for name in names}
    lent_to: dict[str, dict[str, None]] = {name: {} for name in names}
    block_of_module = {name: block_of(module) for name, module in model.named_modules()}
    blocks_of_weight: dict[nn.Parameter, list[str]] = {}
    for name, weight in model.named_parameters(remove_duplicate=False):
        owner = name.rpartition(".")[0]
        block = "head" if not owner else block_of_module[owner]
        blocks_of_weight.setdefault(weight, []).append(block)
    for name, weight in model.named_parameters():
        # A tied weight belongs to the lowest block that uses it: the embeddings, not the head.
        users = sorted(set(blocks_of_weight[weight]), key=names.index)
        parameters[users[0]].append(name)
        lent_to[users[0]] |= dict.fromkeys(users[1:])
    owners = set(_direct_owners(model, layers))
    for name, module in model.named_modules():
        holds_stack = any(layers[-1] is inner for inner in module.modules())
        # Of the modules that hold the stack, only those right around it may drop out something
        # themselves (BartEncoder does); the task's model on top belongs to no block.
        if not holds_stack or module in owners or module is layers[-1]:
            modules[block_of_module[name]].append(name)
    return [Block(n, tuple(parameters[n]), tuple(modules[n]), tuple(lent_to[n])) for n in names]


def _direct_owners(model: nn.Module, layers: list[nn.Module]) -> Iterator[nn.Module]:
    ends = {layers[0], layers[-1]}
    stacks = [m for m in model.modules() if not ends.isdisjoint(m.children())]
    for module in model.modules():
        if module in stacks or any(child in stacks for child in module.children()):
            yield module


@dataclass
class _Call:
    start: int
    end: int
    given: torch.Tensor | None
    """The hidden state that came in."""
    gave: torch.Tensor | None
    """The hidden state that went out."""
    times: int = 1


def _watch(model: nn.Module, base: nn.Module) -> dict[nn.Module, _Call]:
    calls: dict[nn.Module, _Call] = {}
    clock, handles = count(), []

    def before(module: nn.Module, args: Any, kwargs: Any) -> None:
        given = _first_tensor(args) if args else _first_tensor(list(kwargs.values()))
        if module in calls:
            calls[module].times += 1
        else:
            calls[module] = _Call(next(clock), -1, given, None)

    def after(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if calls[module].end < 0:
            calls[module].end, calls[module].gave = next(clock), _first_tensor(output)

    for module in base.modules():
        handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(module.register_forward_hook(after, with_kwargs=True))
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            base(**_probe_inputs(base))
    except Exception as error:
        raise ModelError(f"the model does not run on {PROBE_TOKENS} tokens: {error}") from error
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return calls


def _probe_inputs(base: nn.Module) -> dict[str, torch.Tensor]:
    device = next(base.parameters()).device
    tokens = torch.arange(3, 3 + PROBE_TOKENS, device=device).unsqueeze(0)
    inputs = {"input_ids": tokens}
    if getattr(base.config, "is_encoder_decoder", False):
        inputs["decoder_input_ids"] = tokens
    return inputs


def _first_tensor(value: Any) -> torch.Tensor | None:
    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return next((t for t in map(_first_tensor, value) if t is not None), None)
    return None


def _stack_roots(base: Any) -> list[nn.Module]:
    if getattr(base.config, "is_encoder_decoder", False):
        return [base.get_encoder(), base.get_decoder()]
    return [base]


def _find_stack(root: nn.Module, calls: dict[nn.Module, _Call]) -> list[nn.Module]:
    lists = [m for m in root.modules() if isinstance(m, nn.ModuleList | nn.Sequential) and len(m)]
    chains = [list(m) for m in lists if _is_chain(list(m), calls)]
    config: Any = getattr(root, "config", None)
    if not getattr(config, "is_encoder_decoder", False):
        # Fewer layers than the configuration names: part of the trunk lies outside (Funnel).
        depth = getattr(config.get_text_config(), "num_hidden_layers", None)
        chains = [chain for chain in chains if depth in (None, len(chain))]
    if not chains:
        raise ModelError(
            f"{type(root).__name__} has no stack of layers that run one after another, "
            "so there is nothing to freeze by depth"
        )
    return max(chains, key=lambda chain: sum(p.numel() for m in chain for p in m.parameters()))


def _is_chain(layers: list[nn.Module], calls: dict[nn.Module, _Call]) -> bool:
    """Called once each, in order, each given the very tensor that the one before it gave."""
    if any(layer not in calls or calls[layer].times > 1 for layer in layers):
        return False
    if any(type(layer) is not type(layers[0]) for layer in layers):
        return False
    return all(
        calls[low].end < calls[high].start and calls[low].gave is calls[high].given is not None
        for low, high in pairwise(layers)
    )
