"""One DeepSpeed config from the job's settings and the user's own."""

import json
from pathlib import Path
from typing import Any

import pytest

from unfreeze.jobs import ConfigError, JobConfig, parse_job
from unfreeze.jobs.config import Precision
from unfreeze.jobs.zero import (
    BatchPlan,
    deepspeed_config,
    plan_batches,
    user_settings,
    zero_stage,
)


def job(deepspeed: Any = None, **training: Any) -> JobConfig:
    settings = {
        "name": "job",
        "model": "models/tiny",
        "task": "text-classification",
        "data": {"train": "train.jsonl"},
        "training": {"batch_size": 32, **training},
    }
    return parse_job(settings if deepspeed is None else settings | {"deepspeed": deepspeed})


def merged(
    deepspeed: Any = None,
    *,
    workers: int = 2,
    micro: int | None = None,
    precision: Precision = "fp32",
    on_gpu: bool = False,
    **training: Any,
) -> dict[str, Any]:
    batches = plan_batches(32, workers, micro)
    return deepspeed_config(job(deepspeed, **training), batches, precision, on_gpu=on_gpu)


def mistakes(deepspeed: Any, **changes: Any) -> list[str]:
    with pytest.raises(ConfigError) as error:
        merged(deepspeed, **changes)
    return error.value.mistakes


@pytest.mark.parametrize(
    ("batch_size", "workers", "micro", "share", "passes"),
    [
        (32, 1, None, 32, 1),
        (32, 2, None, 16, 1),
        (32, 2, 8, 8, 2),
        (32, 2, 100, 16, 1),
        (33, 2, None, 17, 1),
        (33, 2, 8, 6, 3),
        (11, 2, 2, 2, 3),
        (2, 2, None, 1, 1),
        (1, 1, 1, 1, 1),
        (7, 3, 1, 1, 3),
    ],
)
def test_a_batch_is_shared_as_evenly_as_it_can_be(
    batch_size: int, workers: int, micro: int | None, share: int, passes: int
) -> None:
    plan = plan_batches(batch_size, workers, micro)
    assert plan == BatchPlan(batch_size, workers, share, passes)
    assert share <= (micro or share)
    assert share * passes * workers >= batch_size


@pytest.mark.parametrize(("batch_size", "workers", "said"), [(1, 2, "1 example;"), (3, 4, "3 ex")])
def test_a_batch_with_less_than_one_example_for_each_worker_is_refused(
    batch_size: int, workers: int, said: str
) -> None:
    with pytest.raises(ConfigError, match=f"{workers} workers cannot share {said}") as error:
        plan_batches(batch_size, workers, None)
    assert f"use at least {workers}, or fewer workers" in str(error.value)


def test_the_job_decides_batches_clipping_and_precision() -> None:
    config = merged(micro=8, max_grad_norm=0.5, precision="bf16")
    assert config["train_micro_batch_size_per_gpu"] == 8
    assert config["gradient_accumulation_steps"] == 2
    assert config["train_batch_size"] == 32
    assert config["gradient_clipping"] == 0.5
    assert (config["bf16"], config["fp16"]) == ({"enabled": True}, {"enabled": False})


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
@pytest.mark.parametrize("micro", [None, 1, 3, 7])
def test_deepspeeds_own_sum_holds_for_any_number_of_workers(
    workers: int, micro: int | None
) -> None:
    config = merged(workers=workers, micro=micro)
    per_worker = config["train_micro_batch_size_per_gpu"] * config["gradient_accumulation_steps"]
    assert config["train_batch_size"] == per_worker * workers


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
@pytest.mark.parametrize("form", ["short", "long", "both", "auto"])
def test_the_zero_stage_may_be_given_in_short_or_in_deepspeeds_way(stage: int, form: str) -> None:
    settings: dict[str, Any] = {
        "short": {"zero_stage": stage},
        "long": {"zero_optimization": {"stage": stage}},
        "both": {"zero_stage": stage, "zero_optimization": {"stage": stage}},
        "auto": {"zero_stage": stage, "zero_optimization": {"stage": "auto"}},
    }[form]
    config = merged(settings)
    assert config["zero_optimization"]["stage"] == stage
    assert "zero_stage" not in config
    assert zero_stage(job(settings)) == stage


def test_settings_that_the_job_knows_nothing_of_are_kept() -> None:
    theirs = {
        "zero_stage": 3,
        "zero_optimization": {"overlap_comm": True, "offload_param": {"device": "cpu"}},
        "wall_clock_breakdown": True,
    }
    config = merged(theirs)
    assert config["wall_clock_breakdown"] is True
    assert config["zero_optimization"]["offload_param"] == {"device": "cpu"}
    assert config["zero_optimization"]["overlap_comm"] is True


def test_auto_leaves_a_setting_to_the_job_or_to_deepspeed() -> None:
    theirs = {
        "train_batch_size": "auto",
        "gradient_clipping": "auto",
        "bf16": {"enabled": "auto"},
        "zero_optimization": {"stage": 1, "reduce_bucket_size": "auto"},
    }
    config = merged(theirs)
    assert config["train_batch_size"] == 32
    assert config["gradient_clipping"] == 1.0
    assert config["bf16"] == {"enabled": False}
    assert "reduce_bucket_size" not in config["zero_optimization"]
    assert "auto" not in json.dumps(config)


