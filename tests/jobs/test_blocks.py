"""The blocks of a dozen architectures, none of which the code knows by name."""

from collections import Counter
from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from unfreeze.jobs import ConfigError, ModelError
from unfreeze.jobs.blocks import Block, describe_blocks, find_blocks, select_blocks
from unfreeze.jobs.libraries import import_transformers
from unfreeze.jobs.model import plan_model

BERT = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
LLAMA = BERT | {"num_key_value_heads": 2}
DEBERTA = {
    "relative_attention": True,
    "position_buckets": 8,
    "pos_att_type": ["p2c", "c2p"],
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
}
SIZES: dict[str, dict[str, Any]] = {
    "bert": BERT,
    "roberta": BERT,
    "electra": BERT | {"embedding_size": 16},
    "mpnet": BERT,
    "distilbert": {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 64},
    "deberta-v2": BERT | DEBERTA,
    "modernbert": BERT | {"global_attn_every_n_layers": 2},
    "gpt2": {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64},
    "llama": LLAMA,
    "qwen2": LLAMA,
    "gemma2": LLAMA | {"head_dim": 8},
    "t5": {"d_model": 32, "d_ff": 64, "num_layers": 2, "num_heads": 4, "d_kv": 8},
    "bart": {
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "max_position_embeddings": 64,
    },
}
REFUSED: dict[str, dict[str, Any]] = {
    "albert": BERT | {"embedding_size": 16},
    "funnel": {"d_model": 32, "n_head": 4, "d_head": 8, "d_inner": 64, "block_sizes": [1, 1, 1]},
}
LAYERS = {kind: 4 if kind in ("t5", "bart") else 3 for kind in SIZES}
EMBEDDINGS = {
    "bert": "bert.embeddings.",
    "roberta": "roberta.embeddings.",
    "electra": "electra.embeddings",
    "mpnet": ("mpnet.embeddings.", "mpnet.encoder.relative_attention_bias"),
    "distilbert": "distilbert.embeddings.",
    "deberta-v2": ("deberta.embeddings.", "deberta.encoder.rel_embeddings", "deberta.encoder.Lay"),
    "modernbert": "model.embeddings.",
    "gpt2": ("transformer.wte", "transformer.wpe"),
    "llama": "model.embed_tokens.",
    "qwen2": "model.embed_tokens.",
    "gemma2": "model.embed_tokens.",
    "t5": ("transformer.shared.", "transformer.encoder.final_layer_norm."),
    "bart": ("model.shared.", "model.encoder.embed", "model.encoder.layernorm", "model.decoder."),
}
HEADS = {
    "bert": ("bert.pooler.", "classifier."),
    "roberta": "classifier.",
    "electra": "classifier.",
    "mpnet": "classifier.",
    "distilbert": ("pre_classifier.", "classifier."),
    "deberta-v2": ("pooler.", "classifier."),
    "modernbert": ("model.final_norm.", "head.", "classifier."),
    "gpt2": ("transformer.ln_f.", "score."),
    "llama": ("model.norm.", "score."),
    "qwen2": ("model.norm.", "score."),
    "gemma2": ("model.norm.", "score."),
    "t5": ("transformer.decoder.final_layer_norm.", "classification_head."),
    "bart": "classification_head.",
}


def build(kind: str, device: str = "cpu") -> nn.Module:
    transformers = import_transformers()
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "vocab_size": 64}
    config = transformers.AutoConfig.for_model(
        kind, num_labels=3, **tokens, **(SIZES | REFUSED)[kind]
    )
    with torch.device(device):
        model: nn.Module = transformers.AutoModelForSequenceClassification.from_config(config)
    return model


@cache
def real(kind: str) -> nn.Module:
    return build(kind)


@cache
def blocks_of(kind: str) -> list[Block]:
    return find_blocks(real(kind))


every_kind = pytest.mark.parametrize("kind", SIZES)


@every_kind
def test_blocks_are_named_from_bottom_to_top(kind: str) -> None:
    names = [block.name for block in blocks_of(kind)]
    assert names == ["embeddings", *(f"layer.{i}" for i in range(LAYERS[kind])), "head"]


@every_kind
def test_every_parameter_is_in_exactly_one_block(kind: str) -> None:
    found = Counter(name for block in blocks_of(kind) for name in block.parameters)
    assert found == Counter(name for name, _ in real(kind).named_parameters())


@every_kind
def test_what_comes_before_and_after_the_layers_is_embeddings_and_head(kind: str) -> None:
    embeddings, *layers, head = blocks_of(kind)
    assert all(name.startswith(EMBEDDINGS[kind]) for name in embeddings.parameters)
    assert all(name.startswith(HEADS[kind]) for name in head.parameters)
    assert not [n for layer in layers for n in layer.parameters if n.startswith(HEADS[kind])]
    assert all(layer.parameters for layer in layers)


