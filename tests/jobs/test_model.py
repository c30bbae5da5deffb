"""Model folders: good ones are described and built, bad ones refused before anything starts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
import torch

from unfreeze.jobs import ModelError
from unfreeze.jobs.config import ModelConfig
from unfreeze.jobs.model import (
    build_model,
    describe_model,
    locate_model,
    longest_input,
    plan_model,
    weights_hash,
)
from unfreeze.jobs.tasks import open_task
from unfreeze.jobs.tasks.task import Task
from unfreeze.jobs.tasks.text_classification import TextClassificationOptions

LABELS = ["bad", "fine", "good"]


def task(*labels: str) -> Task:
    return open_task(TextClassificationOptions(), {"labels": list(labels)} if labels else None)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_model(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(good, tmp_path / "model"))


def use(path: Path | str) -> None:
    """All that happens to a model before a job starts."""
    model = ModelConfig(path=str(path))
    located = locate_model(model, endpoint=None, cache=Path("/nowhere"))
    longest_input(located, model)
    describe_model(located, model, task())


def config(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "config.json").write_text(text)


def setting(**changes: object) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        settings = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(settings | changes))

    return change


def without(pattern: str) -> Callable[[Path], object]:
    return lambda folder: [file.unlink() for file in folder.glob(pattern)]


def weights(data: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "model.safetensors").write_bytes(data)


BAD: list[tuple[Callable[[Path], object], str]] = [
    (without("config.json"), "no config.json in it"),
    (without("model.safetensors"), "a model folder without weights"),
    (without("tokenizer*"), "there are no tokenizer files"),
    (config(""), "config.json is not JSON"),
    (config("{not json"), "config.json is not JSON"),
    (config("\udcff".encode("utf-8", "surrogateescape").decode("latin-1")), "not JSON"),
    (config("{}"), "Unrecognized model"),
    (config("[]"), "holds no settings"),
    (setting(model_type="nosuch"), "does not recognize this architecture"),
    (setting(model_type="vit"), "Unrecognized configuration class"),
    (setting(num_attention_heads=5), "not a multiple of the number of attention heads"),
]


@pytest.mark.parametrize(("break_it", "problem"), BAD)
def test_a_bad_folder_is_refused_on_one_line_that_names_it(
    folder: Path, break_it: Callable[[Path], object], problem: str
) -> None:
    break_it(folder)
    with pytest.raises(ModelError, match=problem) as error:
        use(folder)
    (line,) = error.value.mistakes
    assert line.startswith(f"model: {folder}: ")
    assert "\n" not in line


@pytest.mark.parametrize(
    "break_it",
    [
        weights(b""),
        weights(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
        lambda folder: weights((folder / "model.safetensors").read_bytes()[:9000])(folder),
    ],
    ids=["empty", "lfs-pointer", "cut-short"],
)
def test_weights_that_are_not_what_their_name_says_are_refused(
    folder: Path, break_it: Callable[[Path], object]
) -> None:
    break_it(folder)
    with pytest.raises(ModelError):
        use(folder)


@pytest.mark.parametrize("text", ["null", "3"])
def test_a_config_that_is_no_object_is_refused(folder: Path, text: str) -> None:
    config(text)(folder)
    with pytest.raises(ModelError):
        use(folder)


def test_a_config_with_a_value_of_another_type_is_refused(folder: Path) -> None:
    setting(hidden_size="wide")(folder)
    with pytest.raises(ModelError):
        use(folder)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/no/such/folder", "no such folder"),
        ("no such folder", "no such folder"),
        ("~/no-such-folder", "no such folder"),
        ("nobody/nothing", "no such folder, and the hub does not have it"),
    ],
)
def test_a_model_that_is_nowhere_is_refused(path: str, problem: str) -> None:
    with pytest.raises(ModelError, match=f"model: {path}: {problem}") as error:
        use(path)
    assert len(str(error.value).splitlines()) == 1


def test_a_file_is_no_model(folder: Path) -> None:
    with pytest.raises(ModelError, match="not a folder"):
        use(folder / "config.json")


def test_a_model_is_described_from_its_configuration_as_it_is_built(good: Path) -> None:
    model = ModelConfig(path=str(good))
    described = describe_model(str(good), model, task(*LABELS))
    built = build_model(str(good), model, task(*LABELS), seed=0, pad_token_id=0)
    assert described == plan_model(built)
    assert described.names == ("embeddings", "layer.0", "layer.1", "layer.2", "head")
    assert described.sizes["head"] == 32 * 32 + 32 + 32 * 3 + 3


def test_the_blocks_of_a_task_that_has_learned_nothing_yet_are_the_same(good: Path) -> None:
    model = ModelConfig(path=str(good))
    names = describe_model(str(good), model, task()).names
    assert names == describe_model(str(good), model, task(*LABELS)).names


def test_the_trunk_is_pretrained_and_the_head_is_new_as_the_seed_says(good: Path) -> None:
    from safetensors.torch import load_file

    pretrained = load_file(good / "model.safetensors")
    builds = [
        build_model(
            str(good), ModelConfig(path=str(good)), task(*LABELS), seed=seed, pad_token_id=0
        )
        for seed in (0, 0, 1)
    ]
    first, same, other = (dict(model.named_parameters()) for model in builds)
    for name, weight in pretrained.items():
        assert torch.equal(first[f"bert.{name}"], weight)
    assert torch.equal(first["classifier.weight"], same["classifier.weight"])
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])
    assert {weight.dtype for weight in first.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("lost", "problem"),
    [
        ("encoder.layer.1.", "bert.encoder.layer.1.attention.output.LayerNorm.bias is missing"),
        ("embeddings.position", "bert.embeddings.position_embeddings.weight is missing"),
        ("pooler.", None),  # many models come without one; it is a part of the head
    ],
)
def test_a_trunk_that_lacks_weights_is_no_pretrained_model(
    good: Path, tmp_path: Path, lost: str, problem: str | None
) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "lacking"
    shutil.copytree(good, folder)
    weights = load_file(good / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if not name.startswith(lost)}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    model = ModelConfig(path=str(folder))
    if problem is None:
        build_model(str(folder), model, task(*LABELS), seed=0, pad_token_id=0)
        return
    with pytest.raises(ModelError) as refused:
        build_model(str(folder), model, task(*LABELS), seed=0, pad_token_id=0)
    assert f"the weights do not fit: {problem} (" in str(refused.value)


def test_a_trunk_of_another_shape_than_its_configuration_is_refused(
    good: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "reshaped"
    shutil.copytree(good, folder)
    config = json.loads((folder / "config.json").read_text())
    changed = config | {"max_position_embeddings": 16}
    (folder / "config.json").write_text(json.dumps(changed))
    model = ModelConfig(path=str(folder))
    with pytest.raises(
        ModelError, match=r"position_embeddings.weight has the shape \[64, 32\], and"
    ):
        build_model(str(folder), model, task(*LABELS), seed=0, pad_token_id=0)


def test_labels_and_dropout_reach_the_configuration(good: Path) -> None:
    model = ModelConfig(path=str(good), dropout=0.25)
    built = build_model(str(good), model, task(*LABELS), seed=0, pad_token_id=0)
    assert built.config.id2label == dict(enumerate(LABELS))  # type: ignore[union-attr]
    rates = {m.p for m in built.modules() if isinstance(m, torch.nn.Dropout)}
    assert rates == {0.25}


def test_the_longest_input_is_the_models_limit(good: Path) -> None:
    assert longest_input(str(good), ModelConfig(path=str(good))) == 64


def test_the_weights_hash_changes_with_weights_and_configuration_only(folder: Path) -> None:
    before = weights_hash(str(folder))
    (folder / "README.md").write_text("words")
    assert weights_hash(str(folder)) == before
    setting(layer_norm_eps=1e-3)(folder)
    changed = weights_hash(str(folder))
    assert changed != before
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    assert weights_hash(str(folder)) not in (before, changed)


def test_safetensors_go_before_other_weights(folder: Path) -> None:
    before = weights_hash(str(folder))
    (folder / "pytorch_model.bin").write_bytes(b"other")
    assert weights_hash(str(folder)) == before
