"""From a job's data settings to tokenized splits: read, check, cut, tokenize once, share.

The result lies in a cache under a key of everything that determines it, so that the second worker,
the next run and every trial of a search only open it.
"""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import datasets
from filelock import FileLock
from transformers import PreTrainedTokenizerBase

from unfreeze.jobs.config import JobConfig, SourceConfig
from unfreeze.jobs.data.checks import (
    ALLOW_OVERLAP_HINT,
    GENERAL,
    Finding,
    check_columns,
    check_labels,
    check_overlap,
    check_rows,
    check_shares,
)
from unfreeze.jobs.data.content import content_hash
from unfreeze.jobs.data.origins import origin_of
from unfreeze.jobs.data.roles import RowsByRole, kinds_of
from unfreeze.jobs.data.row_names import Locate
from unfreeze.jobs.data.seen_rows import SeenRows
from unfreeze.jobs.data.sources import read_source
from unfreeze.jobs.data.splits import split_parts, text_key
from unfreeze.jobs.data.token_store import Split
from unfreeze.jobs.data.tokenization import Plan, join_shards, tokenize, write_rows
from unfreeze.jobs.data.tokenizer import load_tokenizer, tokenizer_hash
from unfreeze.jobs.errors import DataError, UserMistake
from unfreeze.jobs.tasks import open_task
from unfreeze.jobs.tasks.task import BadRow, Learned, Task

__all__ = ["PreparedData", "Split", "prepare", "read_sources"]

FORMAT = 4
"""Part of the key: raise it when the same data would be stored in another way."""


@dataclass(frozen=True, slots=True)
class PreparedData:
    """A job's data, ready to be trained on."""

    learned: Learned
    """What the task took from the training rows."""
    fingerprint: str
    """Equal for equal rows, splits, and examples, on every machine."""
    splits: dict[str, Split]
    """train, validation, and test and general if the job has them."""
    warnings: list[str]
    """What the person should know, one line each."""
    cut_off: dict[str, int]
    """Rows of each split that are longer than max_length."""


def prepare(job: JobConfig, located_model: str, *, cache: Path) -> PreparedData:
    """The job's data, from the cache if they are there; the cache is made if it is not.

    Raises DataError with all that is wrong, and ModelError if there is no usable tokenizer.
    """
    tokenizer = load_tokenizer(located_model, job.model)
    sources = read_sources(job, cache)
    fingerprint = _fingerprint(job, sources, tokenizer)
    folder, scratch = cache / fingerprint, cache / f".preparing-{fingerprint}"
    with FileLock(cache / f"{fingerprint}.lock"):
        if not folder.exists():
            os.replace(_prepare(job, located_model, sources, tokenizer, scratch), folder)
        shutil.rmtree(scratch, ignore_errors=True)
    return _open(folder, allow_overlap=job.data.allow_overlap)


def read_sources(job: JobConfig, cache: Path) -> dict[str, datasets.Dataset]:
    """The sources by split, with the used columns only. Raises DataError with all mistakes."""
    data = job.data
    wanted = {role: job.columns[role.name] for role in job.task.roles if role.name in job.columns}
    given = {"train": data.train, "validation": data.validation, "test": data.test}
    given |= {GENERAL: data.general}
    found = {}
    mistakes = _mistakes_in(job)
    cache.mkdir(parents=True, exist_ok=True)
    for split, source in given.items():
        if not isinstance(source, SourceConfig):
            continue
        endpoint, folder = job.storage.endpoint, cache / "sources"
        try:
            rows = read_source(source, split, endpoint=endpoint, cache=folder)
        except DataError as error:
            mistakes += error.mistakes
            continue
        findings = check_columns(split, wanted, kinds_of(rows))
        mistakes += [finding.text for finding in findings]
        if not mistakes:
            found[split] = rows.select_columns(list(wanted.values()))
    if mistakes:
        raise DataError(mistakes)
    return found


def origins(job: JobConfig, splits: Iterable[str], cache: Path) -> dict[str, Locate]:
    """In which files the rows are, of sources that `read_sources` has read."""
    endpoint, folder = job.storage.endpoint, cache / "sources"
    return {
        split: origin_of(getattr(job.data, split), split, endpoint=endpoint, cache_folder=folder)
        for split in splits
    }


def _mistakes_in(job: JobConfig) -> list[str]:
    """Settings that are right alone and wrong together."""
    mistakes = []
    if (together := sum(job.data.shares.values())) >= 1:
        text = f"data: validation and test take {together:g} of train; together it must be under 1"
        mistakes.append(text)
    names = job.columns.values()
    if len(set(names)) < len(names):
        mistakes.append(f"data.columns: one column has two roles: {', '.join(names)}")
    return mistakes


