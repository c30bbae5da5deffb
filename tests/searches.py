"""Tiny searches, and what came of them."""

import json
from pathlib import Path
from typing import Any

import tiny

from unfreeze.storage import open_store

SPACE = {
    "phases.0.for": {"choice": ["0ep", "1ep", "2ep"]},
    "phases.1.learning_rate": {"choice": [1e-3, 5e-3]},
    "phases.1.train": {"choice": ["all", "last:1"]},
}
"""12 trials. The tiny job itself is one of them."""
SMALL_SPACE = {key: SPACE[key] for key in ("phases.0.for", "phases.1.learning_rate")}
"""6 trials."""


def settings(inputs: Path, uri: str, **changes: Any) -> dict[str, Any]:
    """A search over every combination on the tiny model, without finalists to speak of."""
    job = changes.pop("job", {})
    workers = {"workers": 1, "gpus_per_worker": 0}
    return {
        "name": "tiny-search",
        "job": tiny.settings(inputs, storage={"uri": uri}, scale=workers, **job),
        "space": SPACE,
        "searcher": "grid",
        "scheduler": "none",
        "finalists": {"top": 1, "seeds": 1},
        **changes,
    }


def records(uri: str, name: str = "tiny-search") -> dict[str, dict[str, Any]]:
    """Trial id -> plan and record, for all trials that are over."""
    root = open_store(uri).under(name)
    found = {}
    for info in root.list("trials/"):
        if info.key.endswith("/record.json"):
            place = info.key.removesuffix("/record.json")
            plan = json.loads(root.get(f"{place}/plan.json"))
            found[place.removeprefix("trials/")] = plan | json.loads(root.get(info.key))
    return found


def losses(uri: str, name: str = "tiny-search") -> dict[str, list[float]]:
    """Trial id -> every loss that it measured, in order: of steps, and of validations."""
    root = open_store(uri).under(name)
    found = {}
    ids = [i.key.split("/")[1] for i in root.list("trials/") if i.key.endswith("/metrics.jsonl")]
    for id in ids:
        lines = [json.loads(t) for t in root.get(f"trials/{id}/metrics.jsonl").splitlines()]
        steps = [line["loss"] for line in lines if line["kind"] == "train"]
        scored = [line for line in lines if line["kind"] == "validation"]
        found[id] = [
            *steps,
            *(line["train"]["loss"] for line in scored),
            *(line["validation"]["loss"] for line in scored),
        ]
    return found
