"""The pretrained model: found, checked, described without its weights, and built."""

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import nn

from unfreeze.jobs.blocks import Block, find_blocks
from unfreeze.jobs.config import ModelConfig
from unfreeze.jobs.data.tokenizer import load_tokenizer
from unfreeze.jobs.errors import ModelError
from unfreeze.jobs.libraries import import_transformers
from unfreeze.jobs.tasks.task import Task
from unfreeze.storage import fetch_uri

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True)
class ModelPlan:
    """What a model is made of."""

    blocks: tuple[Block, ...]
    sizes: dict[str, int]
    """Parameters in each block."""

    @property
    def names(self) -> tuple[str, ...]:
        """Block names, bottom to top."""
        return tuple(self.sizes)


def locate_model(model: ModelConfig, *, endpoint: str | None, cache: Path) -> str:
    """The local folder with the model; s3:// uris and hub ids are fetched. Raises ModelError."""
    path = Path(model.path).expanduser()
    if model.path.startswith("s3://"):
        path = cache / "models" / hashlib.sha256(model.path.encode()).hexdigest()[:16]
        fetch_uri(model.path, path, endpoint)
    elif not path.exists():
        if not _HUB_ID.fullmatch(model.path):
            raise ModelError(f"model: {model.path}: no such folder")
        path = _fetch_from_hub(model)
    _check_folder(model.path, path)
    return str(path.resolve())


def _fetch_from_hub(model: ModelConfig) -> Path:
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
    if model.trust_remote_code:
        patterns.append("*.py")
    try:
        found = snapshot_download(model.path, revision=model.revision, allow_patterns=patterns)
        if not weight_paths(Path(found)):  # an old model, with weights of torch's own kind
            patterns += ["pytorch_model*"]
            found = snapshot_download(model.path, revision=model.revision, allow_patterns=patterns)
    except Exception as error:  # the hub client raises a dozen kinds
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"model: {model.path}: no such folder, and the hub does not have it: {reason}"
        ) from error
    return Path(found)


def _check_folder(name: str, folder: Path) -> None:
    if not folder.is_dir():
        raise ModelError(f"model: {name}: not a folder")
    if not (folder / "config.json").is_file():
        raise ModelError(f"model: {name}: no config.json in it, so it is not a model folder")
    if not weight_paths(folder):
        raise ModelError(f"model: {name}: a model folder without weights (no *.safetensors)")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"model: {name}: config.json is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise ModelError(f"model: {name}: config.json holds no settings (key: value)")
    for path in folder.glob("*.safetensors"):
        try:
            with safetensors.safe_open(path, framework="pt"):
                pass
        except (safetensors.SafetensorError, OSError) as error:
            raise ModelError(
                f"model: {name}: {path.name} is not a whole safetensors file: {error}"
            ) from error


def weight_paths(folder: Path) -> list[Path]:
    """The files with the weights; safetensors if there are any."""
    for pattern in _WEIGHTS:
        if found := sorted(folder.glob(pattern)):
            return found
    return []


def weights_hash(located: str) -> str:
    """SHA-256 over the weight files and the configuration."""
    folder, digest = Path(located), hashlib.sha256()
    for path in [folder / "config.json", *weight_paths(folder)]:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def longest_input(located: str, model: ModelConfig) -> int:
    """The most tokens that model and tokenizer take."""
    config = _load_config(located, model, {}).get_text_config()
    positions = getattr(config, "max_position_embeddings", None) or 2**31
    tokenizer = load_tokenizer(located, model)
    return min(int(positions), int(min(tokenizer.model_max_length, 2**31)))


def describe_model(located: str, model: ModelConfig, task: Task) -> ModelPlan:
    """The blocks and their sizes, from the configuration and the names of the weights. Raises
    ModelError."""
    auto = getattr(import_transformers(), task.auto_model)
    config = _load_config(located, model, task.configuration())
    try:
        with torch.device("meta"):
            empty = auto.from_config(config, trust_remote_code=model.trust_remote_code)
        _untie(empty, Path(located))
        return plan_model(empty)
    except Exception as error:  # as above; among them our own, which names no path
        raise ModelError(f"model: {model.path}: {_first_line(error)}") from error


