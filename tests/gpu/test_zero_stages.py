"""The same jobs on a GPU: NCCL, every ZeRO stage, half precisions. Skipped where there is none."""

import json
from pathlib import Path

import pytest
import tiny
import torch

from unfreeze.jobs import parse_job, run_job

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_job_trains_and_finishes(
    inputs: Path, tmp_path: Path, stage: int, precision: str
) -> None:
    settings = tiny.settings(
        inputs,
        training={"precision": precision},
        deepspeed={"zero_stage": stage},
        scale={"workers": 1, "gpus_per_worker": 1},
        storage={"uri": str(tmp_path)},
    )
    result = run_job(parse_job(settings))
    assert result.data["precision"] == precision
    assert [phase["steps"] for phase in result.data["phases"]] == [11, 11]
    assert all(0 < phase["peak_memory_bytes"] < 2**33 for phase in result.data["phases"])


def test_fp32_losses_on_a_gpu_are_those_of_the_cpu(inputs: Path, tmp_path: Path) -> None:
    found = []
    for gpus in (0, 1):
        settings = tiny.settings(
            inputs,
            model={"path": str(inputs / "model"), "dropout": 0.0},
            scale={"workers": 1, "gpus_per_worker": gpus},
            storage={"uri": str(tmp_path / str(gpus))},
        )
        run_job(parse_job(settings))
        lines = (tmp_path / str(gpus) / "tiny/metrics.jsonl").read_text().splitlines()
        found.append([json.loads(line) for line in lines])
    for on_cpu, on_gpu in zip(*found, strict=True):
        if on_cpu["kind"] == "train":
            assert on_gpu["loss"] == pytest.approx(on_cpu["loss"], rel=1e-3)
