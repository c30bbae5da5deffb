"""What passes from phase to phase, what frozen means, and how phases end."""

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import worker_tasks
from worker_pool import RemoteError, WorkerPool

pytestmark = pytest.mark.slow


def job(inputs: Path, tmp_path: Path, **changes: Any) -> dict[str, Any]:
    return tiny.settings(inputs, storage={"uri": str(tmp_path / "runs")}, **changes)


@pytest.mark.parametrize("stage", [0, 3])
def test_frozen_blocks_are_in_eval_mode_after_steps_and_validations(
    two_workers: WorkerPool, inputs: Path, tmp_path: Path, stage: int
) -> None:
    phases = [{"train": "head", "for": "2st"}, {"train": "last:1", "for": "2st"}]
    settings = job(inputs, tmp_path, phases=phases, deepspeed={"zero_stage": stage})
    for head_phase, last_phase in two_workers.run(worker_tasks.training_modes, settings):
        for modes, trained in ((head_phase, ()), (last_phase, ("bert.encoder.layer.2",))):
            for name, training in modes.items():
                in_trunk = name.startswith(("bert.embeddings", "bert.encoder"))
                assert training == (not in_trunk or name.startswith(trained or "-")), name


@pytest.mark.parametrize("stage", [0, 1, 3])
def test_the_moments_of_the_head_are_carried_into_the_next_phase(
    two_workers: WorkerPool, inputs: Path, tmp_path: Path, stage: int
) -> None:
    settings = job(inputs, tmp_path, deepspeed={"zero_stage": stage})
    for _, second in two_workers.run(worker_tasks.moments_after_phases, settings):
        assert second["adam_steps"]["head"] == 11
        before, after = second["before"].mine, second["taken_up"].mine
        for block, tensors in before.items():
            for name, tensor in tensors.items():
                assert torch.equal(tensor, after[block][name]), (block, name)
                assert tensor.any() or ":bert.pooler" in name


def test_a_plateau_ends_its_phase_and_the_next_one_begins(
    two_workers: WorkerPool, inputs: Path, tmp_path: Path
) -> None:
    plateau = {"until": "plateau", "patience": 2, "at_most": "6ep"}
    phases = [
        # A rate of nothing: no validation after the first can be better.
        {"train": "head", "for": plateau, "learning_rate": 1e-12},
        {"train": "all", "for": "3st"},
    ]
    settings = job(inputs, tmp_path, phases=phases, training={"validate_every": "5st"})
    told = two_workers.run(worker_tasks.run, settings)[0]
    assert [m["step"] for m in told if m["kind"] == "phase"] == [0, 15]
    result = worker_tasks.result(settings)
    assert [phase["ended"] for phase in result["phases"]] == ["plateau", "length"]
    assert result["steps"] == 18


def test_blocks_of_an_earlier_phase_keep_what_they_learned_while_frozen(
    two_workers: WorkerPool, inputs: Path, tmp_path: Path
) -> None:
    phases = [{"train": "layer.*", "for": "3st"}, {"train": "head", "for": "3st"}]
    settings = job(inputs, tmp_path, phases=phases)
    two_workers.run(worker_tasks.run, settings)
    exported = worker_tasks.exported_weights(settings)
    snapshots = two_workers.run(worker_tasks.weights_after_phases, settings)[0]
    assert not torch.equal(
        snapshots[0]["bert.encoder.layer.0.output.dense.weight"],
        snapshots[2]["bert.encoder.layer.0.output.dense.weight"],
    )
    best = snapshots[worker_tasks.result(settings)["best_step"] // 3]
    for name, tensor in exported.items():
        assert torch.equal(tensor, best[name]), name


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_bf16_resumes_bit_for_bit_at_the_same_world_size(
    two_workers: WorkerPool, inputs: Path, tmp_path: Path, stage: int
) -> None:
    found = []
    for name, stop_after in (("whole", None), ("broken", 14)):
        settings = job(
            inputs,
            tmp_path / name,
            training={"precision": "bf16"},
            deepspeed={"zero_stage": stage},
        )
        if stop_after:
            two_workers.run(worker_tasks.run, settings, stop_after)
        two_workers.run(worker_tasks.run, settings)
        found.append(worker_tasks.metrics(settings))
    assert found[0] == found[1]


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_fp16_trains_and_resumes_with_its_loss_scale(
    two_workers: WorkerPool, inputs: Path, tmp_path: Path, stage: int
) -> None:
    found = []
    for name, stop_after in (("whole", None), ("broken", 14)):
        settings = job(
            inputs,
            tmp_path / name,
            training={"precision": "fp16"},
            # Grows after 5 steps, so that a resumed run that forgot it would differ.
            deepspeed={"zero_stage": stage, "fp16": {"loss_scale_window": 5}},
        )
        if stop_after:
            two_workers.run(worker_tasks.run_in_fp16, settings, stop_after)
        two_workers.run(worker_tasks.run_in_fp16, settings)
        found.append(worker_tasks.metrics(settings))
    assert found[0] == found[1]
    assert len({line["loss"] for line in found[0] if line["kind"] == "train"}) == 22


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_gradient_checkpointing_does_not_change_the_losses(
    two_workers: WorkerPool, inputs: Path, tmp_path: Path, stage: int
) -> None:
    found = []
    for switch in (False, True):
        settings = job(
            inputs,
            tmp_path / str(switch),
            training={"gradient_checkpointing": switch},
            deepspeed={"zero_stage": stage},
        )
        two_workers.run(worker_tasks.run, settings)
        found.append(worker_tasks.losses(settings))
    assert found[0] == pytest.approx(found[1], rel=1e-6)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_other_architectures_freeze_train_and_export(
    two_workers: WorkerPool, inputs: Path, tmp_path: Path, kind: str
) -> None:
    model = tiny.write_model(tmp_path / "model", kind=kind)
    settings = job(inputs, tmp_path, model={"path": str(model)}, deepspeed={"zero_stage": 3})
    two_workers.run(worker_tasks.run, settings)
    assert worker_tasks.result(settings)["phases"][0]["blocks"] == ["head"]


def test_a_loss_that_is_not_finite_stops_the_job_and_names_the_step(
    two_workers: WorkerPool, inputs: Path, tmp_path: Path
) -> None:
    phases = [{"train": "all", "for": "1ep", "learning_rate": 1e30}]
    with pytest.raises(RemoteError, match=r"LossNotFinite: the loss is (nan|inf) at step 1 "):
        two_workers.run(worker_tasks.run, job(inputs, tmp_path, phases=phases))
