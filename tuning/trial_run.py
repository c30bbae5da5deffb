"""One order in a lane: a trial from its longest prefix to its end, or a finalist's judgement."""

import json
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from unfreeze.jobs.checkpointing import BEST_STATISTICS_FILE, BackgroundWriter
from unfreeze.jobs.companion import Fork, Signals
from unfreeze.jobs.config import JobConfig
from unfreeze.jobs.data.checks import GENERAL
from unfreeze.jobs.errors import LossNotFinite, RunStopped
from unfreeze.jobs.finish import best_model, export, keep_all, settled, untrained_model
from unfreeze.jobs.inputs import Inputs, gather_inputs, inputs_for
from unfreeze.jobs.metrics import to_bytes
from unfreeze.jobs.notices import Notices
from unfreeze.jobs.progress import Progress
from unfreeze.jobs.run import Run
from unfreeze.jobs.tasks.task import Task
from unfreeze.jobs.worker import keep_quiet, open_run, train_to_the_end
from unfreeze.storage import CheckpointStore, ObjectStore, StorageError
from unfreeze.tuning.files import (
    BEFORE_STATISTICS,
    GENERAL_STATISTICS,
    LEARNED,
    METRICS,
    PREFIXES,
    RECORD,
    STATISTICS,
    TEST_STATISTICS,
    root_of,
)
from unfreeze.tuning.freezing import freeze_of
from unfreeze.tuning.orders import Assignment, Outcome, State
from unfreeze.tuning.record import make_record, report_line, validation_lines


class Line(Protocol):
    """The way from a lane to whoever wants the work done. Called on rank 0 only."""

    def report(self, line: Mapping[str, Any]) -> None:
        """A validation."""

    def progress(self, step: int) -> None:
        """How far it is."""

    def published(self, key: str) -> None:
        """A fork point is in the store."""

    def wants_stop(self) -> bool:
        """Whether nobody wants this work any more. Answers at once."""


class Bench:
    """What stays in a lane's worker from one order to the next."""

    def __init__(self) -> None:
        self.writer = BackgroundWriter()
        self.group = dist.new_group(backend="gloo")
        self.notices = Notices()
        self._inputs: dict[str, Inputs] = {}

    def inputs(self, job: JobConfig) -> Inputs:
        """Model and data are looked up once for all trials that share them."""
        plain = job.to_data()
        key = json.dumps([plain["model"], plain["task"], plain["data"]], sort_keys=True)
        if key not in self._inputs:
            self._inputs = {key: gather_inputs(job)}
        return inputs_for(job, self._inputs[key])

    def agree(self, *flags: bool) -> list[bool]:
        """Rank 0's flags, on all ranks."""
        if dist.get_world_size() == 1:
            return list(flags)
        tensor = torch.tensor(flags, dtype=torch.int32)
        dist.broadcast(tensor, 0, group=self.group)
        return [bool(flag) for flag in tensor.tolist()]


class TrialCompanion:
    """Follows a trial: stops it, has it publish its fork points, and writes few checkpoints."""

    def __init__(
        self, assignment: Assignment, bench: Bench, line: Line, root: ObjectStore, every_s: float
    ) -> None:
        self.keeps_last = assignment.order.keeps_best
        self.run: Run | None = None
        self.began_at = time.monotonic()
        self.start_up_s: float | None = None
        self._assignment, self._bench, self._line = assignment, bench, line
        self._root, self._every_s = root, every_s
        self._saved_at = self._told_at = time.monotonic()
        self._reported = 0

    def signals(self, *, is_best: bool, is_due: bool) -> Signals:
        """Rank 0 looks at its clock, and whether the trial is still wanted."""
        stop = due = False
        if dist.get_rank() == 0:
            now = time.monotonic()
            stop = self._line.wants_stop()
            # Never while another is being written: a trial that waits for it cannot be stopped.
            due = now - self._saved_at >= self._every_s and self._bench.writer.is_idle()
            if now - self._told_at >= 0.5 and self.run and self.run.metrics:
                self._told_at = now
                self._line.progress(self.run.metrics[-1]["step"])
        stop, due = self._bench.agree(stop, due)
        due |= self._assignment.order.keeps_best and (is_best or is_due)
        if due:
            self._saved_at = time.monotonic()
        return Signals(stop, due)

    def forks_at(self, progress: Progress) -> list[Fork]:
        assert self.run
        phase = self.run.phases[progress.phase]
        keys = [p.key for p in self._assignment.publishes if p.is_at(progress, phase)]
        return [
            Fork(prefix_store(self._root, key), partial(self._line.published, key)) for key in keys
        ]

    def tell(self, kind: str, **fields: Any) -> None:
        """What the run says, on rank 0."""
        if kind == "phase" and self.start_up_s is None:
            self.start_up_s = time.monotonic() - self.began_at
        if kind in ("validation", "resumed"):
            assert self.run
            lines = lines_of(self.run)
            for line in lines[self._reported :]:
                self._line.report(report_line(line, self.run.job.metric, self.run.job.mode))
            self._reported = len(lines)


