"""From a job's data settings to tokenized splits: read, check, cut, tokenize once, share.

The result lies in a cache under a key of everything that determines it, so that the second worker,
the next run and every trial of a search only open it.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import datasets
from filelock import FileLock
from transformers import PreTrainedTokenizerBase

from unfreeze.jobs.checks import (
    ALLOW_OVERLAP_HINT,
    Rows,
    check_columns,
    check_labels,
    check_overlap,
    check_rows,
)
from unfreeze.jobs.config import Columns, DataConfig, JobConfig, SourceConfig
from unfreeze.jobs.errors import DataError
from unfreeze.jobs.label_names import label_name, sorted_labels
from unfreeze.jobs.sources import content_hash, read_source
from unfreeze.jobs.splits import cut_shares, text_key
from unfreeze.jobs.token_store import Split, TokenizedRows, write_split
from unfreeze.jobs.tokenizer import Encoder, load_tokenizer, tokenizer_hash

__all__ = ["PreparedData", "Split", "prepare", "read_sources"]

FORMAT = 1
"""Part of the key: raise it when the same data would be stored in another way."""
BATCH = 1024
"""Rows that are read and tokenized at once."""


@dataclass(frozen=True, slots=True)
class PreparedData:
    """A job's data, ready to be trained on."""

    labels: list[str]
    """Names of the label ids."""
    fingerprint: str
    """Equal for equal rows, splits, tokens and labels, on every machine."""
    splits: dict[str, Split]
    """train, validation, and test if the job has one."""
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
    fingerprint = _fingerprint(job.data, sources, tokenizer)
    folder = cache / fingerprint
    with FileLock(cache / f"{fingerprint}.lock"):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=cache, prefix=".preparing-") as scratch:
                new = Path(scratch) / "new"
                _build(job.data, sources, tokenizer, new)
                os.replace(new, folder)
    return _open(folder, allow_overlap=job.data.allow_overlap)


def read_sources(job: JobConfig, cache: Path) -> dict[str, datasets.Dataset]:
    """The sources by split, with the used columns only. Raises DataError with all mistakes."""
    data = job.data
    wanted = _columns(data.columns)
    given = {"train": data.train, "validation": data.validation, "test": data.test}
    found = {}
    mistakes = _mistakes_in(data)
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
        kinds = {name: _kind(feature) for name, feature in rows.features.items()}
        findings = check_columns(split, wanted, kinds)
        mistakes += [finding.text for finding in findings]
        if not mistakes:
            found[split] = rows.select_columns(list(wanted.values()))
    if mistakes:
        raise DataError(mistakes)
    return found


def _columns(columns: Columns) -> dict[str, str]:
    """Roles to names, in a fixed order, without those that are not used."""
    return {role: name for role, name in columns.model_dump().items() if name is not None}


def _shares(data: DataConfig) -> dict[str, float]:
    given = {"validation": data.validation, "test": data.test}
    return {split: share for split, share in given.items() if isinstance(share, float)}


def _mistakes_in(data: DataConfig) -> list[str]:
    """Settings that are right alone and wrong together."""
    mistakes = []
    if (together := sum(_shares(data).values())) >= 1:
        text = f"data: validation and test take {together:g} of train; together it must be under 1"
        mistakes.append(text)
    names = _columns(data.columns).values()
    if len(set(names)) < len(names):
        mistakes.append(f"data.columns: one column has two roles: {', '.join(names)}")
    return mistakes


def _kind(feature: Any) -> str:
    """The type of a column, in words."""
    if isinstance(feature, datasets.ClassLabel):
        return "label"
    if isinstance(feature, datasets.Value):
        return str(feature.dtype)
    if type(feature).__name__ == "Json":  # `datasets` for a column whose values have two types
        return "values of several types"
    return "lists or objects"


def _fingerprint(
    data: DataConfig,
    sources: Mapping[str, datasets.Dataset],
    tokenizer: PreTrainedTokenizerBase,
) -> str:
    determined_by = {
        "format": FORMAT,
        "contents": {split: content_hash(rows) for split, rows in sources.items()},
        "shares": _shares(data),
        "columns": data.columns.model_dump(),
        "max_length": data.max_length,
        "tokenizer": tokenizer_hash(tokenizer),
    }
    return sha256(json.dumps(determined_by, sort_keys=True).encode()).hexdigest()[:32]


