"""New rows through an exported model: plain transformers, no Ray, no DeepSpeed."""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from unfreeze.jobs.checks import check_columns, check_rows
from unfreeze.jobs.config import JobConfig, ModelConfig
from unfreeze.jobs.dataset import scan
from unfreeze.jobs.errors import DataError
from unfreeze.jobs.files import MODEL
from unfreeze.jobs.job_file import parse_job
from unfreeze.jobs.libraries import import_transformers
from unfreeze.jobs.results import JobResult
from unfreeze.jobs.roles import RowsByRole, kinds_of
from unfreeze.jobs.scoring import Scorer
from unfreeze.jobs.sources import read_source
from unfreeze.jobs.tasks import open_task
from unfreeze.jobs.tasks.task import Task
from unfreeze.jobs.token_store import Split, SplitWriter
from unfreeze.jobs.tokenizer import decoder, load_tokenizer
from unfreeze.storage import ObjectStore

BATCH_SIZE = 64


def predict(
    runs: ObjectStore, result: JobResult, source: Any, *, endpoint: str | None, cache: Path
) -> Iterator[dict[str, Any]]:
    """The rows of `source` (a SourceConfig) with what the model says added.

    Texts are cut at the max_length of the job, as in training. Raises DataError.
    """
    exported = load_exported(runs, result, cache)
    columns = exported.job.columns
    roles = [r for r in exported.job.task.roles if r.name in columns and not r.is_target]
    data = read_source(source, "predict", endpoint=endpoint, cache=cache)
    rows = RowsByRole(data, {role.name: columns[role.name] for role in roles})
    findings = check_columns("predict", {r: columns[r.name] for r in roles}, kinds_of(data))
    findings = findings or check_rows("predict", scan(rows, exported.task), skip=False)
    if errors := [finding.text for finding in findings if finding.severity == "error"]:
        raise DataError(errors)
    for batch in rows.batches():
        first = batch[0]["row"] - 1
        originals = data[first : first + len(batch)]
        for i, prediction in enumerate(exported.predictions(batch, rows.schema)):
            yield {name: values[i] for name, values in originals.items()} | prediction


@dataclass(frozen=True)
class Exported:
    """A model that a job left, ready to be asked."""

    job: JobConfig
    task: Task
    model: nn.Module
    tokenizer: Any

    def predictions(
        self, rows: Sequence[dict[str, Any]], schema: pa.Schema
    ) -> Iterator[dict[str, Any]]:
        """What the model says of each of the rows."""
        max_length = self.job.data.max_length or self.tokenizer.model_max_length
        decode = decoder(self.tokenizer)
        scorer = Scorer(self.task, self.tokenizer.pad_token_id, BATCH_SIZE, decode)
        with tempfile.TemporaryDirectory(prefix="unfreeze-predict-") as scratch:
            folder = Path(scratch) / "split"
            with SplitWriter(folder, schema, pack=self.task.pack(max_length)) as writer:
                writer.add(self.task.encode(rows, self.tokenizer, max_length), rows)
            split = Split(folder)
            units = np.arange(split.units)
            with torch.no_grad():
                kept = scorer.keep(self.model, split, units, thorough=True)
            yield from self.task.predictions(kept, split, units, decode)


def load_exported(runs: ObjectStore, result: JobResult, cache: Path) -> Exported:
    """The model that a finished job left in the store, on a GPU if there is one."""
    job = parse_job(result.data["job"])
    task = open_task(job.task, result.data["learned"])
    task.new_rows = True
    folder = fetch_model(runs, cache)
    model = getattr(import_transformers(), task.auto_model).from_pretrained(folder).eval()
    model.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    tokenizer = load_tokenizer(str(folder), ModelConfig(path=str(folder)))
    return Exported(job, task, model, tokenizer)


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
