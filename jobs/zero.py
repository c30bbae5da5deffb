"""The job's settings and the user's DeepSpeed settings -> one DeepSpeed config (pure)."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unfreeze.jobs.config import JobConfig, Precision
from unfreeze.jobs.errors import ConfigError

# What the user may not set, and what to set instead: the engine is rebuilt for each phase.
_OURS = {
    "optimizer": "phases[].learning_rate and training (AdamW)",
    "scheduler": "phases[].schedule and phases[].warmup",
    "amp": "training.precision",
}

# Gradients side by side keep a GPU's memory in one piece; on a CPU they are a copy for nothing
# (a tenth of a ZeRO-2 step: 1.08 s with, 0.96 s without, all-MiniLM-L6-v2 on two cores).
_CPU_DEFAULTS = {"zero_optimization": {"contiguous_gradients": False}}


@dataclass(frozen=True)
class BatchPlan:
    """How a global batch is shared."""

    batch_size: int
    """Examples per optimizer step, over all workers."""
    workers: int
    micro_batch_size: int
    """Most examples that one worker handles at once."""
    micro_batches: int
    """Forward/backward passes per worker and step."""


def plan_batches(batch_size: int, workers: int, micro_batch_size: int | None) -> BatchPlan:
    """Shares a batch among workers; shares may differ by one example. Raises ConfigError."""
    if batch_size < workers:
        raise ConfigError(
            f"training.batch_size: {workers} workers cannot share {batch_size} "
            f"example{'s' * (batch_size > 1)}; use at least {workers}, or fewer workers"
        )
    share = -(-batch_size // workers)
    micro_batches = -(-share // (micro_batch_size or share))
    return BatchPlan(batch_size, workers, -(-share // micro_batches), micro_batches)


def deepspeed_config(
    job: JobConfig, batches: BatchPlan, precision: Precision, *, on_gpu: bool
) -> dict[str, Any]:
    """The merged DeepSpeed config. Raises ConfigError naming each contradiction."""
    theirs = user_settings(job)
    ours = _our_settings(job, batches, precision)
    mistakes = [
        f"deepspeed.{key}: unfreeze decides this for each phase; use {instead}"
        for key, instead in _OURS.items()
        if key in theirs
    ]
    stage = theirs.get("zero_optimization", {}).get("stage", 0)
    if stage not in (0, 1, 2, 3):
        mistakes.append(f"deepspeed.zero_optimization.stage: expected 0, 1, 2 or 3, got {stage!r}")
    if "grad_accum_dtype" in theirs.get("data_types", {}):
        mistakes.append("deepspeed.data_types.grad_accum_dtype: not supported; leave it out")
    leaves = dict(_leaves(ours)) | {"train_batch_size": job.training.batch_size}
    for key, value in _leaves(theirs):
        if value == "auto":
            continue
        if key in leaves and leaves[key] != value:
            mistakes.append(
                f"deepspeed.{key}: {value!r} contradicts the job, which says {leaves[key]!r}; "
                'leave it out, or write "auto"'
            )
    if mistakes:
        raise ConfigError(mistakes)
    defaults = {} if on_gpu else _CPU_DEFAULTS
    return _merge(_merge(defaults, _without_auto(theirs)), ours)


def user_settings(job: JobConfig) -> dict[str, Any]:
    """The user's DeepSpeed settings, from the job file or the file it names. Raises ConfigError."""
    settings = dict(job.deepspeed)
    path = settings.pop("config", None)
    if path is not None:
        try:
            settings = _merge(json.loads(Path(path).read_text(encoding="utf-8")), settings)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ConfigError(f"deepspeed: {path}: not a JSON file of settings: {error}") from error
    _check_sections(settings)
    if "zero_stage" in settings:
        stage = settings.pop("zero_stage")
        zero = dict(settings.get("zero_optimization", {}))
        if zero.get("stage", "auto") not in (stage, "auto"):
            raise ConfigError(
                f"deepspeed.zero_stage: {stage} contradicts zero_optimization.stage, "
                f"{zero['stage']}"
            )
        settings["zero_optimization"] = zero | {"stage": stage}
    return settings


def _check_sections(settings: Mapping[str, Any]) -> None:
    """The parts that we look into are what they should be. Raises ConfigError."""
    mistakes = [
        f"deepspeed.{section}: expected settings (key: value), got {settings[section]!r}"
        for section in ("zero_optimization", "bf16", "fp16", "data_types")
        if not isinstance(settings.get(section, {}), Mapping)
    ]
    if "bfloat16" in settings:
        mistakes.append("deepspeed.bfloat16: an old name; use training.precision")
    if not _names_are_text(settings):
        mistakes.append("deepspeed: the name of each setting must be text")
    if mistakes:
        raise ConfigError(mistakes)


def _names_are_text(settings: Any) -> bool:
    if not isinstance(settings, Mapping):
        return True
    return all(isinstance(key, str) and _names_are_text(settings[key]) for key in settings)


def zero_stage(job: JobConfig) -> int:
    """The ZeRO stage of the job."""
    return int(user_settings(job).get("zero_optimization", {}).get("stage", 0))


def _our_settings(job: JobConfig, batches: BatchPlan, precision: Precision) -> dict[str, Any]:
    per_step = batches.micro_batch_size * batches.micro_batches
    return {
        # Bookkeeping of DeepSpeed's: each micro-batch is weighted by its examples (engine.py).
        "train_batch_size": per_step * batches.workers,
        "train_micro_batch_size_per_gpu": batches.micro_batch_size,
        "gradient_accumulation_steps": batches.micro_batches,
        "gradient_clipping": job.training.max_grad_norm,
        "bf16": {"enabled": precision == "bf16"},
        "fp16": {"enabled": precision == "fp16"},
        "steps_per_print": 2**31 - 1,
    }


def _leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _without_auto(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_auto(value) if isinstance(value, Mapping) else value
        for key, value in settings.items()
        if value != "auto"
    }


def _merge(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(low)
    for key, value in high.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged
