"""The candidates of compare.py, made from one model; and what fine-tuning makes of them."""

import hashlib
import json
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from transformers import AutoModel, AutoTokenizer

from unfreeze.jobs.checkpointing import BackgroundWriter
from unfreeze.jobs.data.splits import text_key
from unfreeze.jobs.inputs import gather_inputs
from unfreeze.jobs.job_file import parse_job
from unfreeze.jobs.loop import train_step
from unfreeze.jobs.metrics import scores_of
from unfreeze.jobs.portable import PortableState
from unfreeze.jobs.progress import Progress
from unfreeze.jobs.run import load_weights
from unfreeze.jobs.worker import keep_quiet, open_run
from unfreeze.storage import open_store

PHASES = [
    {"train": "head", "for": "1ep", "learning_rate": 2e-3},
    {"train": "all", "for": "3ep", "learning_rate": 1e-4},
]
BATCH_SIZE = 32
MAX_LENGTH = 48
SOURCE_ROWS = 1280
"""Of NYT editorials and of tweets, to fine-tune the candidates on that know sentiment already."""


def write_rows(file: Path, folder: Path, train: int, held_out: int) -> None:
    """train.jsonl and held_out.jsonl of a domain: distinct texts, always the same ones."""
    distinct = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        distinct.setdefault(text_key(json.loads(line)["text"]), line)
    lines = sorted(distinct.values())
    random.Random(0).shuffle(lines)
    assert len(lines) >= train + held_out, f"{file}: {len(lines)} distinct texts"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.jsonl").write_text("".join(f"{line}\n" for line in lines[:train]))
    held = lines[train : train + held_out]
    (folder / "held_out.jsonl").write_text("".join(f"{line}\n" for line in held))


def job_settings(model: Path, rows: Path, seed: int = 0) -> dict[str, Any]:
    """The fine-tuning: the head on a frozen trunk, then everything."""
    return {
        "name": "compare",
        "model": str(model),
        "task": "text-classification",
        "data": {
            "train": str(rows / "train.jsonl"),
            "validation": str(rows / "held_out.jsonl"),
            "max_length": MAX_LENGTH,
        },
        "phases": PHASES,
        "training": {"batch_size": BATCH_SIZE, "precision": "bf16", "seed": seed},
        "deepspeed": {"zero_stage": 2},
        "scale": {"workers": 1, "gpus_per_worker": 0},
        "storage": str(rows / "store"),
    }


def fine_tune(settings: dict[str, Any]) -> tuple[Any, dict[str, float]]:
    """Trains as `unfreeze train` does, and scores the held-out rows once, at the end."""
    _open_process_group()
    job = parse_job(settings)
    store = open_store(job.storage.uri).under(job.name)
    run = open_run(gather_inputs(job), keep_quiet, store, BackgroundWriter())
    state, progress, scores = PortableState(run.model_plan.sizes), Progress(), {}
    for phase in run.phases:
        with run.open_engine(phase, state, progress) as engine:
            while not progress.phase_is_over(phase):
                train_step(run, engine, progress)
            if phase is run.phases[-1]:
                held_out = run.data.splits["validation"]
                with engine.scoring() as module:
                    units = torch.arange(held_out.units).numpy()
                    found = run.scorer.statistics(module, held_out, units)
                scores = scores_of(run.task.metrics, found)
            state = engine.capture()
        progress.enter_next_phase()
    model = run.build_model()
    load_weights(model, run.model_plan, state)
    return model, scores


def _open_process_group() -> None:
    torch.set_num_threads(1)
    if not dist.is_initialized():
        os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
        dist.init_process_group(
            "gloo",
            init_method=f"file:///tmp/unfreeze-compare-{os.getpid()}-{time.time_ns()}",
            rank=0,
            world_size=1,
        )


def measured(task: tuple[Path, Path, int, Path]) -> dict[str, Any]:
    """Metrics and seconds of one fine-tuning: model, rows, seed, and where the answer is kept."""
    model, rows, seed, cache = task
    settings = job_settings(model, rows, seed)
    key = hashlib.sha256(
        json.dumps([settings, _content(model), _content(rows / "train.jsonl")]).encode()
    ).hexdigest()[:20]
    file = cache / "fine-tuned" / f"{key}.json"
    if not file.exists():
        began = time.monotonic()
        _, scores = fine_tune(settings)
        answer = {"scores": scores, "seconds": time.monotonic() - began}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"model": model.name, "rows": rows.name, "seed": seed} | answer))
        print(
            f"  {rows.name} {model.name} seed {seed}: accuracy {scores['accuracy']:.4f}, "
            f"{answer['seconds']:.0f} s",
            flush=True,
        )
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def _content(path: Path) -> str:
    file = path / "model.safetensors" if path.is_dir() else path
    return hashlib.sha256(file.read_bytes()).hexdigest()


def make_candidates(original: Path, reviews: Path, cache: Path) -> list[Path]:
    """Folders of the candidates, by name; those that are there are not made again."""
    makers: dict[str, Callable[[Path], Any]] = {
        "minilm": lambda folder: AutoModel.from_pretrained(original),
        "4-layers": lambda folder: cut(original, 4),
        "2-layers": lambda folder: cut(original, 2),
        "tuned-nyt": lambda folder: tuned(original, reviews / "nyt.jsonl", cache / "nyt"),
        "tuned-tweets": lambda folder: tuned(original, reviews / "tweets.jsonl", cache / "tweets"),
        "noise-0.5": lambda folder: damaged(original, 0.5),
        "noise-1.0": lambda folder: damaged(original, 1.0),
    }
    for name, make in makers.items():
        folder = cache / "candidates" / name
        if (folder / "config.json").exists():
            continue
        making = folder.with_suffix(".new")
        make(folder).save_pretrained(making)
        AutoTokenizer.from_pretrained(original).save_pretrained(making)
        shutil.rmtree(folder, ignore_errors=True)
        making.rename(folder)
        print(f"  made {name}", flush=True)
    return [cache / "candidates" / name for name in makers]


def cut(original: Path, layers: int) -> Any:
    """The first layers of the model."""
    model = AutoModel.from_pretrained(original)
    model.encoder.layer = model.encoder.layer[:layers]
    model.config.num_hidden_layers = layers
    return model


def tuned(original: Path, source: Path, folder: Path) -> Any:
    """The trunk after fine-tuning on another domain's sentiment."""
    write_rows(source, folder, SOURCE_ROWS, 200)
    model, scores = fine_tune(job_settings(original, folder))
    print(f"  {folder.name}: accuracy {scores['accuracy']:.4f} on its own domain", flush=True)
    return model.base_model


def damaged(original: Path, strength: float) -> Any:
    """Gaussian noise on every matrix, its deviation `strength` times that of the matrix."""
    model = AutoModel.from_pretrained(original)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                noise = torch.randn(parameter.shape, generator=draw)
                parameter += strength * parameter.std() * noise
    return model
