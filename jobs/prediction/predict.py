"""What an exported model says of new rows: in this process, or on a cluster, part by part."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from unfreeze.cluster import cluster_resources, connect, local_resources
from unfreeze.jobs.config import SourceConfig
from unfreeze.jobs.data.roles import BATCH
from unfreeze.jobs.errors import DataError
from unfreeze.jobs.prediction.exported import Trained, find_trained, load_exported
from unfreeze.jobs.prediction.new_rows import NewRows, OnBadRow, Part, read_new_rows
from unfreeze.jobs.prediction.parts import Output
from unfreeze.jobs.results import JobResult
from unfreeze.storage import ObjectStore

PART_ROWS = BATCH
"""Rows of a part, unless somebody says how many."""

Compute = Callable[[Iterator[Part]], Iterator[tuple[Part, list[dict[str, Any]]]]]
"""What the model says of the rows of parts, in any order."""
Show = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Asked:
    """A model, and the rows that it is asked about."""

    trained: Trained
    rows: NewRows
    cache: Path
    rows_per_part: int = PART_ROWS

    @property
    def count(self) -> int:
        """How many parts there are."""
        return -(-len(self.rows) // self.rows_per_part)

    def parts(self) -> Iterator[Part]:
        """All rows, in order."""
        return self.rows.parts(self.rows_per_part)


def ask(
    runs: ObjectStore,
    result: JobResult,
    source: SourceConfig,
    *,
    endpoint: str | None,
    cache: Path,
    renamed: Mapping[str, str] = MappingProxyType({}),
    on_bad_row: OnBadRow = "stop",
    rows_per_part: int = PART_ROWS,
) -> Asked:
    """Reads and checks the rows. `renamed`: role -> column, where the job's columns are called
    otherwise. Raises DataError, with all that is wrong, unless bad rows are to be skipped."""
    trained = find_trained(runs, result)
    rows = read_new_rows(
        trained.job,
        trained.task(new_rows=True),
        source,
        "predict",
        endpoint=endpoint,
        cache=cache,
        renamed=renamed,
        targets=False,
    )
    if on_bad_row == "stop" and (mistakes := rows.look(skip=False)[1]):
        raise DataError(mistakes)
    return Asked(trained, rows, cache, rows_per_part)


def predict(
    runs: ObjectStore, result: JobResult, source: SourceConfig, *, endpoint: str | None, cache: Path
) -> Iterator[dict[str, Any]]:
    """The rows of `source` with what the model says added, in this process. Raises DataError.

    Texts are cut at the max_length of the job, as in training.
    """
    asked = ask(runs, result, source, endpoint=endpoint, cache=cache)
    yield from predicted_lines(asked, here(asked))


def predicted_lines(asked: Asked, compute: Compute) -> Iterator[dict[str, Any]]:
    """The rows with what the model says of each, in order."""
    waiting: dict[int, list[dict[str, Any]]] = {}
    due = 0
    for part, found in compute(asked.parts()):
        waiting[part.number] = part.lines(found)
        while due in waiting:
            yield from waiting.pop(due)
            due += 1


def predict_to(output: Output, asked: Asked, compute: Compute, show: Show) -> None:
    """The rows with what the model says of each, in order, in a file. Parts of it that an earlier
    attempt left are taken up. `show` gets mappings with a `kind`: taken_up, predicted, written."""
    version, done = asked.trained.version, output.done()
    names: dict[int, str] = {}
    counts = {"rows": 0, "skipped": 0, "taken_up": 0}

    def missing() -> Iterator[Part]:
        for part in asked.parts():
            names[part.number] = part.name(version)
            counts["skipped"] += len(part.problems)
            if names[part.number] not in done:
                yield part
                continue
            counts["taken_up"] += len(part.originals)
            counts["rows"] += len(part.originals)
            show({"kind": "taken_up", **counts, "of": len(asked.rows)})

    for part, found in compute(missing()):
        output.put(names[part.number], part.lines(found))
        counts["rows"] += len(part.originals)
        show({"kind": "predicted", **counts, "of": len(asked.rows)})
    output.join([names[number] for number in sorted(names)])
    show({"kind": "written", **counts, "of": len(asked.rows), "target": output.target})


def here(asked: Asked) -> Compute:
    """In this process. The model is loaded when there is something to ask it."""

    def compute(parts: Iterator[Part]) -> Iterator[tuple[Part, list[dict[str, Any]]]]:
        exported = None
        for part in parts:
            exported = exported or load_exported(asked.trained, asked.cache, new_rows=True)
            yield part, list(exported.predictions(part.rows, asked.rows.by_role.schema))

    return compute


def is_for_a_cluster(workers: int | None, address: str | None, parts: int) -> bool:
    """Whether to use Ray. Unless somebody says so, only where this machine has several GPUs and
    there is something for them to share: one process uses all cores as it is."""
    if workers is not None or address is not None:
        return workers != 0
    return parts > 1 and local_resources().gpus > 1


@contextmanager
def on_cluster(
    asked: Asked, workers: int | None, address: str | None, show: Show
) -> Iterator[Compute]:
    """On the Ray cluster at `address`, or on one that is started on this machine.

    `show` gets mappings with a `kind`: started, and replaced for each worker that died.
    Raises ClusterError.
    """
    from unfreeze.jobs.prediction.workers import PredictionWorkers, plan_prediction

    with connect(address):
        plan = plan_prediction(cluster_resources(), workers, asked.count)
        show({"kind": "started", "workers": plan.count, "gpus": plan.gpus})
        pool = PredictionWorkers(asked.trained, asked.rows.by_role.schema, plan)

        def compute(parts: Iterator[Part]) -> Iterator[tuple[Part, list[dict[str, Any]]]]:
            seen = 0
            for part, found in pool.results(parts):
                if pool.replaced > seen:
                    seen = pool.replaced
                    show({"kind": "replaced", "workers": seen})
                yield part, found

        try:
            yield compute
        finally:
            pool.end()
