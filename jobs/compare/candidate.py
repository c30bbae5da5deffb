"""A candidate: a pretrained model with a job's data as its tokenizer cuts them."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from unfreeze.jobs.compare.sample import choose_units
from unfreeze.jobs.config import JobConfig
from unfreeze.jobs.data.dataset import PreparedData, prepare
from unfreeze.jobs.data.token_store import Split
from unfreeze.jobs.data.tokenizer import load_tokenizer
from unfreeze.jobs.errors import ModelError
from unfreeze.jobs.inputs import with_max_length
from unfreeze.jobs.model import (
    ModelPlan,
    build_model,
    describe_model,
    locate_model,
    longest_input,
    weights_hash,
)
from unfreeze.jobs.tasks import open_task
from unfreeze.jobs.tasks.task import Probe, Task, Units

MOST_PLACES = 20_000
"""Words that a linear model is fitted to; rows are left out until there are no more."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A pretrained model with the job's data, ready to be asked."""

    name: str
    """As it was given: folder, hub id or uri."""
    job: JobConfig
    located: str
    data: PreparedData
    plan: ModelPlan
    weights: str
    """Hash of the weights."""
    longest: int
    """The most tokens that it takes."""
    tokenizer: Any
    task: Task
    units: Units
    """Training rows that it is judged by."""
    probe: Probe | None
    """What a linear model is asked about them; None: the model is scored as it is."""

    @property
    def split(self) -> Split:
        """The training rows."""
        return self.data.splits["train"]

    @property
    def judged_by(self) -> str:
        """Equal for candidates that are judged by the same rows; of pieces of a running text, for
        those whose tokenizers cut it alike."""
        if self.split.rows_begin is not None:
            return f"{self.data.fingerprint} {len(self.units)}"
        numbers = [row["row"] for row in self.split.rows(self.units)]
        return sha256(np.array(numbers, np.int64).tobytes()).hexdigest()

    def build(self) -> nn.Module:
        """The model, not in training mode. Raises ModelError."""
        try:
            model = build_model(
                self.located,
                self.job.model,
                self.task,
                seed=0,
                pad_token_id=self.tokenizer.pad_token_id,
            ).eval()
            self.task.check_model(model)
        except ModelError:
            raise
        except (OSError, ValueError, RuntimeError, KeyError, ImportError, AttributeError) as error:
            reason = str(error).strip().split("\n")[0]
            raise ModelError(f"model: {self.name}: cannot be loaded: {reason}") from error
        return model.to("cuda" if torch.cuda.is_available() else "cpu")


def open_candidate(job: JobConfig, name: str, *, most_rows: int, cache: Path) -> Candidate:
    """Fetches, checks and tokenizes. Raises UserMistake, and StorageError for what is not there."""
    own = name == job.model.path
    model = job.model.model_copy(
        update={"path": name, "revision": job.model.revision if own else None}
    )
    job = job.model_copy(update={"model": model})
    located = locate_model(model, endpoint=job.storage.endpoint, cache=cache)
    longest = longest_input(located, model)
    job = with_max_length(job, longest)
    data = prepare(job, located, cache=cache / "data")
    task = open_task(job.task, data.learned)
    units, probe = choose_units(task, data.splits["train"], most_rows, MOST_PLACES)
    return Candidate(
        name=name,
        job=job,
        located=located,
        data=data,
        plan=describe_model(located, model, task),
        weights=weights_hash(located),
        longest=longest,
        tokenizer=load_tokenizer(located, model),
        task=task,
        units=units,
        probe=probe,
    )
