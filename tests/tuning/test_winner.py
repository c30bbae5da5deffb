"""A search, seen as the job of its winner."""

import json
from pathlib import Path

import pytest
import yaml

from unfreeze.jobs import ConfigError, JobResult, parse_job
from unfreeze.jobs.prediction.exported import find_trained
from unfreeze.storage import FolderStore
from unfreeze.tuning.files import BEST_JOB, LEARNED
from unfreeze.tuning.winner import as_job_result


def test_the_winner_of_a_search_can_be_asked_like_a_job(tmp_path: Path) -> None:
    root = FolderStore(tmp_path)
    test = {"winner": {"scores": {"accuracy": 0.8}}}
    data = {"name": "s", "winner": {"trial": "t3", "seed_of_model": 2}, "test": test}
    found = JobResult(root.uri, data, was_finished=True)
    with pytest.raises(ConfigError, match=r"an older unfreeze .* train best_job\.yaml"):
        as_job_result(root, found)

    settings = {"name": "s-best", "model": "m", "task": "text-classification"}
    job = parse_job(settings | {"data": {"train": "t.jsonl", "max_length": 32}})
    root.put(LEARNED, json.dumps({"labels": ["bad", "good"]}).encode())
    root.put(BEST_JOB, yaml.safe_dump(job.to_data()).encode())
    result = as_job_result(root, found)
    assert result.test == {"accuracy": 0.8}
    assert result.data["test_statistics"] == "finalists/t3-seed2/test-statistics.safetensors"
    trained = find_trained(root, result)
    assert trained.job == job
    assert trained.task(new_rows=False).known_labels == ["bad", "good"]
