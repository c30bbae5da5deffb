"""How well an exported model does on labelled rows of any kind, with intervals.

Every metric is had as in training: from statistics of units (see `metrics.py`). Its interval is for
this one model on other rows like these (see `estimate.py`).
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from unfreeze.jobs.config import SourceConfig
from unfreeze.jobs.data.content import content_hash
from unfreeze.jobs.data.seen_rows import MOST_NAMED, SeenRows
from unfreeze.jobs.errors import ConfigError, DataError
from unfreeze.jobs.estimate import Estimate, apart, estimate
from unfreeze.jobs.files import EVALS, STATISTICS
from unfreeze.jobs.metrics import Floats, Metric, from_bytes
from unfreeze.jobs.prediction.exported import Exported, find_trained, load_exported
from unfreeze.jobs.prediction.new_rows import NewRows, OnBadRow, read_new_rows
from unfreeze.jobs.prediction.overlap import is_the_test, shared_with_train
from unfreeze.jobs.results import JobResult, read_evals
from unfreeze.jobs.tasks.task import Units
from unfreeze.storage import ObjectNotFound, ObjectStore

MOST_DRAWS = 200_000_000
"""Rows drawn for one interval; of very many rows there are fewer resamples, 200 at least."""

Line = dict[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """What came of it."""

    data: dict[str, Any]
    """As it stands in the store, below evals/."""
    lines: Sequence[Line]
    """The rows by role, each with what the model says of it."""


def evaluate(
    runs: ObjectStore,
    result: JobResult,
    source: SourceConfig,
    *,
    endpoint: str | None,
    cache: Path,
    renamed: Mapping[str, str] = MappingProxyType({}),
    on_bad_row: OnBadRow = "stop",
    name: str | None = None,
) -> Evaluation:
    """The model on the rows of `source`; written to the store as well, as evals/NAME.json.

    `renamed`: role -> column, where the job's columns are called otherwise. `name`: by default the
    source's, with a few letters of a hash of the rows and the model. Raises DataError.
    """
    if name and ("/" in name or name.startswith(".")):
        raise ConfigError(f"--name {name}: give a plain name, without slashes")
    trained = find_trained(runs, result)
    task = trained.task(new_rows=False)
    rows = read_new_rows(
        trained.job,
        task,
        source,
        "eval",
        endpoint=endpoint,
        cache=cache,
        renamed=renamed,
        targets=True,
    )
    seen, good = _good_rows(rows, skip=on_bad_row == "skip")
    contents = content_hash(rows.data.select_columns(list(rows.by_role.columns.values())))
    key = hashlib.sha256(f"{contents} {trained.version} {on_bad_row}".encode()).hexdigest()[:8]
    exported = load_exported(trained, cache, new_rows=False)
    judged = _judge(exported, rows, good)
    found = {
        "name": name or f"{PurePath(source.path).stem or 'rows'}-{key}",
        "source": source.path,
        "rows": len(good),
        "skipped": len(rows) - len(good),
        **_about(exported, judged),
        **_scores(exported.task.metrics, judged, _own_statistics(runs, result), result.test or {}),
        "is_own_test": is_the_test(runs, task, seen.keys[good]),
        "shared_with_train": shared_with_train(result, cache, task, seen.keys[good]),
        "contents": contents,
        "model": trained.version,
    }
    _write(runs, found)
    return Evaluation(found, judged.lines)


@dataclass(frozen=True)
class _Judged:
    statistics: Floats
    further: Mapping[str, float]
    """Numbers about all rows that are no functions of sums over them; they have no intervals."""
    lines: Sequence[Line]
    cut_off: int


def _judge(exported: Exported, rows: NewRows, good: Units) -> _Judged:
    """The model on these rows, by their places."""
    scorer, task = exported.scorer, exported.task
    batches = rows.by_role.batches(good.tolist())
    with exported.split(batches, rows.by_role.schema) as (split, cut_off):
        units = np.arange(split.units)
        with torch.no_grad():
            kept = scorer.keep(exported.model, split, units, thorough=True)
        statistics = task.statistics(kept, split, units, scorer.decode)
        said = task.predictions(kept, split, units, scorer.decode)
        lines = [row | one for row, one in zip(split.rows(units), said, strict=True)]
        further = task.further_scores(kept, split)
    return _Judged(statistics, further, lines, cut_off)


def _about(exported: Exported, judged: _Judged) -> dict[str, Any]:
    return {
        "units": len(judged.statistics),
        "unit": exported.task.unit_name,
        "cut_off": judged.cut_off,
        "max_length": exported.max_length,
        "remarks": list(exported.remarks),
    }


def _good_rows(rows: NewRows, *, skip: bool) -> tuple[SeenRows, Units]:
    """What is seen of the rows, and places of those that fit and have labels that were learned.

    Raises DataError if there are others, unless they are to be skipped.
    """
    seen, mistakes = rows.look(skip=skip)
    known = rows.task.known_labels
    unknown = Counter[str]()
    strange = []
    for number, labels in enumerate(seen.label_sets):
        if known is not None and (others := set(labels) - set(known)):
            strange.append(number)
            unknown += Counter(dict.fromkeys(others, int((seen.set_of == number).sum())))
    if unknown and not skip:
        counts = ", ".join(f"{label} ({count})" for label, count in unknown.most_common(MOST_NAMED))
        mistakes.append(
            f"data.eval: labels that were not learned, with their rows: {counts}; learned were "
            f"{', '.join(list(known or ())[:MOST_NAMED])}. Rename them, or leave these rows out "
            "with --on-bad-row skip"
        )
    good: Units = np.flatnonzero(seen.fits & ~np.isin(seen.set_of, strange))
    if mistakes or not len(good):
        raise DataError(mistakes or "data.eval: no row is left")
    return seen, good


def _own_statistics(runs: ObjectStore, result: JobResult) -> Floats | None:
    """Of the run's test rows; None if it has none, or kept none."""
    try:
        return from_bytes(
            runs.get(result.data.get("test_statistics", f"{STATISTICS}/test.safetensors"))
        )
    except ObjectNotFound:
        return None


