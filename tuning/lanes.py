"""The lanes of a search, from the driver: how many, started, watched, ended."""

import os
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from unfreeze.cluster import Resources, Workers, cluster_resources
from unfreeze.jobs.config import JobConfig
from unfreeze.jobs.errors import ConfigError
from unfreeze.jobs.group import WorkerGroup
from unfreeze.tuning.broker_actor import BrokerHandle
from unfreeze.tuning.errors import LanesFailed

if TYPE_CHECKING:  # it imports torch, and Ray, see jobs/group.py
    from unfreeze.tuning.lane import CarryOut

MOST_STARTS = 3
"""How often Ray Train may give up on a lane before the search goes on without it."""
LOOK_EVERY_S = 5.0


def workers_of_lane(job: JobConfig, have: Resources) -> Workers:
    """The workers of one lane: those of the job (its fewest), or one if the job does not say.

    Many narrow lanes do more trials in a time than a few wide ones: no gradients travel.
    Raises ConfigError if one lane does not fit in the cluster.
    """
    from unfreeze.jobs.preflight import plan_for  # torch is behind it

    if job.scale.workers is None or job.scale.range:
        fewest = job.scale.range[0] if job.scale.range else 1
        job = job.model_copy(update={"scale": job.scale.model_copy(update={"workers": fewest})})
    return plan_for(job, have)


def count_lanes(wanted: int | str, workers: Workers, have: Resources) -> int:
    """How many lanes: all that fit, or as many as wanted. Raises ConfigError."""
    fit = _how_often(workers.count * workers.cpus, have.cpus)
    if workers.gpus:
        fit = min(fit, _how_often(workers.count * workers.gpus, have.gpus))
    if wanted == "auto":
        return max(1, fit)
    if int(wanted) > fit:
        raise ConfigError(
            f"lanes: {wanted} lanes of {workers.count} worker(s) do not fit in the cluster, "
            f"which has {have}; at most {fit} do"
        )
    return int(wanted)


def _how_often(need: float, have: float) -> int:
    """One lane of 0.1 CPUs fits ten times into one CPU: 1 // 0.1 is 9."""
    return int(have / need + 1e-6)


def _serve(config: dict[str, Any]) -> None:
    """What Ray Train calls in each worker. Its other processes only pass it on, without torch."""
    from unfreeze.tuning.lane import serve

    serve(config)


@dataclass
class _Started:
    group: WorkerGroup
    starts: int


class Lanes:
    """Worker groups that take orders from the broker. `watch` is to be called now and then."""

    def __init__(
        self,
        broker: BrokerHandle,
        workers: Workers,
        *,
        wanted: int | str,
        folder: str,
        every_s: float,
        carry_out: "CarryOut | None" = None,
    ) -> None:
        """`folder` is for Ray Train's notes; `every_s` as in search.yaml (checkpoint_every_s).

        `carry_out` takes the place of training; the machinery is measured with it.
        """
        self._broker, self.workers, self._wanted = broker, workers, wanted
        self._folder, self._every_s, self._carry_out = folder, every_s, carry_out
        self.most = 0
        """Lanes that fit in the cluster, or fewer if fewer are wanted."""
        self._lanes: dict[int, _Started] = {}
        self._numbers = count()
        self._given_up = 0
        self._looked_at = 0.0
        self._last_failure = ""
        self.watch()

    def watch(self) -> None:
        """Starts lanes anew that gave up, and more as the cluster grows. Raises LanesFailed."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = now
        for number, lane in list(self._lanes.items()):
            if lane.group.has_ended():
                self._replace(number, lane)
        room = count_lanes("auto", self.workers, cluster_resources())
        self.most = room if self._wanted == "auto" else min(room, int(self._wanted))
        while len(self._lanes) + self._given_up < self.most:
            self._start(next(self._numbers))
        if not self._lanes:
            raise LanesFailed(f"no lane could be started: {self._last_failure}")

    def _start(self, number: int, starts: int = 1) -> None:
        group = WorkerGroup(
            _serve,
            {
                "lane": number,
                "broker": self._broker,
                "folder": os.getcwd(),
                "on_gpu": bool(self.workers.gpus),
                "threads": max(1, int(self.workers.cpus)),
                "every_s": self._every_s,
                "carry_out": self._carry_out,
            },
            self.workers,
            name=f"lane-{number}-{uuid.uuid4().hex[:8]}",
            folder=self._folder,
            most_waits=3,
        )
        self._lanes[number] = _Started(group, starts)

    def _replace(self, number: int, lane: _Started) -> None:
        """A group that has ended although it was not sent home: Train itself gave up."""
        self._last_failure = lane.group.failure() or "its workers went home too early"
        lane.group.end()
        del self._lanes[number]
        self._broker.tell("lost", number)
        if lane.starts < MOST_STARTS:
            self._start(number, lane.starts + 1)
        else:
            self._given_up += 1

    def end(self, patience_s: float = 10.0) -> None:
        """Sends all lanes home; those that do not go within the patience are ended."""
        from ray.exceptions import RayError

        deadline = time.monotonic() + patience_s
        with suppress(RayError):  # where Ray is gone, the lanes are too
            self._broker.tell("close")
            for lane in self._lanes.values():
                while time.monotonic() < deadline and not lane.group.has_ended():
                    time.sleep(0.05)
                lane.group.end()
        self._lanes.clear()
