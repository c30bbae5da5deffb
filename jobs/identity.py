"""Which settings make a job the same job: those that its checkpoints depend on (pure)."""

from collections.abc import Mapping
from typing import Any

from unfreeze.jobs.config import JobConfig

# May change from one attempt to the next: where and how fast it runs, what is kept and shown.
_FREE = ("training.precision", "training.micro_batch_size", "training.gradient_checkpointing")


def settings_that_matter(job: JobConfig, data: str, weights: str) -> dict[str, Any]:
    """Dotted settings that decide what is learned; `data` and `weights` are content hashes."""
    plain = job.to_data()
    chosen = {
        "task": plain["task"],
        "model": {"weights": weights, "dropout": job.model.dropout},
        "data": {"contents": data, "max_length": job.data.max_length},
        "phases": plain["phases"],
        "training": plain["training"],
    }
    return {key: value for key, value in flat(chosen).items() if key not in _FREE}


def changed_settings(
    before: Mapping[str, Any], now: Mapping[str, Any], phase: int | None = None
) -> list[str]:
    """What differs, a line each. Phases after `phase` have not begun, so they may change."""
    lines = []
    for key in sorted({*before, *now}):
        parts = key.split(".")
        if phase is not None and parts[0] == "phases" and int(parts[1]) > phase:
            continue
        if before.get(key) != now.get(key):
            lines.append(f"{key}: was {_show(before.get(key))}, is {_show(now.get(key))}")
    return lines


def _show(value: Any) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= 40 else text[:12] + "..."


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key."""
    if isinstance(value, Mapping):
        items = list(value.items())
    elif isinstance(value, list) and any(isinstance(part, Mapping) for part in value):
        items = [(str(i), part) for i, part in enumerate(value)]
    else:
        return {prefix: value}
    found: dict[str, Any] = {}
    for key, part in items:
        found |= flat(part, f"{prefix}.{key}" if prefix else str(key))
    return found
