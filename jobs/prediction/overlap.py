"""Whether a trained model has met rows before: in training, or as the test rows of its run."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from unfreeze.jobs.data.seen_rows import KEY, Keys
from unfreeze.jobs.data.splits import text_key
from unfreeze.jobs.data.token_store import Split
from unfreeze.jobs.files import PREDICTIONS
from unfreeze.jobs.results import JobResult, read_jsonl
from unfreeze.jobs.tasks.task import BadRow, Task
from unfreeze.storage import ObjectNotFound, ObjectStore

_AT_ONCE = 4096


def shared_with_train(result: JobResult, cache: Path, task: Task, keys: Keys) -> int | None:
    """How many of the rows with these text keys have a text that the run was trained on.

    None if this machine has not kept the tokenized training rows, or only as a stream.
    """
    prepared = (result.data.get("settings") or {}).get("data.contents")
    folder = cache / "data" / str(prepared) / "train"
    if not folder.is_dir():
        return None
    split = Split(folder)
    if split.rows_begin is not None:
        return None
    return int(np.isin(keys, _keys(_rows(split), task)).sum())


def is_the_test(runs: ObjectStore, task: Task, keys: Keys) -> bool:
    """Whether the rows with these text keys are the test rows of the run."""
    try:
        lines = read_jsonl(runs, f"{PREDICTIONS}/test.jsonl")
    except ObjectNotFound:
        return False
    roles = [role.name for role in task.options.roles]
    rows = ({role: line[role] for role in roles if role in line} for line in lines)
    return bool(np.array_equal(np.sort(_keys(rows, task)), np.sort(keys)))


def _rows(split: Split) -> Iterator[Mapping[str, Any]]:
    for start in range(0, split.units, _AT_ONCE):
        yield from split.rows(np.arange(start, min(start + _AT_ONCE, split.units)))


def _keys(rows: Iterable[Mapping[str, Any]], task: Task) -> Keys:
    """Text keys of the rows that can be read."""
    found = []
    for row in rows:
        # Of a running text only the numbers of the rows are kept.
        with suppress(BadRow, KeyError):
            found.append(text_key(*task.look(row).texts))
    return np.array(found, KEY)