def _build(
    data: DataConfig,
    sources: Mapping[str, datasets.Dataset],
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
) -> None:
    """Checks the rows and writes the splits and meta.json into `folder`. Raises DataError."""
    scanned = {split: _scan(rows, data.columns) for split, rows in sources.items()}
    parts = _parts(scanned, _shares(data))
    declared = getattr(sources["train"].features[data.columns.label], "names", None)

    findings = [finding for split, rows in scanned.items() for finding in check_rows(split, rows)]
    overlaps = check_overlap(scanned, allow=data.allow_overlap)
    if parts["train"].rows:
        findings += check_labels({s: part.labels for s, part in parts.items()}, declared or ())
    errors = [f.text for f in findings + overlaps if f.severity == "error"]
    if errors:
        raise DataError(errors)

    labels = declared or sorted_labels(set(parts["train"].labels))
    cut_off = {}
    for split, part in parts.items():
        encoder = Encoder(tokenizer, data.max_length or tokenizer.model_max_length)
        batches = _tokenized(sources[part.source], part, data.columns, labels, encoder)
        write_split(folder / split, batches, pairs=data.columns.text_pair is not None)
        cut_off[split] = encoder.cut_off
    meta = {
        "labels": labels,
        "cut_off": cut_off,
        "warnings": [f.text for f in findings],
        "overlaps": [f.text for f in overlaps],
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")


def _scan(rows: datasets.Dataset, columns: Columns) -> Rows:
    """Keys and labels of all rows, a batch at a time: the texts need not fit into memory."""
    keys: list[bytes | None] = []
    labels: list[str | None] = []
    names = getattr(rows.features[columns.label], "names", None)
    for batch in rows.iter(BATCH):
        pairs = batch[columns.text_pair] if columns.text_pair else [None] * len(batch[columns.text])
        for text, pair in zip(batch[columns.text], pairs, strict=True):
            blank = not (text or "").strip() or (columns.text_pair and not (pair or "").strip())
            keys.append(None if blank else text_key(text, pair))
        labels += [label_name(value, names) for value in batch[columns.label]]
    return Rows(keys, labels)


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows that a split takes from a source, with their labels."""

    source: str
    rows: list[int]
    labels: list[str]


def _parts(scanned: Mapping[str, Rows], shares: Mapping[str, float]) -> dict[str, _Part]:
    """The splits, in the order train, validation, test. Rows that lack something are left out."""
    parts = {}
    for source, scan in scanned.items():
        whole = [
            (row, key, label)
            for row, (key, label) in enumerate(zip(scan.keys, scan.labels, strict=True))
            if key is not None and label is not None
        ]
        keys, labels = [key for _, key, _ in whole], [label for _, _, label in whole]
        cut = cut_shares(keys, labels, shares if source == "train" else {})
        for split, places in cut.items():
            name = source if split == "train" else split
            rows = [whole[place][0] for place in places]
            parts[name] = _Part(source, rows, [labels[place] for place in places])
    return {split: parts[split] for split in ("train", "validation", "test") if split in parts}


def _tokenized(
    source: datasets.Dataset,
    part: _Part,
    columns: Columns,
    labels: Sequence[str],
    encoder: Encoder,
) -> Iterator[TokenizedRows]:
    id_of = {label: i for i, label in enumerate(labels)}
    for start in range(0, len(part.rows), BATCH):
        rows = part.rows[start : start + BATCH]
        batch = source[rows]
        texts = batch[columns.text]
        pairs = batch[columns.text_pair] if columns.text_pair else None
        tokens, token_types = encoder.encode(texts, pairs)
        label_ids = [id_of[label] for label in part.labels[start : start + BATCH]]
        numbers = [row + 1 for row in rows]
        yield TokenizedRows(tokens, token_types, label_ids, numbers, texts, pairs)


def _open(folder: Path, *, allow_overlap: bool) -> PreparedData:
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    overlaps = meta["overlaps"]
    if overlaps and not allow_overlap:
        raise DataError([text + ALLOW_OVERLAP_HINT for text in overlaps])
    return PreparedData(
        labels=meta["labels"],
        fingerprint=folder.name,
        splits={split: Split(folder / split) for split in meta["cut_off"]},
        warnings=overlaps + meta["warnings"],
        cut_off=meta["cut_off"],
    )
