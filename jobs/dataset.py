"""From a job's data settings to tokenized splits: read, check, cut, tokenize once, share.

The result lies in a cache under a key of everything that determines it, so that the second worker,
the next run and every trial of a search only open it.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from pathlib import Path

import datasets
from filelock import FileLock
from transformers import PreTrainedTokenizerBase

from unfreeze.jobs.checks import (
    ALLOW_OVERLAP_HINT,
    GENERAL,
    Finding,
    Rows,
    check_columns,
    check_labels,
    check_overlap,
    check_rows,
    check_shares,
)
from unfreeze.jobs.config import DataConfig, JobConfig, SourceConfig
from unfreeze.jobs.errors import DataError
from unfreeze.jobs.roles import RowsByRole, kinds_of
from unfreeze.jobs.sources import content_hash, read_source
from unfreeze.jobs.splits import cut_shares, text_key
from unfreeze.jobs.tasks import open_task
from unfreeze.jobs.tasks.task import BadRow, Learned, Task
from unfreeze.jobs.token_store import Split, SplitWriter
from unfreeze.jobs.tokenizer import load_tokenizer, tokenizer_hash

__all__ = ["PreparedData", "Split", "prepare", "read_sources"]

FORMAT = 2
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
    folder = cache / fingerprint
    with FileLock(cache / f"{fingerprint}.lock"):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=cache, prefix=".preparing-") as scratch:
                new = Path(scratch) / "new"
                _build(job, sources, tokenizer, new)
                os.replace(new, folder)
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


def _shares(data: DataConfig) -> dict[str, float]:
    given = {"validation": data.validation, "test": data.test}
    return {split: share for split, share in given.items() if isinstance(share, float)}


def _mistakes_in(job: JobConfig) -> list[str]:
    """Settings that are right alone and wrong together."""
    mistakes = []
    if (together := sum(_shares(job.data).values())) >= 1:
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
        "shares": _shares(job.data),
        "columns": list(job.columns),  # what they are called does not matter
        "task": job.task.model_dump(mode="json"),
        "max_length": job.data.max_length,
        "on_bad_row": job.data.on_bad_row,
        "tokenizer": tokenizer_hash(tokenizer),
    }
    return sha256(json.dumps(determined_by, sort_keys=True).encode()).hexdigest()[:32]


def _build(
    job: JobConfig,
    sources: Mapping[str, datasets.Dataset],
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
) -> None:
    """Checks the rows and writes the splits and meta.json into `folder`. Raises DataError."""
    data, unlearned = job.data, open_task(job.task)
    by_role = {split: RowsByRole(rows, job.columns) for split, rows in sources.items()}
    scanned = {split: scan(rows, unlearned) for split, rows in by_role.items()}
    parts = _parts(scanned, _shares(data))
    declared = next(filter(None, map(by_role["train"].declared, job.columns)), None)
    concluded = {split: job.task.conclude(rows.counts) for split, rows in scanned.items()}

    skip = data.on_bad_row == "skip"
    findings = [
        finding for split, rows in scanned.items() for finding in check_rows(split, rows, skip=skip)
    ]
    findings += [
        Finding("warning", f"data.{split}: {remark}")
        for split, (_, remarks) in concluded.items()
        for remark in remarks
    ]
    findings += check_shares({split: len(parts[split].rows) for split in ("train", *_shares(data))})
    overlaps = check_overlap(scanned, allow=data.allow_overlap)
    if parts["train"].rows:
        labels = {split: list(chain.from_iterable(p.labels)) for split, p in parts.items()}
        known = job.task.labels_in(declared or ())
        findings += check_labels(labels, known, rows=len(parts["train"].rows))
    errors = [f.text for f in findings + overlaps if f.severity == "error"]
    if errors:
        raise DataError(errors)

    learned = unlearned.learn(set(labels["train"]), declared) | concluded["train"][0]
    task = open_task(job.task, learned)
    max_length = data.max_length or tokenizer.model_max_length
    cut_off = {}
    for split, part in parts.items():
        rows = by_role[part.source]
        with SplitWriter(folder / split, rows.schema, pack=task.pack(max_length)) as writer:
            for batch in rows.batches(part.rows):
                writer.add(task.encode(batch, tokenizer, max_length), batch)
        cut_off[split] = writer.cut_off
    meta = {
        "learned": task.learned,
        "cut_off": cut_off,
        "warnings": [f.text for f in findings],
        "overlaps": [f.text for f in overlaps],
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")


def scan(rows: RowsByRole, task: Task) -> Rows:
    """Keys and labels of all rows, a batch at a time: the texts need not fit into memory."""
    found = Rows()
    for batch in rows.batches():
        for row in batch:
            try:
                seen = task.look(row)
            except BadRow as bad:
                found.add_bad(rows.columns.get(bad.role, bad.role), bad.problem)
            else:
                found.add(text_key(*seen.texts), seen.labels, seen.counts)
    return found


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows that a split takes from a source, with their labels."""

    source: str
    rows: list[int]
    labels: list[tuple[str, ...]]


def _parts(scanned: Mapping[str, Rows], shares: Mapping[str, float]) -> dict[str, _Part]:
    """The splits, in the order train, validation, test, general. Rows that do not fit are left
    out."""
    parts = {}
    for source, scan in scanned.items():
        whole = [
            (row, key, labels)
            for row, (key, labels) in enumerate(zip(scan.keys, scan.labels, strict=True))
            if key is not None
        ]
        keys, labels = [key for _, key, _ in whole], [labels for _, _, labels in whole]
        strata = ["\0".join(each) for each in labels]
        cut = cut_shares(keys, strata, shares if source == "train" else {})
        for split, places in cut.items():
            name = source if split == "train" else split
            rows = [whole[place][0] for place in places]
            parts[name] = _Part(source, rows, [labels[place] for place in places])
    order = ("train", "validation", "test", GENERAL)
    return {split: parts[split] for split in order if split in parts}


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
