"""A model that a job left in the store, ready to be asked. No Ray, no DeepSpeed."""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from unfreeze.jobs.config import JobConfig, ModelConfig
from unfreeze.jobs.data.token_store import Split, SplitWriter
from unfreeze.jobs.data.tokenizer import decoder, load_tokenizer
from unfreeze.jobs.files import MODEL
from unfreeze.jobs.job_file import parse_job
from unfreeze.jobs.libraries import import_transformers
from unfreeze.jobs.results import JobResult
from unfreeze.jobs.scoring import Scorer
from unfreeze.jobs.tasks import open_task
from unfreeze.jobs.tasks.task import Learned, Row, Task
from unfreeze.storage import ObjectStore

BATCH_SIZE = 64


@dataclass(frozen=True)
class Trained:
    """What must be known of a finished run to use its model; can be sent to workers."""

    runs: ObjectStore
    """Where the run's files are."""
    job: JobConfig
    learned: Learned
    version: str
    """Another one for another model, or another way to ask it."""

    def task(self, *, new_rows: bool) -> Task:
        """The task with all that it learned; for rows to be predicted, or to be scored."""
        task = open_task(self.job.task, self.learned)
        task.new_rows = new_rows
        return task


def find_trained(runs: ObjectStore, result: JobResult) -> Trained:
    """The model of a finished job."""
    data = result.data
    job = parse_job(data["job"])
    asked = {"task": job.task.model_dump(mode="json"), "max_length": job.data.max_length}
    determined_by = [asked, data["learned"], _files(runs)]
    version = hashlib.sha256(repr(determined_by).encode()).hexdigest()[:16]
    return Trained(runs, job, data["learned"], version)


def _files(runs: ObjectStore) -> list[Any]:
    """What is listed of the model's files: a model that was replaced is another one."""
    infos = sorted(runs.list(f"{MODEL}/"), key=lambda info: info.key)
    return [runs.uri, *infos]


@dataclass(frozen=True)
class Exported:
    """A model in memory, with its task."""

    job: JobConfig
    task: Task
    model: nn.Module
    tokenizer: Any
    remarks: Sequence[str] = ()
    """What people should know about the model."""

    @property
    def max_length(self) -> int:
        """Tokens that a text is cut at, as in training."""
        return int(self.job.data.max_length or self.tokenizer.model_max_length)

    @property
    def scorer(self) -> Scorer:
        """Runs the model."""
        decode = decoder(self.tokenizer)
        return Scorer(self.task, self.tokenizer.pad_token_id, BATCH_SIZE, decode)

    @contextmanager
    def split(
        self, batches: Iterator[Sequence[dict[str, Any]]], schema: pa.Schema
    ) -> Iterator[tuple[Split, int]]:
        """The rows as examples, on disk as long as the block; and how many rows were cut."""
        with tempfile.TemporaryDirectory(prefix="unfreeze-rows-") as scratch:
            folder = Path(scratch) / "split"
            with SplitWriter(folder, schema, pack=self.task.pack(self.max_length)) as writer:
                for rows in batches:
                    writer.add(self.task.encode(rows, self.tokenizer, self.max_length), rows)
            yield Split(folder), writer.cut_off

    def predictions(self, rows: Sequence[Row], schema: pa.Schema) -> Iterator[dict[str, Any]]:
        """What the model says of each of the rows."""
        if not rows:
            return
        with self.split(iter([[dict(row) for row in rows]]), schema) as (split, _):
            units, scorer = np.arange(split.units), self.scorer
            with torch.no_grad():
                kept = scorer.keep(self.model, split, units, thorough=True)
            yield from self.task.predictions(kept, split, units, scorer.decode)


def load_exported(trained: Trained, cache: Path, *, new_rows: bool) -> Exported:
    """The model, on a GPU if there is one. It is fetched to `cache` once."""
    task = trained.task(new_rows=new_rows)
    folder = str(fetch_model(trained.runs, cache))
    model = getattr(import_transformers(), task.auto_model).from_pretrained(folder).eval()
    model.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    remarks = task.check_model(model)
    tokenizer = load_tokenizer(folder, ModelConfig(path=folder))
    return Exported(trained.job, task, model, tokenizer, remarks)


def fetch_model(runs: ObjectStore, cache: Path) -> Path:
    """The exported model, in a folder of its own. A model that was replaced is fetched again."""
    uri, *infos = _files(runs)
    version = hashlib.sha256(f"{uri} {infos}".encode()).hexdigest()[:16]
    folder = cache / "exports" / version
    for info in infos:
        target = folder / info.key.removeprefix(f"{MODEL}/")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            runs.fetch(info.key, target)
    return folder
