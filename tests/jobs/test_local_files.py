"""Which files of this machine go with a job."""

from pathlib import Path
from typing import Any

import pytest

from unfreeze.jobs import ConfigError, parse_job
from unfreeze.jobs.local_files import local_files, model_files

PLACE = ("model", "path")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("{}")


def found(**changes: Any) -> dict[str, tuple[str, list[str]]]:
    """Setting -> path as written, and files."""
    job = {"name": "x", "model": "org/hub-model", "task": "text-classification", **changes}
    job.setdefault("data", {"train": "org/hub-data"})
    return {
        ".".join(map(str, each.place)): (each.path, list(map(str, each.files)))
        for each in local_files(parse_job(job))
    }


def test_hub_ids_and_uris_are_not_local() -> None:
    assert found() == {}
    data = {"train": "s3://bucket/train/*.csv", "validation": 0.2, "test": "org/hub-data"}
    assert found(model="s3://bucket/model", data=data) == {}


def test_every_setting_that_names_files_is_found(here: Path) -> None:
    write("m/config.json", "m/model.safetensors", "a.csv", "b.csv", "c.csv", "d.csv", "ds.json")
    data = {"train": "a.csv", "validation": "b.csv", "test": "c.csv", "general": "d.csv"}
    assert found(model="m", data=data, deepspeed="ds.json") == {
        "model.path": ("m", ["m/config.json", "m/model.safetensors"]),
        "data.train.path": ("a.csv", ["a.csv"]),
        "data.validation.path": ("b.csv", ["b.csv"]),
        "data.test.path": ("c.csv", ["c.csv"]),
        "data.general.path": ("d.csv", ["d.csv"]),
        "deepspeed.config": ("ds.json", ["ds.json"]),
    }


def test_a_path_into_a_folder_that_is_there_is_no_hub_id(here: Path) -> None:
    write("models/tiny/config.json")
    with pytest.raises(ConfigError, match=r"model: models/tyni: no such folder"):
        found(model="models/tyni")


def test_of_a_folder_or_glob_those_files_that_are_read(here: Path) -> None:
    write("d/train-1.jsonl", "d/train-2.jsonl", "d/test.jsonl", "d/notes.txt", "d/image.png")
    data = {"train": "d", "test": f"{here}/d/tes*.jsonl"}
    assert found(data=data) == {
        "data.train.path": ("d", ["d/train-1.jsonl", "d/train-2.jsonl"]),
        "data.test.path": (data["test"], [f"{here}/d/test.jsonl"]),
    }


@pytest.mark.parametrize(
    ("there", "shipped"),
    [
        (["model.safetensors", "pytorch_model.bin", "tf_model.h5"], ["model.safetensors"]),
        (["pytorch_model.bin", "onnx/model.onnx"], ["pytorch_model.bin"]),
        (["tokenizer.model", "vocab.txt", "modeling_own.py"], None),
        (["additional_chat_templates/tool.jinja", "1_Pooling/config.json"], None),
        ([".git/HEAD", ".gitattributes", "__pycache__/own.pyc", ".cache/huggingface/x.json"], []),
    ],
)
def test_of_a_model_folder_all_but_weights_that_are_not_read_and_hidden_files(
    here: Path, there: list[str], shipped: list[str] | None
) -> None:
    write("m/config.json", *(f"m/{name}" for name in there))
    files = model_files("m", PLACE)
    assert files is not None
    names = {file.relative_to("m").as_posix() for file in files.files}
    assert names == {"config.json", *(there if shipped is None else shipped)}


def test_everything_that_is_missing_is_said_at_once(here: Path) -> None:
    data = {"train": "gone.csv", "test": "no/*.csv"}
    with pytest.raises(ConfigError) as error:
        found(model="./gone/model", data=data, deepspeed="gone.json")
    assert error.value.mistakes == [
        "model: ./gone/model: no such folder",
        f"data.train: gone.csv: no such file or folder (from {here})",
        "data.test: no/*.csv: no file matches",
        "deepspeed: gone.json: no such file",
    ]