def _fingerprint(
    job: JobConfig,
    sources: Mapping[str, datasets.Dataset],
    tokenizer: PreTrainedTokenizerBase,
) -> str:
    determined_by = {
        "format": FORMAT,
        "contents": {split: content_hash(rows) for split, rows in sources.items()},
        "shares": job.data.shares,
        "columns": list(job.columns),  # what they are called does not matter
        "task": job.task.of_examples,
        "max_length": job.data.max_length,
        "on_bad_row": job.data.on_bad_row,
        "tokenizer": tokenizer_hash(tokenizer),
    }
    return sha256(json.dumps(determined_by, sort_keys=True).encode()).hexdigest()[:32]


def _prepare(
    job: JobConfig,
    located: str,
    sources: Mapping[str, datasets.Dataset],
    tokenizer: PreTrainedTokenizerBase,
    scratch: Path,
) -> Path:
    """Makes the splits in the folder `scratch`, which may hold what an earlier attempt left.

    Raises DataError and ConfigError, and then leaves nothing.
    """
    scratch.mkdir(exist_ok=True)
    checked = scratch / "checked.json"
    try:
        if not checked.exists():
            found = _check(job, sources, scratch)
            (scratch / "new.json").write_text(json.dumps(found), encoding="utf-8")
            os.replace(scratch / "new.json", checked)
        found = json.loads(checked.read_text(encoding="utf-8"))
        plan = Plan.write(scratch, job, located, found["learned"], tokenizer)
        tokenize(plan, found["splits"], processes=job.data.num_proc)
        new = scratch / "new"
        found["cut_off"] = {
            split: join_shards(plan, split, new / split) for split in found.pop("splits")
        }
    except UserMistake:
        shutil.rmtree(scratch)
        raise
    (new / "meta.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    return new


def _check(job: JobConfig, sources: Mapping[str, datasets.Dataset], folder: Path) -> dict[str, Any]:
    """Checks the rows, and writes those of each split into `folder`. Raises DataError."""
    data, task = job.data, open_task(job.task)
    by_role = {split: RowsByRole(rows, job.columns) for split, rows in sources.items()}
    scanned = {split: scan(rows, task) for split, rows in by_role.items()}
    parts = split_parts(scanned, data.shares)
    declared = next(filter(None, map(by_role["train"].declared, job.columns)), None)
    concluded = {split: job.task.conclude(rows.counts) for split, rows in scanned.items()}
    locate = origins(job, sources, folder.parent)
    findings = [
        finding
        for split, rows in scanned.items()
        for finding in check_rows(split, rows, skip=data.on_bad_row == "skip", locate=locate[split])
    ]
    findings += [
        Finding("warning", f"data.{split}: {remark}")
        for split, (_, remarks) in concluded.items()
        for remark in remarks
    ]
    findings += check_shares({split: len(parts[split].rows) for split in ("train", *data.shares)})
    overlaps = check_overlap(scanned, allow=data.allow_overlap, locate=locate)
    if len(rows := parts["train"].rows):
        known = job.task.labels_in(declared or ())
        labels = {split: part.labels for split, part in parts.items()}
        findings += check_labels(labels, known, rows=len(rows))
    errors = [f.text for f in findings + overlaps if f.severity == "error"]
    if errors:
        raise DataError(errors)
    for split, part in parts.items():
        write_rows(folder / split, by_role[part.source], part.rows)
    return {
        "learned": task.learn(set(parts["train"].labels), declared) | concluded["train"][0],
        "splits": list(parts),
        "warnings": [f.text for f in findings],
        "overlaps": [f.text for f in overlaps],
    }


def scan(rows: RowsByRole, task: Task) -> SeenRows:
    """Looks at all rows, a batch at a time: the texts need not fit into memory."""
    found = SeenRows()
    for batch in rows.batches():
        for row in batch:
            try:
                seen = task.look(row)
            except BadRow as bad:
                found.add_bad(rows.columns.get(bad.role, bad.role), bad.problem)
            else:
                group = None if seen.group is None else text_key(seen.group)
                characters = sum(map(len, seen.texts))
                found.add(text_key(*seen.texts), seen.labels, seen.counts, group, characters)
    return found


def _open(folder: Path, *, allow_overlap: bool) -> PreparedData:
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    overlaps = meta["overlaps"]
    if overlaps and not allow_overlap:
        raise DataError([text + ALLOW_OVERLAP_HINT for text in overlaps])
    return PreparedData(
        learned=meta["learned"],
        fingerprint=folder.name,
        splits={split: Split(folder / split) for split in meta["cut_off"]},
        warnings=overlaps + meta["warnings"],
        cut_off=meta["cut_off"],
    )
