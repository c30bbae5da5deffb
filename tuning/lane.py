"""A lane, from inside: workers that take orders one after another until they are sent home."""

from collections.abc import Callable, Mapping
from typing import Any

import ray
import torch
import torch.distributed as dist

from unfreeze.jobs.errors import JobError
from unfreeze.jobs.failures import ENDS_THE_GROUP, kind_of
from unfreeze.jobs.launch import set_up_worker
from unfreeze.storage import StorageError
from unfreeze.tuning.broker_actor import GO_HOME, BrokerHandle
from unfreeze.tuning.orders import Assignment, Outcome
from unfreeze.tuning.trial_run import Bench, Line, carry_out

CarryOut = Callable[[Assignment, Bench, Line, float], Outcome]


def serve(config: dict[str, Any]) -> None:
    """What Ray Train calls in each worker of a lane."""
    set_up_worker(config["folder"], on_gpu=config["on_gpu"])
    torch.set_num_threads(config["threads"])
    lane = _Lane(config["lane"], config["broker"], config["every_s"])
    with lane.bench.notices.listening():
        lane.serve(config["carry_out"] or carry_out)


def is_of_the_trial(error: Exception) -> bool:
    """Whether another attempt would fail alike: not if the store or another rank was lost, nor if
    the lane's machine goes away."""
    return not isinstance(error, StorageError) and kind_of(error) in ENDS_THE_GROUP


class _Lane:
    """One worker's view of its lane. Rank 0 talks to the broker, the others follow."""

    def __init__(self, number: int, broker: BrokerHandle, every_s: float) -> None:
        self._number, self._broker, self._every_s = number, broker, every_s
        self.bench = Bench()
        self._generation = self._from_rank_0(lambda: broker.ask("register", number))

    def serve(self, carry_out: CarryOut) -> None:
        while True:
            found = self._from_rank_0(self._take)
            if found == GO_HOME:
                return
            if found is not None:
                self._serve(found, carry_out)

    def _serve(self, assignment: Assignment, carry_out: CarryOut) -> None:
        """After an unforeseen error the ranks may be out of step, so the group starts anew."""
        id = assignment.order.id
        line = _LineToBroker(self._broker, (self._number, self._generation, id))
        try:
            outcome = carry_out(assignment, self.bench, line, self._every_s)
        except Exception as error:
            reason = str(error).strip().split("\n")[0]
            why = reason if isinstance(error, JobError) else f"{type(error).__name__}: {reason}"
            if is_of_the_trial(error):
                failed = Outcome("failed", why)
                self._broker.ask("finish", self._number, self._generation, id, failed)
            else:
                self._broker.ask("give_back", self._number, self._generation, id, why)
            raise
        if dist.get_rank() == 0:
            self._broker.ask("finish", self._number, self._generation, id, outcome)

    def _take(self) -> Any:
        try:
            return self._broker.take(self._number, self._generation)
        except ray.exceptions.RayError:  # the broker is gone, and the search with it
            return GO_HOME

    def _from_rank_0(self, find: Callable[[], Any]) -> Any:
        found = [find() if dist.get_rank() == 0 else None]
        dist.broadcast_object_list(found, 0, group=self.bench.group)
        return found[0]


class _LineToBroker:
    """A trial's line to the broker, on rank 0; the other ranks never use theirs."""

    def __init__(self, broker: BrokerHandle, owner: tuple[int, int, str]) -> None:
        self._broker, self._owner = broker, owner
        self._stop = broker.stop_of(owner[2]) if dist.get_rank() == 0 else None

    def report(self, line: Mapping[str, Any]) -> None:
        self._broker.ask("report", *self._owner, dict(line))

    def progress(self, step: int) -> None:
        self._broker.tell("progress", *self._owner, step)

    def published(self, key: str) -> None:
        self._broker.ask("publish", key)

    def wants_stop(self) -> bool:
        return bool(ray.wait([self._stop], timeout=0)[0])
