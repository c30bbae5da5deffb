"""After training: the best checkpoint is judged, exported and written down."""

import json
import math
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from unfreeze.jobs.checkpointing import take_up_weights
from unfreeze.jobs.files import METRICS, MODEL, PREDICTIONS, RESULT
from unfreeze.jobs.inputs import Inputs
from unfreeze.jobs.portable import PortableState
from unfreeze.jobs.progress import Progress
from unfreeze.jobs.run import Run, load_weights
from unfreeze.jobs.scoring import score
from unfreeze.jobs.tokenizer import load_tokenizer
from unfreeze.jobs.verdict import overfitting
from unfreeze.jobs.zero import zero_stage
from unfreeze.storage import Manifest, ObjectStore

_PACKAGES = ("unfreeze", "torch", "transformers", "deepspeed", "ray", "datasets", "boto3")


def finish(run: Run, progress: Progress, inputs: Inputs) -> None:
    """Judges the best checkpoint, and puts model, predictions, metrics and result in the store.

    The model is scored as it is exported: in fp32, without DeepSpeed, so that anyone who loads it
    gets the same predictions. result.json comes last: a run with it is finished.
    """
    model, best = best_model(run)
    scores, predictions = _judge(run, model)
    if dist.get_rank() == 0:
        store = run.checkpointer.store.store
        export(run, model, inputs, store)
        for name, lines in predictions.items():
            store.put(f"{PREDICTIONS}/{name}.jsonl", _jsonl(lines))
        store.put(METRICS, run.metrics_bytes())
        result = _result(run, progress, inputs, best, scores)
        store.put(RESULT, json.dumps(result, indent=1).encode())
        run.tell("finished", test=result["test"], validation=result["validation"])
    dist.barrier()


def best_model(run: Run) -> tuple[nn.Module, Manifest]:
    """The model of the run's best checkpoint, in fp32, and its manifest. A collective call."""
    best = _best_manifest(run)
    model = run.build_model()
    state = PortableState(run.model_plan.sizes)
    take_up_weights(run.checkpointer.store, state, best)
    load_weights(model, run.model_plan, state)
    model.eval()
    if torch.cuda.is_available():
        model.to(torch.device("cuda", torch.cuda.current_device()))
    return model, best


def logits_of(run: Run, model: nn.Module, split: str) -> np.ndarray:
    """Logits of all rows of a split; [rows, labels]. A collective call."""
    rows = np.arange(len(run.data.splits[split]))
    with torch.no_grad():
        return score(
            model,
            run.data.splits[split],
            rows,
            pad_id=run.pad_id,
            batch_size=run.scoring_batch_size,
        )


def _best_manifest(run: Run) -> Manifest:
    """The best of the checkpoints that were kept, or the newest if none was validated."""
    found: list[Any] = [None]
    if dist.get_rank() == 0:
        store = run.checkpointer.store
        infos = list(store.list())
        metrics = {info.id: info.metric for info in infos if info.metric is not None}
        sound = {id: metric for id, metric in metrics.items() if not math.isnan(metric)}
        pick = max if run.mode == "max" else min
        found[0] = store.read(pick(sound, key=sound.__getitem__) if sound else infos[0].id)
    dist.broadcast_object_list(found, 0)
    manifest: Manifest = found[0]
    return manifest


def _judge(
    run: Run, model: nn.Module
) -> tuple[dict[str, dict[str, float]], dict[str, list[dict[str, Any]]]]:
    scores: dict[str, dict[str, float]] = {}
    predictions: dict[str, list[dict[str, Any]]] = {}
    for name in ("validation", "test"):
        if name not in run.data.splits:
            continue
        split = run.data.splits[name]
        rows = np.arange(len(split))
        logits = logits_of(run, model, name)
        scores[name] = run.task.metrics(logits, split.label_ids) | {"rows": len(split)}
        if dist.get_rank() == 0:
            predictions[name] = [
                {**text, "label": run.task.labels[int(label)], **run.task.prediction(values)}
                for text, label, values in zip(
                    split.texts(rows), split.label_ids, logits, strict=True
                )
            ]
    return scores, predictions


def export(run: Run, model: Any, inputs: Inputs, store: ObjectStore) -> None:
    """Puts the model and its tokenizer below model/, as a Hugging Face folder."""
    with tempfile.TemporaryDirectory(prefix="unfreeze-export-") as folder:
        model.to("cpu").save_pretrained(folder)
        load_tokenizer(inputs.located, run.job.model).save_pretrained(folder)
        for path in _files_in(Path(folder)):
            store.put(f"{MODEL}/{path.relative_to(folder).as_posix()}", path)


def _files_in(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _jsonl(lines: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()


def _result(
    run: Run,
    progress: Progress,
    inputs: Inputs,
    best: Manifest,
    scores: dict[str, dict[str, float]],
) -> dict[str, Any]:
    seconds = sum(phase["seconds"] for phase in progress.phases)
    checkpoints = [asdict(info) for info in run.checkpointer.store.list()]
    return {
        "name": run.job.name,
        "task": run.job.task,
        "status": "finished",
        "metric": run.job.training.metric,
        "mode": run.mode,
        "test": scores.get("test"),
        "validation": scores["validation"],
        "best_step": best.step,
        "phases": progress.phases,
        "overfitting": overfitting(
            run.metrics,
            run.mode,
            metric=run.job.training.metric,
            phases=[phase.name for phase in run.phases],
        ).to_data(),
        "labels": run.task.labels,
        "rows": {name: len(split) for name, split in run.data.splits.items()},
        "cut_off": run.data.cut_off,
        "warnings": run.data.warnings,
        "steps": progress.step,
        "tokens": progress.tokens,
        "seconds": seconds,
        "tokens_per_s": progress.tokens / seconds if seconds else 0.0,
        "workers": run.batches.workers,
        "zero_stage": zero_stage(run.job),
        "precision": _precision(run),
        "checkpoints": checkpoints,
        "resumed_from": progress.resumed_from,
        "versions": versions(),
        "settings": inputs.settings,
        "job": run.job.to_data(),
    }


def _precision(run: Run) -> str:
    return next((key for key in ("bf16", "fp16") if run.deepspeed[key]["enabled"]), "fp32")


def versions() -> dict[str, str]:
    """Of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a source tree on the path, not installed
            found[package] = "not installed"
    return found
