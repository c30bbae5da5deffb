"""The driver's loop over a job's attempts: workers fail, leave, become more or fewer; it goes on.

Ray starts workers again that fail (within one worker group: that is quick). A group comes to its
end, and another one follows, when the workers are to be started differently: more, fewer, or with
a smaller micro-batch. Where training goes on from is in the store.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from unfreeze.cluster import Workers, free_resources, node_resources, slots
from unfreeze.jobs.config import JobConfig
from unfreeze.jobs.errors import OutOfMemory, TrainingFailed
from unfreeze.jobs.failures import Attempt, Failure, Kind, Tally, halved, root_cause
from unfreeze.jobs.scaling import (
    Room,
    first_size,
    limits,
    next_size,
    size_now,
    with_micro_batch,
    with_micro_batch_kept,
)
from unfreeze.jobs.zero import plan_batches

Message = dict[str, Any]
Function = Callable[[dict[str, Any]], None]

WATCH_EVERY_S = 10.0
"""How often the driver looks at the cluster; UNFREEZE_WATCH_EVERY_S in its place."""
SAY_EVERY_S = 60.0
_STEPS = ("resumed", "phase", "train")
"""Messages that say at which step the workers are."""


class Attempts:
    """A job's training, as the driver sees it."""

    def __init__(
        self,
        job: JobConfig,
        workers: Workers,
        show: Callable[[Message], None],
        *,
        room_for: Callable[[Workers], Room] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`room_for`: what there is room for in the cluster; by default the connected one's."""
        self.job, self.workers = job, workers
        self._room_for, self._clock = room_for or cluster_room, clock
        self.ended: list[dict[str, Any]] = []
        """How each attempt ended, for result.json."""
        self._show = show
        self._limits = limits(job.scale, workers.count, job.training.batch_size)
        self._tally = Tally(job.scale.max_failures)
        self._was_halved = False
        self._every_s = float(os.environ.get("UNFREEZE_WATCH_EVERY_S", WATCH_EVERY_S))
        self._watched_at = self._said_at = -SAY_EVERY_S
        self._begin()

    def run(self, function: Function) -> None:
        """Runs `function` in workers until the job is done.

        Raises what ended a worker for good, OutOfMemory, and TrainingFailed.
        """
        with tempfile.TemporaryDirectory(prefix="unfreeze-ray-") as folder:
            room = self._room_for(self.workers)
            self._wanted = first_size(self.workers.count, self._limits, room)
            goes_on = True
            while goes_on:
                self._wait_for_room()
                self._begin()
                goes_on = self._run_group(function, folder)

    def _begin(self) -> None:
        """Workers are about to start."""
        self._attempt = Attempt(self.workers.count)
        self._told: dict[int, Failure] = {}
        self._left: Message | None = None
        self._has_ended = False
        self._wanted = self.workers.count
        self._lacking_since: float | None = None

    # -- one worker group

    def _run_group(self, function: Function, folder: str) -> bool:
        """Whether another group has to follow."""
        from unfreeze.cluster.bell import Bell
        from unfreeze.cluster.mailbox import Mailbox
        from unfreeze.jobs.group import WorkerGroup

        mailbox, bell = Mailbox(), Bell()
        config = {
            "job": self.job,
            "sender": mailbox.sender(),
            "bell": bell.listener(),
            "folder": os.getcwd(),
            "on_gpu": bool(self.workers.gpus),
        }
        group = WorkerGroup(
            function,
            config,
            self.workers,
            name=self.job.name,
            folder=folder,
            failures_to=mailbox.sender(),
        )
        try:
            while not group.has_ended() and not self._watch(bell.ring):
                self._take_all(mailbox.messages())
            self._take_all(mailbox.messages(timeout_s=0.1))
            return not group.has_ended() or self._goes_on_after(group.failure())
        finally:
            group.end()

    def _take_all(self, messages: Iterator[Message]) -> None:
        for message in messages:
            self._take(message)

    def _take(self, message: Message) -> None:
        if message["kind"] == "failed":
            if message["error"] is not None:
                raise message["error"]
            self._told[message["failure"].rank] = message["failure"]
            return
        if message["kind"] == "failures":
            self._after_failure(root_cause(message["failures"], self._told))
            return
        if message["kind"] in _STEPS:
            self._attempt = self._attempt.at(message["step"])
        if message["kind"] == "leaving":
            self._left = message
        self._show(message)

    # -- what to do about an end

    def _after_failure(self, root: Failure) -> None:
        """Ray starts the workers again, unless this raises, or memory was the reason."""
        self._note_end(str(root))
        if root.kind is Kind.CAUSE:
            raise TrainingFailed("\n".join([str(root), root.traceback]).strip())
        if root.kind is Kind.MEMORY:
            self._halve(root)
            return
        attempt = self._attempt
        if not self._tally.may_go_on(root.kind, attempt):
            raise TrainingFailed(
                f"workers failed {self._tally.in_vain} times in a row without getting further "
                f"than step {attempt.reached} (scale.max_failures: {self._tally.max_failures}); "
                f"the last time: {root}"
            )
        if root.kind is not Kind.LEFT:  # "leaving" has been shown
            self._show({"kind": "again", "reason": str(root), "step": attempt.reached})
        self._begin()

    def _halve(self, root: Failure) -> None:
        training = self.job.training
        batches = plan_batches(training.batch_size, self.workers.count, training.micro_batch_size)
        used, half = batches.micro_batch_size, halved(batches.micro_batch_size)
        if half is None or self._was_halved:
            again = " again, with half the micro-batch" if self._was_halved else ""
            smaller = f"training.micro_batch_size below {used}, " if half else ""
            raise OutOfMemory(
                f"the workers ran out of memory{again} (micro-batch {used}): {root}. Set "
                f"{smaller}training.gradient_checkpointing: true, data.max_length lower, "
                "training.precision: bf16, or deepspeed.zero_stage: 3 with more workers"
            )
        self._was_halved = True
        self.job = with_micro_batch(self.job, half)
        self._show({"kind": "halved", "reason": str(root), "used": used, "micro_batch_size": half})

    def _goes_on_after(self, failure: str | None) -> bool:
        """What a group that has ended by itself means: whether another one has to follow."""
        if self._has_ended:
            return True
        if self._left is not None:
            self._note_end("resized" if self._left["asked"] else str(Failure(0, Kind.LEFT, "")))
            return True
        if failure is None:
            self._note_end("finished")
            return False
        # Not a worker, but what looks after them.
        self._after_failure(Failure(-1, Kind.MACHINE, failure))
        return True

    def _note_end(self, reason: str) -> None:
        self._has_ended = True
        self.ended.append(self._attempt.to_data(reason))

    # -- how many workers

    def _watch(self, ring: Callable[[], None]) -> bool:
        """Looks at the cluster now and then; whether this group has to end for a smaller one."""
        now = self._clock()
        if now - self._watched_at < self._every_s:
            return False
        self._watched_at = now
        room, count = self._room_for(self.workers), self.workers.count
        running = self._attempt.from_step is not None
        lacks = not running and room.in_all < count
        self._lacking_since = (self._lacking_since or now) if lacks else None
        lacking_s = now - self._lacking_since if self._lacking_since else 0.0
        size = next_size(count, self._limits, room, running=running, lacking_s=lacking_s)
        if lacks and room.in_all < self._limits[0]:
            self._say_waiting(room)
        if size is None or self._wanted != count:
            return False
        self._wanted = size
        if size > count:
            ring()  # a checkpoint first; then they leave, and the group ends
            return False
        self._note_end(f"the cluster has room for {room.in_all} workers")
        return True

    def _wait_for_room(self) -> None:
        """Settles how many workers are next."""
        while True:
            room = self._room_for(self.workers)
            now = size_now(self._wanted, self._limits, room)
            if now is not None:
                break
            self._say_waiting(room)
            time.sleep(min(1.0, self._every_s))
        before = self.workers.count
        if now != before:
            self.job = with_micro_batch_kept(self.job, before, now)
            self.workers = Workers(now, self.workers.cpus, self.workers.gpus)
            self._show({"kind": "resized", "before": before, "workers": now})

    def _say_waiting(self, room: Room) -> None:
        now = self._clock()
        if now - self._said_at >= SAY_EVERY_S:
            self._said_at = now
            least = Workers(self._limits[0], self.workers.cpus, self.workers.gpus)
            self._show({"kind": "waiting", "needs": str(least), "room": room.in_all})


def cluster_room(workers: Workers) -> Room:
    """What the connected cluster has room for, in such workers."""
    return Room(in_all=slots(node_resources(), workers), free=slots(free_resources(), workers))