def test_saying_the_same_as_the_job_is_no_contradiction() -> None:
    config = merged({"train_batch_size": 32, "gradient_clipping": 1, "fp16": {"enabled": False}})
    assert config["train_batch_size"] == 32


def test_a_batch_that_does_not_divide_is_still_the_jobs_batch() -> None:
    assert merged({"train_batch_size": 32}, workers=3)["train_batch_size"] == 33


@pytest.mark.parametrize(
    ("theirs", "line"),
    [
        ({"train_batch_size": 64}, "deepspeed.train_batch_size: 64 contradicts"),
        (
            {"train_micro_batch_size_per_gpu": 4},
            "deepspeed.train_micro_batch_size_per_gpu: 4 contradicts the job, which says 16",
        ),
        (
            {"gradient_accumulation_steps": 4},
            "deepspeed.gradient_accumulation_steps: 4 contradicts the job, which says 1",
        ),
        (
            {"gradient_clipping": 5.0},
            "deepspeed.gradient_clipping: 5.0 contradicts the job, which says 1.0",
        ),
        ({"fp16": {"enabled": True}}, "deepspeed.fp16.enabled: True contradicts the job"),
        ({"bf16": {"enabled": True}}, "deepspeed.bf16.enabled: True contradicts the job"),
        ({"steps_per_print": 10}, "deepspeed.steps_per_print: 10 contradicts the job"),
        (
            {"optimizer": {"type": "Adam"}},
            "deepspeed.optimizer: unfreeze decides this for each phase; use phases[].learning_rate",
        ),
        (
            {"scheduler": {"type": "WarmupLR"}},
            "deepspeed.scheduler: unfreeze decides this for each phase; use phases[].schedule",
        ),
        ({"amp": {"enabled": True}}, "deepspeed.amp: unfreeze decides this for each phase"),
        (
            {"zero_optimization": {"stage": 4}},
            "deepspeed.zero_optimization.stage: expected 0, 1, 2 or 3, got 4",
        ),
        ({"zero_stage": "two"}, "deepspeed.zero_optimization.stage: expected 0, 1, 2 or 3, got"),
        (
            {"zero_stage": 2, "zero_optimization": {"stage": 3}},
            "deepspeed.zero_stage: 2 contradicts zero_optimization.stage, 3",
        ),
        ({"zero_optimization": [3]}, "deepspeed.zero_optimization: expected settings"),
        ({"data_types": {"grad_accum_dtype": "fp32"}}, "deepspeed.data_types.grad_accum_dtype"),
    ],
)
def test_a_setting_that_contradicts_the_job_is_named(theirs: dict[str, Any], line: str) -> None:
    (found,) = mistakes(theirs)
    assert found.startswith(line)


def test_every_contradiction_is_named_at_once() -> None:
    theirs = {"train_batch_size": 1, "optimizer": {}, "amp": {}, "fp16": {"enabled": True}}
    found = mistakes(theirs)
    assert {line.split(":")[0] for line in found} == {
        "deepspeed.train_batch_size",
        "deepspeed.optimizer",
        "deepspeed.amp",
        "deepspeed.fp16.enabled",
    }


@pytest.mark.parametrize(
    "theirs",
    [
        {"zero_stage": 2, "zero_optimization": None},
        {"zero_stage": 2, "zero_optimization": 3},
        {"data_types": None},
        {"communication": {1: 2}},
    ],
)
def test_settings_of_another_type_are_a_mistake(theirs: dict[str, Any]) -> None:
    assert mistakes(theirs)


@pytest.mark.parametrize("theirs", [{"bf16": True}, {"bfloat16": {"enabled": True}}])
def test_a_contradiction_in_another_spelling_is_named_too(theirs: dict[str, Any]) -> None:
    assert mistakes(theirs, precision="fp32")


def test_settings_may_be_in_a_file_and_the_job_file_goes_before_it(tmp_path: Path) -> None:
    path = tmp_path / "ds.json"
    path.write_text(json.dumps({"zero_optimization": {"stage": 1}, "wall_clock_breakdown": True}))
    assert merged(str(path))["wall_clock_breakdown"] is True
    assert zero_stage(job(str(path))) == 1
    both = {"config": str(path), "wall_clock_breakdown": False}
    assert user_settings(job(both))["wall_clock_breakdown"] is False


@pytest.mark.parametrize("text", [None, "", "{", "[1]", "null", '"text"', "\x00"])
def test_a_file_that_holds_no_settings_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "ds.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=r"deepspeed: .*ds.json: not a JSON file of settings"):
        user_settings(job(str(path)))


def test_gradients_lie_side_by_side_on_gpus_and_where_the_user_says_so() -> None:
    assert merged()["zero_optimization"]["contiguous_gradients"] is False
    assert "contiguous_gradients" not in merged(on_gpu=True)["zero_optimization"]
    theirs = {"zero_optimization": {"stage": 2, "contiguous_gradients": True}}
    assert merged(theirs)["zero_optimization"]["contiguous_gradients"] is True


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_deepspeed_itself_takes_the_config(precision: Precision) -> None:
    from deepspeed.runtime.precision_config import get_bfloat16_config, get_float16_config
    from deepspeed.runtime.zero.config import get_zero_config

    config = merged({"zero_stage": 3}, precision=precision)
    assert get_zero_config(config).stage == 3
    assert get_bfloat16_config(config).enabled == (precision == "bf16")
    assert get_float16_config(config).enabled == (precision == "fp16")