def _scores(
    metrics: Sequence[Metric], judged: _Judged, own: Floats | None, test: Mapping[str, float]
) -> dict[str, Any]:
    """`scores`, `test` and `difference` of an evaluation: a value and its interval by metric.

    `own`, `test`: statistics and scores of the run's test rows, as far as they are known.
    """
    if own is not None and own.shape[1] != judged.statistics.shape[1]:
        own = None  # of an unfreeze whose task had other metrics
    scores, of_test, differences = {}, {}, {}
    for metric in metrics:
        here = _estimated(metric, judged.statistics)
        there = None if own is None else _estimated(metric, own)
        if here:
            scores[metric.name] = _entry(here)
        if here and there:
            of_test[metric.name] = _entry(there)
            differences[metric.name] = _entry(apart(here, there, is_share=metric.is_share))
    scores |= {name: _bare(value) for name, value in judged.further.items() if name not in scores}
    for name in scores.keys() & test.keys() - of_test.keys():
        of_test[name] = _bare(test[name])
        differences[name] = _bare(scores[name]["value"] - test[name])
    return {"scores": scores, "test": of_test or None, "difference": differences or None}


def _estimated(metric: Metric, statistics: Floats) -> Estimate | None:
    """None if nothing is known; without an interval if there is but one unit."""
    value = float(metric.of(statistics.sum(axis=0)))
    if np.isnan(value):
        return None
    if len(statistics) < 2:
        return Estimate(mean=value, se=np.nan, interval=(np.nan, np.nan), per_seed=(value,))
    resamples = int(min(2000, max(200, MOST_DRAWS // len(statistics))))
    return estimate(metric, statistics[None], resamples=resamples, seed=0)


def _bare(value: float) -> dict[str, Any]:
    return {"value": value, "interval": None}


def _entry(found: Estimate) -> dict[str, Any]:
    known = not np.isnan(found.interval).any()
    return {"value": found.mean, "interval": list(found.interval) if known else None}


def _write(runs: ObjectStore, found: dict[str, Any]) -> None:
    """Puts it in the store, and counts how often this was done, and the test rows looked at."""
    earlier = list(read_evals(runs))
    same = [each for each in earlier if each["name"] == found["name"]]
    found["times"] = 1 + sum(each["times"] for each in same)
    found["touches"] = None
    if found["is_own_test"]:
        looked = sum(e["times"] for e in earlier if e["is_own_test"] and e not in same)
        found["touches"] = 1 + looked + found["times"]  # 1 of the run itself
    runs.put(f"{EVALS}/{found['name']}.json", json.dumps(found, indent=1).encode())
