"""Random calls of drivers and lanes, thousands of them: no order is lost, none is done twice."""

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from unfreeze.jobs import JobConfig, parse_job
from unfreeze.tuning.broker import Broker
from unfreeze.tuning.orders import Assignment, Order, Outcome
from unfreeze.tuning.prefixes import ForkPoint

JOB: JobConfig = parse_job(
    {
        "name": "job",
        "model": "models/tiny",
        "task": "text-classification",
        "data": {"train": "train.jsonl"},
        "phases": [{"train": "head"}],
    }
)
DONE = Outcome("finished", "ran its length")


def state(broker: Broker) -> dict[str, Any]:
    return copy.deepcopy(vars(broker))


@dataclass
class Known:
    """What a bystander knows of an order."""

    order: Order
    attempts: int = 0
    ends: int = 0
    steps: list[int] = field(default_factory=list)


class Walk:
    """Random calls of drivers and lanes, and beside them what should come of these."""

    LANES = 4
    MAX_FAILURES = 2

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.broker = Broker(max_failures=self.MAX_FAILURES)
        self.known: dict[str, Known] = {}
        self.queue: list[str] = []
        self.published: set[str] = set()
        self.lanes: dict[int, tuple[int, Assignment | None]] = {}
        self.stopped: set[str] = set()
        self.failed: set[str] = set()
        self.ghosts: list[tuple[int, int, str]] = []
        self.handed_out = self.waited = 0

    def held(self, besides: int | None = None) -> dict[str, Assignment]:
        return {
            found.order.id: found
            for lane, (_, found) in self.lanes.items()
            if found and lane != besides
        }

    def being_computed(self) -> set[str]:
        keys = {fork.key for found in self.held().values() for fork in found.publishes}
        return keys - self.published

    def has_to_wait(self, id: str) -> bool:
        keys = [fork.key for fork in self.known[id].order.forks]
        known = max((i for i, key in enumerate(keys) if key in self.published), default=-1)
        return bool(self.being_computed() & set(keys[known + 1 :]))

    def step(self) -> None:
        working = [lane for lane, (_, found) in self.lanes.items() if found]
        missing = [lane for lane in range(self.LANES) if lane not in self.lanes]
        acts: list[tuple[Callable[..., None], Any]] = [(self.register, missing)] * 3
        acts += [(self.register, [*self.lanes]), (self.lose, [*self.lanes])]
        acts += [(self.ghost, self.ghosts), (self.stop, [*self.known][-12:])]
        acts += [(self.take, [*self.lanes])] * 9
        acts += [(self.report, working)] * 3 + [(self.publish, working)] * 2
        acts += [(self.finish, working)] * 2 + [(self.give_back, working)]
        acts += [(self.submit, [len(self.known)])] * 4 if len(self.queue) < 6 else []
        act, among = self.random.choice([(act, among) for act, among in acts if among])
        act(self.random.choice(among))
        self.look()

    def look(self) -> None:
        """What holds at any time."""
        held = [found.order.id for _, found in self.lanes.values() if found]
        assert len(held) == len(set(held))
        assert not set(held) & set(self.queue)
        seen = self.broker.snapshot()
        assert {number: lane["work"] for number, lane in seen["lanes"].items()} == {
            number: found.order.id if found else None for number, (_, found) in self.lanes.items()
        }
        assert seen["queued"] == len(self.queue)
        assert set(self.broker._claims) == self.being_computed()

    def submit(self, number: int) -> None:
        tree = [self.random.choice("ab") for _ in range(self.random.randint(0, 4))]
        era = number // 20  # prefixes that nobody has computed yet come up all the time
        keys = [f"{era}{''.join(tree[: i + 1])}" for i in range(len(tree))]
        forks = tuple(ForkPoint(0, step, key) for step, key in enumerate(keys, 1))
        one = Order(f"trial {number}", f"trials/{number}", JOB, forks)
        self.known[one.id] = Known(one)
        self.queue.append(one.id)
        self.broker.submit(one)

    def register(self, lane: int) -> None:
        self.leave(lane)
        self.lanes[lane] = (self.broker.register(lane), None)

    def lose(self, lane: int) -> None:
        self.leave(lane)
        self.broker.lost(lane)

    def leave(self, lane: int) -> None:
        now, found = self.lanes.pop(lane, (0, None))
        if found:
            self.ghosts.append((lane, now, found.order.id))
            self.again(found.order.id)

    def again(self, id: str) -> None:
        self.known[id].attempts += 1
        if id in self.stopped:
            return
        if self.known[id].attempts > self.MAX_FAILURES:
            self.failed.add(id)
            self.known[id].ends += 1
        else:
            self.queue.insert(0, id)

    def take(self, lane: int) -> None:
        now, found = self.lanes[lane]
        if found:
            return
        ready = [id for id in self.queue if not self.has_to_wait(id)]
        self.waited += bool(self.queue and self.queue[0] not in ready)
        got = self.broker.take(lane, now)
        assert (got.order.id if got else None) == (ready[0] if ready else None)
        if got:
            self.handed_out += 1
            self.queue.remove(got.order.id)
            keys = [fork.key for fork in got.order.forks]
            assert not {fork.key for fork in got.publishes} & self.published
            assert list(got.starts) == [key for key in reversed(keys) if key in self.published]
            assert got.attempt == self.known[got.order.id].attempts
            self.lanes[lane] = (now, got)

    def report(self, lane: int) -> None:
        now, found = self.lanes[lane]
        assert found
        known = self.known[found.order.id]
        step = max(1, (known.steps or [0])[-1] + self.random.choice([-1, 0, 1, 1]))
        if step not in known.steps:
            known.steps.append(step)
        self.broker.report(lane, now, found.order.id, {"step": step})
        lines, outcome = self.broker.news(found.order.id, 0)
        assert [line["step"] for line in lines] == known.steps
        assert outcome is None

    def publish(self, lane: int) -> None:
        _, found = self.lanes[lane]
        assert found
        left = [fork.key for fork in found.publishes if fork.key not in self.published]
        if left:
            self.published.add(left[0])
            self.broker.publish(left[0])

    def finish(self, lane: int) -> None:
        now, found = self.lanes[lane]
        assert found
        id = found.order.id
        self.known[id].ends += 1
        self.lanes[lane] = (now, None)
        self.ghosts.append((lane, now, id))
        self.broker.finish(lane, now, id, DONE)
        assert self.broker.outcome(id) == (None if id in self.stopped else DONE)

    def give_back(self, lane: int) -> None:
        now, found = self.lanes[lane]
        assert found
        self.lanes[lane] = (now, None)
        self.ghosts.append((lane, now, found.order.id))
        self.again(found.order.id)
        self.broker.give_back(lane, now, found.order.id, "the store is away")

    def ghost(self, ghost: tuple[int, int, str]) -> None:
        """A late call of a dead lane, or of one that has moved on to other work."""
        lane, now, id = ghost
        generation, found = self.lanes.get(lane, (0, None))
        if generation == now and found and found.order.id == id:
            return  # it got the same work again
        before = state(self.broker)
        self.broker.report(lane, now, id, {"step": 10**6})
        self.broker.progress(lane, now, id, 10**6)
        self.broker.finish(lane, now, id, Outcome("failed", "late"))
        self.broker.give_back(lane, now, id, "late")
        if generation != now:
            assert self.broker.take(lane, now) is None
        assert vars(self.broker) == before

    def stop(self, id: str) -> None:
        self.broker.stop(id)
        self.stopped.add(id)
        if id in self.queue:
            self.queue.remove(id)
        assert self.broker.is_stopped(id)

    def drain(self) -> None:
        """All goes well from here on."""
        for lane in range(self.LANES):
            if lane not in self.lanes:
                self.register(lane)
        while not self.broker.is_idle():
            for lane in self.lanes:
                self.take(lane)
                while (found := self.lanes[lane][1]) and self.random.random() < 0.5:
                    self.publish(lane)
                if found:
                    self.finish(lane)
                self.look()


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_no_order_is_lost_or_done_twice(seed: int) -> None:
    walk = Walk(seed)
    for _ in range(2000):
        walk.step()
    walk.drain()
    assert walk.handed_out > 200
    assert walk.waited > 10, "some had to wait for prefixes"
    assert walk.failed and walk.stopped and walk.ghosts
    for id, known in walk.known.items():
        outcome = walk.broker.outcome(id)
        if id in walk.stopped:
            assert known.ends <= 1
        else:
            assert known.ends == 1
            assert outcome and outcome.state == ("failed" if id in walk.failed else "finished")
            assert [line["step"] for line in walk.broker.news(id, 0)[0]] == known.steps
        walk.broker.stop(id)
    assert not (walk.broker._work or walk.broker._queue or walk.broker._claims)
