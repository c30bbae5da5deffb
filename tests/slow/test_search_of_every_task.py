"""A search over every task: what is chosen, judged and exported is whole, whatever is learned."""

from pathlib import Path
from typing import Any

import pytest
import transformers
from tiny_tasks import TINY_JOBS, short

from unfreeze.jobs.prediction.exported import fetch_model
from unfreeze.storage import open_store
from unfreeze.tuning import run_search
from unfreeze.tuning.search_file import parse_search

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("task", TINY_JOBS)
def test_a_search_of_this_task_ends_with_a_winner(
    task: str, tmp_path: Path, ray_address: str
) -> None:
    one_worker = {"workers": 1, "gpus_per_worker": 0}
    storage = {"uri": str(tmp_path / "runs")}
    job = short(TINY_JOBS[task].settings(tmp_path), 2, 3)
    settings: dict[str, Any] = {
        "name": "tiny",
        "job": job | {"scale": one_worker, "storage": storage},
        "space": {"phases.0.for": {"choice": ["2st", "4st"]}},
        "searcher": "grid",
        "scheduler": "none",
        "lanes": 1,
        "finalists": {"top": 1, "seeds": 1},
    }
    data = run_search(parse_search(settings), address=ray_address).data
    assert [trial["state"] for trial in data["trials"]] == ["finished", "finished"]
    assert data["saved"]["steps_shared"] == 2, "the longer freeze begins where the shorter one ends"
    assert data["metric"] in data["trials"][0]["validations"][-1]["validation"]
    assert data["job"]["task"]["name"] == task
    judged = [data[split] for split in ("test", "general") if data[split]]
    assert [entry is not None for entry in (data["test"], data["general"])] == [
        settings["job"]["data"].get(split) is not None for split in ("test", "general")
    ]
    for entry in judged:
        assert entry["winner"]["scores"]["loss"] > 0
        assert entry["default"]["scores"].keys() == entry["winner"]["scores"].keys()
    store = open_store(storage["uri"]).under("tiny")
    assert b"<h2>Finalists</h2>" in store.get("report.html")
    model = open_model(task, fetch_model(store, tmp_path))
    assert sum(weight.numel() for weight in model.parameters()) > 10_000


def open_model(task: str, folder: Path) -> Any:
    """By the class of transformers that has the head of this task."""
    from unfreeze.jobs.tasks import TASKS

    options, make = TASKS[task]
    auto_model = make(options.model_validate({"name": task}), {}).auto_model
    model, notes = getattr(transformers, auto_model).from_pretrained(
        folder, output_loading_info=True
    )
    assert not notes["missing_keys"], "the head is in it"
    return model
