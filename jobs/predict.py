"""New texts through an exported model: plain transformers, no Ray, no DeepSpeed."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from unfreeze.jobs.classification import TextClassification
from unfreeze.jobs.config import ModelConfig
from unfreeze.jobs.errors import DataError
from unfreeze.jobs.files import MODEL
from unfreeze.jobs.libraries import import_transformers
from unfreeze.jobs.results import JobResult
from unfreeze.jobs.sources import read_source
from unfreeze.jobs.tokenizer import load_tokenizer
from unfreeze.storage import ObjectStore

BATCH_SIZE = 64


def predict(
    runs: ObjectStore, result: JobResult, source: Any, *, endpoint: str | None, cache: Path
) -> Iterator[dict[str, Any]]:
    """The rows of `source` (a SourceConfig) with `predicted` and `probabilities` added.

    Texts are cut at the max_length of the job, as in training. Raises DataError.
    """
    data = result.data["job"]["data"]
    columns = data["columns"]
    rows = read_source(source, "predict", endpoint=endpoint, cache=cache)
    wanted = [columns[key] for key in ("text", "text_pair") if columns.get(key)]
    if missing := [name for name in wanted if name not in rows.column_names]:
        raise DataError(
            f"{source.path}: no column {', '.join(missing)}; it has {', '.join(rows.column_names)}"
        )
    folder = fetch_model(runs, cache)
    model = import_transformers().AutoModelForSequenceClassification.from_pretrained(folder).eval()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    tokenizer: Any = load_tokenizer(str(folder), ModelConfig(path=str(folder)))
    task = TextClassification(result.data["labels"])
    for start in range(0, len(rows), BATCH_SIZE):
        batch = rows[start : start + BATCH_SIZE]
        inputs = tokenizer(
            *(batch[name] for name in wanted),
            truncation=True,
            max_length=data["max_length"],
            padding=True,
            return_tensors="pt",
        ).to(device)
        with torch.no_grad():
            logits = model(**inputs).logits.float().cpu().numpy()
        for i, values in enumerate(logits):
            yield {name: batch[name][i] for name in batch} | task.prediction(values)


def fetch_model(runs: ObjectStore, cache: Path) -> Path:
    """The exported model, in a folder of its own. A model that was replaced is fetched again."""
    infos = sorted(runs.list(f"{MODEL}/"), key=lambda info: info.key)
    version = hashlib.sha256(f"{runs.uri} {infos}".encode()).hexdigest()[:16]
    folder = cache / "exports" / version
    for info in infos:
        target = folder / info.key.removeprefix(f"{MODEL}/")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            runs.fetch(info.key, target)
    return folder
