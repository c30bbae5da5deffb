"""Workers that predict: Ray actors, each with the model in memory, which take parts one by one.

A worker that dies costs the part that it had: another one gets it. Ray is imported late: it reads
its token settings when it is imported, and `connect` sets them.
"""

import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from math import ceil
from typing import Any

import pyarrow as pa

from unfreeze.cluster import NotEnoughResources, Resources, Workers, worker_settings
from unfreeze.jobs.errors import JobError, PredictionFailed
from unfreeze.jobs.inputs import cache_folder
from unfreeze.jobs.launch import set_up_worker
from unfreeze.jobs.prediction.exported import Exported, Trained, load_exported
from unfreeze.jobs.prediction.new_rows import Part
from unfreeze.storage import StorageError

MOST_FAILURES = 3
"""How often workers may die over one part, or in a row while they load the model."""
CPUS_PER_WORKER = 2
"""Of a worker without a GPU, unless it is said how many workers there are."""

Found = list[dict[str, Any]]

# Another worker would only meet them again.
_FOR_GOOD = (JobError, StorageError, AssertionError, TypeError, ValueError, LookupError)


def plan_prediction(have: Resources, wanted: int | None, parts: int) -> Workers:
    """How many workers, never more than parts: one for each GPU, else for each two CPUs; or as
    many as wanted, with an equal share of what there is. Raises NotEnoughResources."""
    if wanted is None:
        has_gpus = have.gpus >= 1
        cpus = 1 if has_gpus else max(1, min(CPUS_PER_WORKER, int(have.cpus)))
        count = int(have.gpus) if has_gpus else max(1, int(have.cpus // cpus))
        return Workers(max(1, min(count, parts)), cpus, float(has_gpus))
    count = max(1, min(wanted, parts))
    cpus = max(1, min(CPUS_PER_WORKER, int(have.cpus // count)))
    gpus = min(1.0, have.gpus / count)
    if count > have.cpus:
        raise NotEnoughResources(f"--workers {wanted}: each needs a CPU; the cluster has {have}")
    # Shares of a GPU do not add up over GPUs: three workers on two have half of one each.
    return Workers(count, cpus, 1 / ceil(1 / gpus) if gpus else 0.0)


class PredictionWorkers:
    """Actors that predict. Use `end` when they are not needed any more."""

    def __init__(self, trained: Trained, schema: pa.Schema, workers: Workers) -> None:
        """`schema`: of the rows of the parts."""
        self._trained, self._schema, self._workers = trained, schema, workers
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, Part | None]] = {}
        """What is waited for, with the actor; no part while it loads the model."""
        self._given_back: deque[Part] = deque()
        self._failures: Counter[int | None] = Counter()
        """Deaths over each part; None: in a row, while loading."""
        self.replaced = 0
        """Workers that died, and whose place another took."""
        for _ in range(workers.count):
            self._start()

    def results(self, parts: Iterator[Part]) -> Iterator[tuple[Part, Found]]:
        """What the model says of the rows of each part, in the order in which they are done.

        Raises what another worker would meet as well, and PredictionFailed.
        """
        import ray

        while True:
            self._hand_out(parts)
            if not any(part for _, part in self._busy.values()) and self._idle:
                return
            ready, _ = ray.wait(list(self._busy), timeout=1.0)
            for reference in ready:
                actor, part = self._busy.pop(reference)
                found = self._answer(reference, actor, part)
                if found is None:
                    continue
                self._idle.append(actor)
                if part:
                    yield part, found

    def end(self) -> None:
        """Ends the workers at once. Where Ray is gone, they are too."""
        for actor in [*self._idle, *(actor for actor, _ in self._busy.values())]:
            _end(actor)

    def _hand_out(self, parts: Iterator[Part]) -> None:
        while self._idle:
            part = self._given_back.popleft() if self._given_back else next(parts, None)
            if part is None:
                return
            actor = self._idle.pop()
            self._busy[actor.predict.remote(part.rows, self._schema)] = actor, part

    def _answer(self, reference: Any, actor: Any, part: Part | None) -> Found | None:
        """What a worker says; None if it died, or can do no more. Then another is started."""
        import ray

        try:
            found: Found = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, _FOR_GOOD):
                raise error.cause from None
            reason = f"{type(error.cause).__name__}: {error.cause}"
        except ray.exceptions.RayActorError as error:
            reason = str(error)
        else:
            self._failures[None] = 0
            return found
        _end(actor)
        self._note_death(part, " ".join(reason.split())[:200])
        self.replaced += 1
        self._start()
        return None

    def _note_death(self, part: Part | None, reason: str) -> None:
        self._failures[part.number if part else None] += 1
        if part:
            self._given_back.append(part)
        if self._failures[part.number if part else None] < MOST_FAILURES:
            return
        what = f"rows {part.first} to {part.last}" if part else "loading the model"
        raise PredictionFailed(f"{what}: {MOST_FAILURES} workers died over it; the last: {reason}")

    def _start(self) -> None:
        import ray

        workers = self._workers
        remote: Any = ray.remote(
            num_cpus=workers.cpus,
            num_gpus=workers.gpus,
            runtime_env={"env_vars": worker_settings()},
        )(_Predictor)
        actor = remote.remote(os.getcwd(), int(workers.cpus), bool(workers.gpus))
        self._busy[actor.load.remote(self._trained)] = actor, None


class _Predictor:
    """One worker."""

    def __init__(self, folder: str, threads: int, on_gpu: bool) -> None:
        import torch

        set_up_worker(folder, on_gpu=on_gpu)
        torch.set_num_threads(max(1, threads))
        self._exported: Exported | None = None

    def load(self, trained: Trained) -> Found:
        self._exported = load_exported(trained, cache_folder(), new_rows=True)
        return []

    def predict(self, rows: Sequence[dict[str, Any]], schema: pa.Schema) -> Found:
        assert self._exported, "parts are given to workers that have loaded the model"
        return list(self._exported.predictions(rows, schema))


def _end(actor: Any) -> None:
    import ray

    with suppress(ray.exceptions.RayError):
        ray.kill(actor)
