"""Rows to examples, a shard at a time, in several processes; what is there is not made again.

A shard is some record batches of a split's rows. It is whole as soon as it has its name, so a
preparation that was cut short goes on with those that are missing. What comes out does not depend
on the number of processes, nor on how often it was cut short.

    python -m unfreeze.jobs.data.tokenization FOLDER     makes shards that are named on its input
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from unfreeze.jobs.config import JobConfig
from unfreeze.jobs.data.roles import RowsByRole
from unfreeze.jobs.data.token_store import ROWS, ExamplesWriter
from unfreeze.jobs.data.tokenizer import load_tokenizer
from unfreeze.jobs.errors import DataError, JobError, UserMistake
from unfreeze.jobs.job_file import parse_job
from unfreeze.jobs.tasks import open_task
from unfreeze.jobs.tasks.task import Learned, Task

SHARD_BYTES = 32 << 20
"""Of rows: half a minute of work that is done again at most, and worth a process of its own."""
_MISTAKE = 2
"""What a process ends with whose output is what is wrong with the data."""


@dataclass(frozen=True)
class Plan:
    """How the rows of a job become examples; in a folder, for all processes."""

    folder: Path
    loaded: PreTrainedTokenizerBase | None = None
    """The tokenizer, if this process has it."""

    @staticmethod
    def write(
        folder: Path,
        job: JobConfig,
        located: str,
        learned: Learned,
        tokenizer: PreTrainedTokenizerBase,
    ) -> "Plan":
        """`located`: the folder of the model."""
        about = {"job": job.to_data(), "located": located, "learned": learned}
        (folder / "plan.json").write_text(json.dumps(about), encoding="utf-8")
        return Plan(folder, tokenizer)

    @cached_property
    def _about(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "plan.json").read_text(encoding="utf-8"))
        return found

    @cached_property
    def job(self) -> JobConfig:
        return parse_job(self._about["job"])

    @cached_property
    def task(self) -> Task:
        return open_task(self.job.task, self._about["learned"])

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return self.loaded or load_tokenizer(self._about["located"], self.job.model)

    @property
    def max_length(self) -> int:
        return self.job.data.max_length or self.tokenizer.model_max_length

    def rows(self, split: str) -> Path:
        """The rows of a split."""
        return self.folder / split / ROWS

    def shards(self, split: str) -> dict[Path, int]:
        """A folder for each shard, there or not, named after its first and last record batch; and
        the bytes of its rows."""
        found = json.loads((self.folder / split / "shards.json").read_text())
        return {
            self.folder / split / f"{first:08d}-{last:08d}": size for first, last, size in found
        }


def write_rows(folder: Path, rows: RowsByRole, numbers: NDArray[np.int64]) -> None:
    """Writes the rows of a split, and which of them make a shard."""
    folder.mkdir(parents=True, exist_ok=True)
    shards = [[0, -1, 0]]
    with pa.ipc.new_file(str(folder / ROWS), rows.schema) as file:
        for count, table in enumerate(rows.tables(numbers)):
            if shards[-1][-1] >= SHARD_BYTES:
                shards.append([count, count, 0])
            file.write_table(table, max_chunksize=max(1, table.num_rows))
            shards[-1] = [shards[-1][0], count, shards[-1][2] + table.nbytes]
    (folder / "shards.json").write_text(json.dumps(shards))


def tokenize(plan: Plan, splits: Sequence[str], *, processes: int | None) -> None:
    """Makes all shards of the splits that are not there. Raises UserMistake, and JobError if a
    process died: what was made is kept."""
    shards = [(split, *shard) for split in splits for shard in plan.shards(split).items()]
    missing = [(split, shard) for split, shard, _ in shards if not shard.exists()]
    # Starting a process takes seconds, so each must have something to do.
    worth = sum(size for _, shard, size in shards if not shard.exists()) // SHARD_BYTES
    count = min(processes or len(os.sched_getaffinity(0)), len(missing), worth)
    if count <= 1:
        for split, shard in missing:
            tokenize_shard(plan, split, shard)
        return
    workers = [_Worker(plan, i, missing[i::count]) for i in range(count)]
    try:
        while not all([worker.is_done() for worker in workers]):
            time.sleep(0.05)
    finally:
        for worker in workers:
            worker.end()


def tokenize_shard(plan: Plan, split: str, shard: Path) -> None:
    """Makes a shard, all or nothing."""
    first, last = map(int, shard.name.split("-"))
    with tempfile.TemporaryDirectory(dir=shard.parent, prefix=".shard-") as scratch:
        part = Path(scratch) / "part"
        writer = ExamplesWriter(part)
        file = pa.ipc.open_file(pa.memory_map(str(plan.rows(split))))
        for number in range(first, last + 1):
            rows = file.get_batch(number).to_pylist()
            writer.add(plan.task.encode(rows, plan.tokenizer, plan.max_length), len(rows))
        writer.close_part()
        if not shard.exists():  # a process of an attempt that was killed may still be at work
            os.replace(part, shard)


def join_shards(plan: Plan, split: str, folder: Path) -> int:
    """Writes the split into `folder`; how many rows were cut off."""
    writer = ExamplesWriter(folder)
    for shard in plan.shards(split):
        writer.add_part(shard)
    writer.close_split(plan.task.pack(plan.max_length))
    if plan.rows(split).exists():  # else it was moved by an attempt that was cut short here
        os.replace(plan.rows(split), folder / ROWS)
    return writer.cut_off


class _Worker:
    """A process that makes shards. Not one of multiprocessing's, which would need the main module
    of whoever called us."""

    def __init__(self, plan: Plan, number: int, shards: Sequence[tuple[str, Path]]) -> None:
        self._log = plan.folder / f"process-{number}.log"
        one_core = {"TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "unfreeze.jobs.data.tokenization", str(plan.folder)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
                env=os.environ | one_core | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        assert self._process.stdin
        with suppress(BrokenPipeError), self._process.stdin as lines:  # `is_done` says why it died
            json.dump([[split, shard.name] for split, shard in shards], lines)

    def is_done(self) -> bool:
        """Raises DataError if the data are at fault, and JobError if it died."""
        code = self._process.poll()
        if code:
            said = self._log.read_text()
            if code == _MISTAKE:
                raise DataError(json.loads(said.splitlines()[-1]))
            raise JobError(
                f"data: a process that tokenizes ended with {code} (-9: it was killed, most often "
                f"for want of memory; a lower data.num_proc needs less): {said.strip()[-300:]}"
            )
        return code == 0

    def end(self) -> None:
        """Leaves nothing that runs."""
        self._process.kill()
        self._process.wait()


def _make_shards(folder: Path) -> int:
    """What a process does: the shards that are named on the standard input."""
    plan, parent = Plan(folder), os.getppid()
    try:
        for split, name in json.load(sys.stdin):
            if os.getppid() != parent:
                break  # nobody waits for it any more
            tokenize_shard(plan, split, plan.folder / split / name)
    except UserMistake as error:
        print(json.dumps(error.mistakes), flush=True)
        return _MISTAKE
    return 0


if __name__ == "__main__":
    sys.exit(_make_shards(Path(sys.argv[1])))