@every_kind
def test_layers_of_a_stack_have_equal_sizes(kind: str) -> None:
    sizes = plan_model(real(kind)).sizes
    layers = [size for name, size in sizes.items() if name.startswith("layer.")]
    if kind in ("t5", "bart"):  # decoder layers look at the encoder too
        assert min(layers[2:]) > max(layers[:2])
        layers = layers[2:]
    # One layer may hold the position bias of all (T5), or lack a norm (ModernBERT).
    assert max(layers) - min(layers) <= 32 * 4
    assert sum(sizes.values()) == sum(p.numel() for p in real(kind).parameters())


@every_kind
def test_the_configuration_alone_gives_the_same_blocks_as_the_real_model(kind: str) -> None:
    model = build(kind, "meta")
    planned = plan_model(model)
    assert list(planned.blocks) == blocks_of(kind)
    assert planned.sizes == plan_model(real(kind)).sizes


@every_kind
def test_looking_for_blocks_leaves_the_model_as_it_was(kind: str) -> None:
    before = {name: tensor.clone() for name, tensor in real(kind).state_dict().items()}
    mode = real(kind).training
    find_blocks(real(kind))
    assert real(kind).training == mode
    assert all(torch.equal(before[n], t) for n, t in real(kind).state_dict().items())
    hooks = [m._forward_hooks or m._forward_pre_hooks for m in real(kind).modules()]
    assert not any(hooks)


@every_kind
def test_every_dropout_stops_when_its_block_is_frozen(kind: str) -> None:
    owners = Counter(name for block in blocks_of(kind) for name in block.modules)
    dropouts = [name for name, m in real(kind).named_modules() if isinstance(m, nn.Dropout)]
    assert {owners[name] for name in dropouts} <= {1}


def test_a_tied_weight_belongs_to_the_lowest_block_that_uses_it() -> None:
    class Tied(nn.Module):
        """A trunk, and a head that shares the embeddings' weight."""

        def __init__(self) -> None:
            super().__init__()
            self.base_model = build("bert").base_model
            self.out = nn.Linear(32, 64)
            self.out.weight = self.base_model.get_input_embeddings().weight

    blocks = {block.name: block.parameters for block in find_blocks(Tied())}
    word_embeddings = "base_model.embeddings.word_embeddings.weight"
    assert word_embeddings in blocks["embeddings"]
    assert "out.bias" in blocks["head"]
    assert "out.weight" not in [name for names in blocks.values() for name in names]


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_an_encoder_decoders_shared_embeddings_are_embeddings(kind: str) -> None:
    (shared,) = [n for n, _ in real(kind).named_parameters() if n.endswith("shared.weight")]
    assert shared in blocks_of(kind)[0].parameters


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_model_whose_layers_are_shared_or_fold_is_refused(kind: str, device: str) -> None:
    with pytest.raises(ModelError, match="no stack of layers that run one after another"):
        find_blocks(build(kind, device))


NAMES = ("embeddings", *(f"layer.{i}" for i in range(12)), "head")


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        (["head"], ["head"]),
        (["all"], NAMES),
        (["*"], NAMES),
        (["last:0"], ["head"]),
        (["last:2"], ["layer.10", "layer.11", "head"]),
        (["last:12"], NAMES[1:]),
        (["layer.1"], ["layer.1"]),
        (["layer.1?"], ["layer.10", "layer.11"]),
        (["layer.1*"], ["layer.1", "layer.10", "layer.11"]),
        (["layer.[0-2]"], ["layer.0", "layer.1", "layer.2"]),
        (["head", "embeddings"], ["embeddings", "head"]),
        (["head", "head", "last:1"], ["layer.11", "head"]),
    ],
)
def test_patterns_choose_blocks_from_bottom_to_top(patterns: list[str], chosen: list[str]) -> None:
    assert select_blocks(patterns, NAMES) == tuple(chosen)


@pytest.mark.parametrize(
    "pattern", ["haed", "last:13", "last:-1", "last:", "last:x", "layer.12", "LAYER.1", "", "layer"]
)
def test_a_pattern_that_matches_nothing_is_refused_naming_the_blocks(pattern: str) -> None:
    with pytest.raises(ConfigError) as error:
        select_blocks(["head", pattern], NAMES)
    assert str(error.value) == (
        f"{pattern!r} matches no block; the blocks are embeddings, layer.0 ... layer.11, head"
    )


def test_a_number_that_is_none_is_refused_too() -> None:
    with pytest.raises(ConfigError):
        select_blocks(["last:\u00b2"], NAMES)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["head"], "head"),
        (["embeddings", "layer.0", "layer.1", "head"], "embeddings, layer.0, layer.1, head"),
        (["layer.2", "layer.3", "layer.4", "head"], "layer.2 ... layer.4, head"),
        (["layer.0", "layer.2", "layer.3", "layer.4"], "layer.0, layer.2 ... layer.4"),
        ([], ""),
    ],
)
def test_runs_of_layers_are_said_in_short(names: list[str], text: str) -> None:
    assert describe_blocks(names) == text
