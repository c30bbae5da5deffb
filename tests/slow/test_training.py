"""What training does to a model, on real engines, in one and two processes."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import worker_tasks
from worker_pool import WorkerPool

pytestmark = pytest.mark.slow


def job(inputs: Path, tmp_path: Path, **changes: Any) -> dict[str, Any]:
    return tiny.settings(inputs, storage={"uri": str(tmp_path / "runs")}, **changes)


def close(a: dict[int, float], b: dict[int, float]) -> float:
    """Largest relative difference."""
    assert a.keys() == b.keys()
    return max(abs(a[step] - b[step]) / abs(a[step]) for step in a)


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_frozen_blocks_keep_every_bit_and_trained_ones_move_on_every_rank(
    two_workers: WorkerPool, inputs: Path, tmp_path: Path, stage: int
) -> None:
    settings = job(inputs, tmp_path, deepspeed={"zero_stage": stage})
    for before, head_phase, full_phase in two_workers.run(
        worker_tasks.weights_after_phases, settings
    ):
        for name in before:
            in_head = not name.startswith(("bert.embeddings", "bert.encoder"))
            assert torch.equal(before[name], head_phase[name]) != in_head, name
            assert not torch.equal(head_phase[name], full_phase[name]), name


def test_workers_and_zero_stages_do_not_change_the_losses(
    one_worker: WorkerPool, two_workers: WorkerPool, inputs: Path, tmp_path: Path
) -> None:
    found = {}
    for pool, stage in [(one_worker, 0), (one_worker, 2), *((two_workers, s) for s in range(4))]:
        settings = job(
            inputs,
            tmp_path / f"{pool.world}-{stage}",
            deepspeed={"zero_stage": stage},
            model={"path": str(inputs / "model"), "dropout": 0.0},
        )
        pool.run(worker_tasks.run, settings)
        found[pool.world, stage] = worker_tasks.losses(settings)
    expected = found[1, 0]
    assert len(expected) == 22  # two epochs of ten batches and a short one
    for key, losses in found.items():
        assert close(expected, losses) <= 1e-5, key


def test_micro_batches_do_not_change_the_losses(
    two_workers: WorkerPool, inputs: Path, tmp_path: Path
) -> None:
    found = []
    for micro in (None, 2):
        settings = job(
            inputs,
            tmp_path / str(micro),
            model={"path": str(inputs / "model"), "dropout": 0.0},
            training={"micro_batch_size": micro},
        )
        two_workers.run(worker_tasks.run, settings)
        found.append(worker_tasks.losses(settings))
    assert close(*found) <= 1e-5


@pytest.mark.parametrize("stop_after", [6, 11, 17])
@pytest.mark.parametrize("stage", [0, 2, 3])
def test_a_resumed_run_repeats_the_uninterrupted_one_bit_for_bit_with_dropout_on(
    two_workers: WorkerPool, inputs: Path, tmp_path: Path, stage: int, stop_after: int
) -> None:
    whole = job(inputs, tmp_path / "whole", deepspeed={"zero_stage": stage})
    broken = job(inputs, tmp_path / "broken", deepspeed={"zero_stage": stage})
    two_workers.run(worker_tasks.run, whole)
    two_workers.run(worker_tasks.run, broken, stop_after)
    told = two_workers.run(worker_tasks.run, broken)[0]
    assert next(m["step"] for m in told if m["kind"] == "resumed") <= stop_after
    assert worker_tasks.metrics(whole) == worker_tasks.metrics(broken)


def test_a_run_goes_on_at_another_world_size_and_another_zero_stage(
    one_worker: WorkerPool, two_workers: WorkerPool, inputs: Path, tmp_path: Path
) -> None:
    model = {"path": str(inputs / "model"), "dropout": 0.0}
    whole = job(inputs, tmp_path / "whole", model=model)
    two_workers.run(worker_tasks.run, whole)
    expected = worker_tasks.losses(whole)
    ways = [(two_workers, one_worker, (3, 0)), (one_worker, two_workers, (0, 3))]
    for first, second, stages in ways:
        broken = job(inputs, tmp_path / f"broken{first.world}", model=model)
        first.run(worker_tasks.run, broken | {"deepspeed": {"zero_stage": stages[0]}}, 17)
        second.run(worker_tasks.run, broken | {"deepspeed": {"zero_stage": stages[1]}})
        assert close(expected, worker_tasks.losses(broken)) <= 1e-5


def test_rows_that_do_not_fit_are_skipped_and_the_others_give_what_they_give_alone(
    one_worker: WorkerPool, inputs: Path, tmp_path: Path
) -> None:
    clean = job(inputs, tmp_path / "clean")
    rows = [json.loads(line) for line in (inputs / "train.jsonl").read_text().splitlines()]
    bad = [{"text": " ", "label": "good"}, {"text": "so", "label": None}]
    file = tiny.write_rows(tmp_path / "bad.jsonl", [bad[0], *rows[:50], *bad, *rows[50:]])
    data = {"train": str(file), "on_bad_row": "skip"}
    skipping = job(inputs, tmp_path / "skipping", data=data)
    for settings in (clean, skipping):
        one_worker.run(worker_tasks.run, settings)
    assert worker_tasks.metrics(clean) == worker_tasks.metrics(skipping)
    found, expected = worker_tasks.result(skipping), worker_tasks.result(clean)
    assert [found[key] for key in ("test", "rows")] == [expected[key] for key in ("test", "rows")]
    assert found["warnings"] == [
        f"data.train: column 'text': expected text, found none in 2 rows ({file}: 1, 52); left out",
        f"data.train: column 'label': expected a label, found none in row 53 of {file}; left out",
    ]


def test_what_a_task_learns_from_the_validation_rows_is_used_and_kept(
    two_workers: WorkerPool, inputs: Path, tmp_path: Path
) -> None:
    settings = job(inputs, tmp_path)
    two_workers.run(worker_tasks.run_and_learn_more, settings)
    result = worker_tasks.result(settings)
    assert result["learned"] == {"labels": ["low", "high"]}
    assert result["validation"]["logits"] == result["validation"]["rows"] == 24
    assert "logits" not in result["test"]
    predictions = (tmp_path / "runs/tiny/predictions/test.jsonl").read_text().splitlines()
    assert {json.loads(line)["predicted"] for line in predictions} <= {"low", "high"}
