"""Whatever a job file holds, the answer is a job or a ConfigError."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from unfreeze.jobs import ConfigError, JobConfig, parse_job

SMALLEST: dict[str, Any] = {
    "name": "reviews",
    "model": "models/tiny",
    "task": "text-classification",
    "data": {"train": "train.jsonl"},
}
JUNK: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    float("nan"),
    float("inf"),
    "",
    "head",
    "\n",
    "2ep",
    "s3://",
    "x" * 300,
    [],
    {},
    [[]],
    {"": None},
    {"path": 1},
    {"until": "plateau"},
    10**30,
]
KEYS = [*JobConfig.model_fields, "freeze_epochs", "train", "for", "path", "stage", "modle", "0", ""]


def junk(draw: random.Random, depth: int = 3) -> Any:
    kind = draw.random()
    if depth and kind < 0.4:
        return {draw.choice(KEYS): junk(draw, depth - 1) for _ in range(draw.randint(0, 4))}
    if depth and kind < 0.5:
        return [junk(draw, depth - 1) for _ in range(draw.randint(0, 3))]
    return draw.choice(JUNK)


def check_answer(settings: Any, overrides: list[str]) -> None:
    try:
        job = parse_job(settings, overrides)
    except ConfigError as error:
        assert error.mistakes
        assert all(line and "\n" not in line for line in error.mistakes), error.mistakes
    else:
        json.dumps(job.to_data())


@pytest.mark.parametrize("seed", range(8))
def test_junk_never_raises_anything_but_a_config_error(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(100):
        settings = dict(SMALLEST)
        for key in draw.sample([*JobConfig.model_fields, "freeze_epochs"], draw.randint(1, 4)):
            settings[key] = junk(draw)
        check_answer(draw.choice([settings, {key: junk(draw) for key in KEYS}]), [])


@pytest.mark.parametrize("settings", [None, 3, "text", [], [SMALLEST]])
def test_what_is_no_mapping_is_a_config_error(settings: Any) -> None:
    with pytest.raises(ConfigError):
        parse_job(settings)


def test_a_setting_in_angle_brackets_is_a_mistake_like_any_other() -> None:
    with pytest.raises(ConfigError):
        parse_job(SMALLEST | {"<x": 1})


def test_a_path_object_is_taken_for_a_path(tmp_path: Path) -> None:
    assert parse_job(SMALLEST | {"model": tmp_path}).model.path == str(tmp_path)


def check_override(override: str) -> None:
    check_answer(SMALLEST | {"training": {"seed": 0}, "phases": [{"train": "all"}]}, [override])


@pytest.mark.parametrize("seed", range(4))
def test_junk_overrides_never_raise_anything_but_a_config_error(seed: int) -> None:
    draw = random.Random(seed)
    parts = [*KEYS, "0", "-1", "99", "training", "seed", "phases", "."]
    values = ["", "1", "[", "{a: b}", "null", "2024-01-01", "!!set {a}", "'", "1e-3"]
    for _ in range(100):
        key = ".".join(draw.choices(parts, k=draw.randint(1, 4)))
        check_override(f"{key}={draw.choice(values)}")