def _untie(model: Any, folder: Path) -> None:
    """Takes apart weights that are tied by the configuration and differ in the files, as
    from_pretrained does: T5 1.1 and Flan-T5 have an output layer of their own."""
    file_of: dict[str, Path] = {}
    for path in folder.glob("*.safetensors"):
        with safetensors.safe_open(path, framework="pt") as file:
            file_of |= dict.fromkeys(file.keys(), path)

    def read(name: str) -> torch.Tensor:
        with safetensors.safe_open(file_of[name], framework="pt") as file:
            tensor: torch.Tensor = file.get_tensor(name)
        return tensor

    for name, source in model.all_tied_weights_keys.items():
        if {name, source} <= file_of.keys() and not torch.equal(read(name), read(source)):
            owner, _, own = name.rpartition(".")
            weight = nn.Parameter(torch.empty_like(model.get_parameter(source)))
            setattr(model.get_submodule(owner), own, weight)


def plan_model(model: nn.Module) -> ModelPlan:
    """The blocks of a model and their sizes."""
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    blocks = find_blocks(model)
    return ModelPlan(
        tuple(blocks), {block.name: sum(sizes[p] for p in block.parameters) for block in blocks}
    )


def build_model(
    located: str, model: ModelConfig, task: Task, *, seed: int, pad_token_id: int
) -> nn.Module:
    """The pretrained model in fp32; if its head is new, `seed` decides the head's weights.

    Raises ModelError where other weights than a head's are missing or of another shape: what is
    loaded would be no pretrained model.
    """
    auto = getattr(import_transformers(), task.auto_model)
    config = _load_config(located, model, task.configuration())
    if config.get_text_config().pad_token_id is None:
        config.get_text_config().pad_token_id = pad_token_id
    torch.manual_seed(seed)
    built, loading = auto.from_pretrained(
        located,
        config=config,
        dtype=torch.float32,
        trust_remote_code=model.trust_remote_code,
        ignore_mismatched_sizes=True,  # a head for another number of labels
        output_loading_info=True,
    )
    new = {name: "is missing" for name in loading["missing_keys"]} | {
        name: f"has the shape {list(there)}, and config.json says {list(expected)}"
        for name, there, expected in loading["mismatched_keys"]
    }
    if strange := _outside_the_head(built, new):
        raise ModelError(
            f"model: {model.path}: the weights do not fit: {strange[0]} {new[strange[0]]} "
            f"({len(strange)} such in all)"
        )
    typed: nn.Module = built
    return typed


def _outside_the_head(model: Any, names: Collection[str]) -> list[str]:
    """Which of the weights are the trunk's."""
    inside = {name for name, _ in model.base_model.named_parameters()}
    prefix = "" if model.base_model is model else f"{model.base_model_prefix}."
    trunk = sorted(name for name in names if name.removeprefix(prefix) in inside)
    if not trunk:  # so it is almost always, and finding blocks is a forward pass
        return []
    head = find_blocks(model)[-1]
    return [name for name in trunk if name not in head.parameters]


def _load_config(located: str, model: ModelConfig, changes: Mapping[str, Any]) -> Any:
    try:
        config = import_transformers().AutoConfig.from_pretrained(
            located,
            **changes,
            trust_remote_code=model.trust_remote_code,
        )
    except Exception as error:  # transformers checks with a dozen kinds
        raise ModelError(f"model: {model.path}: {_first_line(error)}") from error
    if model.dropout is not None:
        for key, value in config.to_dict().items():
            if ("dropout" in key or "pdrop" in key) and isinstance(value, float | int | None):
                setattr(config, key, model.dropout)
    return config


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]
