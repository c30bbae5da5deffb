"""After training: the best checkpoint is judged, exported and written down."""

import json
import math
import platform
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from unfreeze.jobs.checkpointing import take_up_weights
from unfreeze.jobs.data.checks import GENERAL
from unfreeze.jobs.data.tokenizer import load_tokenizer
from unfreeze.jobs.files import METRICS, MODEL, PREDICTIONS, RESULT, STATISTICS
from unfreeze.jobs.inputs import Inputs
from unfreeze.jobs.metrics import Floats, scores_of, to_bytes
from unfreeze.jobs.portable import PortableState
from unfreeze.jobs.progress import Progress
from unfreeze.jobs.run import Run, load_weights
from unfreeze.jobs.tasks import open_task
from unfreeze.jobs.tasks.task import Arrays, Task
from unfreeze.jobs.verdict import overfitting
from unfreeze.jobs.zero import zero_stage
from unfreeze.storage import Manifest, ObjectStore

_PACKAGES = ("unfreeze", "torch", "transformers", "deepspeed", "ray", "datasets", "boto3")


def finish(run: Run, progress: Progress, inputs: Inputs) -> None:
    """Judges the best checkpoint, and puts model, predictions, metrics and result in the store.

    The model is scored as it is exported: in fp32, without DeepSpeed, so that anyone who loads it
    gets the same predictions. result.json comes last: a run with it is finished.
    """
    before = _judge_before(run)
    model, best = best_model(run)
    judged = _judge(run, model)
    if dist.get_rank() == 0:
        store = run.checkpointer.store.store
        export(run, model, inputs, store, judged.task.configuration())
        for name in judged.predictions:
            store.put(f"{PREDICTIONS}/{name}.jsonl", _jsonl(_lines(run, name, judged, before)))
            store.put(f"{STATISTICS}/{name}.safetensors", to_bytes(judged.statistics[name]))
        store.put(METRICS, run.metrics_bytes())
        result = _result(run, progress, inputs, best, judged)
        result["before"] = before.scores if before else None
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
    return _ready(model), best


def untrained_model(run: Run) -> nn.Module:
    """The pretrained model, as it was before the first step."""
    return _ready(run.build_model())


def _ready(model: nn.Module) -> nn.Module:
    """The model, ready to be judged."""
    if torch.cuda.is_available():
        model.to(torch.device("cuda", torch.cuda.current_device()))
    return model.eval()


def _best_manifest(run: Run) -> Manifest:
    """The best of the checkpoints that were kept, or the newest if none was validated."""
    found: list[Any] = [None]
    if dist.get_rank() == 0:
        store = run.checkpointer.store
        infos = list(store.list())
        metrics = {info.id: info.metric for info in infos if info.metric is not None}
        sound = {id: metric for id, metric in metrics.items() if not math.isnan(metric)}
        pick = max if run.job.mode == "max" else min
        found[0] = store.read(pick(sound, key=sound.__getitem__) if sound else infos[0].id)
    dist.broadcast_object_list(found, 0)
    manifest: Manifest = found[0]
    return manifest


def keep_all(run: Run, model: nn.Module, name: str) -> Arrays:
    """What the task keeps of all examples of a split. A collective call."""
    split = run.data.splits[name]
    with torch.no_grad():
        return run.scorer.keep(model, split, np.arange(split.units), thorough=True)


def settled(run: Run, kept: Arrays) -> tuple[Task, dict[str, float]]:
    """The task with what it learns after training from the validation rows, of which `kept` is;
    and numbers about that."""
    learned, numbers = run.task.finish(kept, run.data.splits["validation"])
    return open_task(run.job.task, run.task.learned | learned), numbers


@dataclass
class _Judgement:
    """What came of the model on the rows that it was not trained on."""

    task: Task
    """With what it learned from the validation rows."""
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    """By split."""
    statistics: dict[str, Floats] = field(default_factory=dict)
    """By split, the task's of each unit."""
    predictions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By split, what the model says of each unit; on rank 0 alone."""


def _judge_before(run: Run) -> _Judgement | None:
    """The pretrained model, if it is to be compared with. A collective call."""
    if not run.task.compares_before and GENERAL not in run.data.splits:
        return None
    return _judge(run, untrained_model(run))


def _judge(run: Run, model: nn.Module) -> _Judgement:
    """The test rows come last: what the task learns after training is from the others."""
    found = _Judgement(run.task)
    for name in ("validation", "test", GENERAL):
        if name not in run.data.splits:
            continue
        split = run.data.splits[name]
        units = np.arange(split.units)
        kept = keep_all(run, model, name)
        numbers: dict[str, float] = {}
        if name == "validation":
            found.task, numbers = settled(run, kept)
        statistics = found.task.statistics(kept, split, units, run.decode)
        found.statistics[name] = statistics
        found.scores[name] = {
            **scores_of(found.task.metrics, statistics),
            **numbers,
            **found.task.further_scores(kept, split),
            "rows": split.units,
        }
        if dist.get_rank() == 0:
            said = found.task.predictions(kept, split, units, run.decode)
            found.predictions[name] = list(said)
    return found


def _lines(
    run: Run, name: str, judged: _Judgement, before: _Judgement | None
) -> list[dict[str, Any]]:
    """The rows of a split with what the model says of them, and said before it was trained."""
    split, said = run.data.splits[name], judged.predictions[name]
    rows = split.rows(np.arange(split.units))
    lines = [row | prediction for row, prediction in zip(rows, said, strict=True)]
    if before is None:
        return lines
    earlier = before.predictions[name]
    return [line | {"before": one} for line, one in zip(lines, earlier, strict=True)]


def export(
    run: Run,
    model: Any,
    inputs: Inputs,
    store: ObjectStore,
    configuration: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Puts the model and its tokenizer below model/, as a Hugging Face folder. `configuration` is
    changed in the model's own: it has what the task learned after the model was built."""
    model.config.update(configuration)
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
    judged: _Judgement,
) -> dict[str, Any]:
    seconds = sum(phase["seconds"] for phase in progress.phases)
    checkpoints = [asdict(info) for info in run.checkpointer.store.list()]
    return {
        "name": run.job.name,
        "task": run.job.task.name,
        "status": "finished",
        "metric": run.job.metric,
        "mode": run.job.mode,
        "test": judged.scores.get("test"),
        "validation": judged.scores["validation"],
        "general": judged.scores.get(GENERAL),
        "best_step": best.step,
        "phases": progress.phases,
        "overfitting": overfitting(
            run.metrics,
            run.job.mode,
            metric=run.job.metric,
            phases=[phase.name for phase in run.phases],
        ).to_data(),
        "learned": judged.task.learned,
        "rows": {name: split.units for name, split in run.data.splits.items()},
        "unit_name": run.task.unit_name,
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