def prefix_store(root: ObjectStore, key: str) -> CheckpointStore:
    """Where the state of a fork point is."""
    return CheckpointStore(root.under(PREFIXES).under(key))


def lines_of(run: Run) -> list[dict[str, Any]]:
    """The validations of a run."""
    return validation_lines(run.metrics, run.phases, run.steps_per_epoch)


def carry_out(assignment: Assignment, bench: Bench, line: Line, every_s: float) -> Outcome:
    """Does what the order says. All ranks of the lane call it.

    A trial that is stopped or diverges is an outcome; all else that goes wrong is raised, and
    NodeLeaving after a notice.
    """
    job = assignment.order.job
    root = root_of(job)
    if assignment.order.kind == "judge":
        return _judge(assignment, bench, root)
    companion = TrialCompanion(assignment, bench, line, root, every_s)
    inputs = bench.inputs(job)
    tell = companion.tell if dist.get_rank() == 0 else keep_quiet
    place = root.under(assignment.order.place)
    run = companion.run = open_run(inputs, tell, place, bench.writer, companion, bench.notices)
    progress = Progress()
    state: State = "finished"
    try:
        starts = [prefix_store(root, key) for key in assignment.starts]
        train_to_the_end(run, progress, starts)
        why = "ran its length"
        if any(phase["ended"] == "plateau" for phase in progress.phases):
            why = "stopped getting better"
    except RunStopped:
        state, why = "stopped", "stopped by the scheduler"
    except LossNotFinite as error:
        state, why = "failed", str(error)
    outcome = Outcome(state, why, _cost(assignment, companion, progress))
    if dist.get_rank() == 0:
        _leave_record(run, outcome, place)
        if not assignment.order.keeps_best:
            bench.writer.do(lambda: _remove_checkpoints(place))
    return outcome


def _cost(assignment: Assignment, companion: TrialCompanion, progress: Progress) -> dict[str, Any]:
    shared = progress.shared_steps
    return {
        "cost": {
            "seconds": time.monotonic() - companion.began_at,
            "start_up_s": companion.start_up_s,
            "steps_run": progress.step - shared,
            "steps_shared": shared,
            "seconds_shared": progress.shared_seconds,
            "attempts": assignment.attempt + 1,
        },
        "shared": {"from_step": shared} if shared else None,
        "lane": assignment.lane,
    }


def _leave_record(run: Run, outcome: Outcome, place: ObjectStore) -> None:
    record = make_record(
        outcome,
        lines_of(run),
        metric=run.job.metric,
        mode=run.job.mode,
        freeze=freeze_of(run.phases, run.model_plan.sizes, run.steps_per_epoch),
        learning_rate=[phase for phase in run.phases if phase.max_steps][-1].learning_rate,
    )
    place.put(METRICS, run.metrics_bytes())
    notes = run.notes()
    if BEST_STATISTICS_FILE in notes:
        place.put(STATISTICS, notes[BEST_STATISTICS_FILE])
    place.put(RECORD, json.dumps(record).encode())


def _remove_checkpoints(place: ObjectStore) -> None:
    """A trial that is over needs none. What cannot be removed now only costs space."""
    try:
        keys = [info.key for folder in ("checkpoints/", "blobs/") for info in place.list(folder)]
        place.delete(keys)
    except StorageError:
        pass


def _judge(assignment: Assignment, bench: Bench, root: ObjectStore) -> Outcome:
    order, began = assignment.order, time.monotonic()
    inputs = bench.inputs(order.job)
    place = root.under(order.place)
    run = open_run(inputs, keep_quiet, place, bench.writer)
    if order.exports and GENERAL in run.data.splits:
        _leave_statistics(run, run.task, untrained_model(run), GENERAL, place, BEFORE_STATISTICS)
    model, _ = best_model(run)
    task, _ = settled(run, keep_all(run, model, "validation"))
    for split, file in (("test", TEST_STATISTICS), (GENERAL, GENERAL_STATISTICS)):
        if split in run.data.splits:
            _leave_statistics(run, task, model, split, place, file)
    if order.exports and dist.get_rank() == 0:
        export(run, model, inputs, root, task.configuration())
        root.put(LEARNED, json.dumps(task.learned).encode())
    dist.barrier()
    return Outcome("finished", "judged", {"cost": {"seconds": time.monotonic() - began}})


def _leave_statistics(
    run: Run, task: Task, model: nn.Module, name: str, place: ObjectStore, file: str
) -> None:
    """Of all units of a split, by the task with all that it has learned. A collective call."""
    kept, split = keep_all(run, model, name), run.data.splits[name]
    statistics = task.statistics(kept, split, np.arange(split.units), run.decode)
    if dist.get_rank() == 0:
        place.put(file, to_bytes(statistics))
