"""Trials that are stopped at bad moments: the lanes serve on, and nothing is left behind."""

import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import search_tasks
import searches
from ray_cluster import Node

from unfreeze.cluster import connect
from unfreeze.jobs import parse_job
from unfreeze.jobs.config import JobConfig
from unfreeze.jobs.inputs import gather_inputs
from unfreeze.tuning.broker_actor import BrokerHandle
from unfreeze.tuning.lanes import Lanes, workers_of_lane
from unfreeze.tuning.orders import Order
from unfreeze.tuning.search_file import Search, parse_search
from unfreeze.tuning.space import with_settings
from unfreeze.tuning.trials import Forks

pytestmark = [pytest.mark.slow, pytest.mark.chaos]

STOPS = 50
FREE_WITHIN_S = 1.5
"""A step of the tiny job takes milliseconds, a validation or a start of a trial half a second."""


class Stand:
    """Two lanes of one worker each, with a store whose uploads take a while."""

    def __init__(self, inputs: Path, folder: Path) -> None:
        from ray import cloudpickle

        cloudpickle.register_pickle_by_value(search_tasks)
        phases = [
            {"train": "head", "for": "3ep", "learning_rate": 1e-2},
            {"train": "all", "for": "2ep", "learning_rate": 1e-3},
        ]
        space = {"phases.0.for": {"choice": ["1ep", "2ep", "3ep"]}}
        settings = searches.settings(
            inputs, str(folder / "runs"), space=space, job={"phases": phases}
        )
        self.search: Search = parse_search(settings)
        self.forks = Forks(self.search, gather_inputs(self.search.job))
        self.broker = BrokerHandle.start(max_failures=3, known_prefixes=[])
        from unfreeze.cluster import cluster_resources

        self.lanes = Lanes(
            self.broker,
            workers_of_lane(self.search.job, cluster_resources()),
            wanted=2,
            folder=str(folder / "ray"),
            every_s=0.0,  # a checkpoint after every step: there is always an upload under way
            carry_out=search_tasks.with_slow_uploads,
        )

    def submit(self, id: str, length: str, rate: float) -> None:
        job: JobConfig = with_settings(
            self.search.job, {"phases.0.for": length, "phases.0.learning_rate": rate}
        )
        self.broker.ask("submit", Order(id, f"trials/{id}", job, self.forks.of(job)))

    def wait_until_idle(self, seconds: float) -> float:
        """How long it took until no lane worked."""
        began = time.monotonic()
        while not self.broker.ask("is_idle"):
            assert time.monotonic() - began < seconds, self.broker.ask("snapshot")
            time.sleep(0.02)
        return time.monotonic() - began


@pytest.fixture
def stand(inputs: Path, tmp_path: Path, ray_address: str) -> Iterator[Stand]:
    with connect(ray_address):
        stand = Stand(inputs, tmp_path)
        try:
            yield stand
        finally:
            stand.lanes.end()


def footprint(node: Node) -> dict[str, Any]:
    """What could leak."""
    import ray
    from ray.util.state import list_actors, list_placement_groups

    workers = node.train_workers()
    return {
        "actors": len([a for a in list_actors(limit=1000) if a.state != "DEAD"]),
        "groups": len([g for g in list_placement_groups(limit=1000) if g.state != "REMOVED"]),
        "free": ray.available_resources().get("CPU", 0.0),
        "workers": sorted(process.pid for process in workers),
        "threads": sum(process.num_threads() for process in workers),
        "files": sum(process.num_fds() for process in workers),
    }


def test_fifty_stops_at_any_moment_leak_nothing(stand: Stand, ray_node: tuple[Node, str]) -> None:
    draw = random.Random(1)
    stand.submit("first", "1ep", 1e-2)
    stand.submit("second", "2ep", 2e-2)
    stand.wait_until_idle(240)
    before = footprint(ray_node[0])
    frees = []
    for i in range(STOPS // 2):
        # The same rate: the second needs the first's prefix, and waits for it or starts from it.
        rate = 1e-2 * (1 + i / 100)
        for k, length in enumerate(draw.sample(["1ep", "2ep", "3ep"], 2)):
            stand.submit(f"{i}-{k}", length, rate)
        time.sleep(draw.uniform(0.0, 2.5))
        for k in draw.sample([0, 1], 2):
            stand.broker.tell("stop", f"{i}-{k}")
        frees.append(stand.wait_until_idle(30))
    after = footprint(ray_node[0])
    for key in ("actors", "groups", "free", "workers"):
        assert after[key] == before[key], key
    # Threads and files of pools that fill up slowly are no leak; one for each stop would be.
    assert after["threads"] <= before["threads"] + 6
    assert after["files"] <= before["files"] + 10
    assert sorted(frees)[len(frees) // 2] < FREE_WITHIN_S
    assert max(frees) < 4 * FREE_WITHIN_S
    stand.submit("last", "1ep", 1e-2)
    stand.wait_until_idle(60)
    outcome = stand.broker.ask("outcome", "last")
    assert outcome.state == "finished"
    losses = searches.losses(stand.search.job.storage.uri)
    assert losses["last"] == losses["first"], "a trial on a used lane is another one"


def test_a_trial_that_fails_for_its_own_reason_is_marked_and_not_tried_again(
    stand: Stand,
) -> None:
    stand.submit("diverges", "1ep", 1e30)
    stand.submit("sound", "1ep", 1e-2)
    stand.wait_until_idle(240)
    assert sys.modules["search_tasks"] is search_tasks
    failed = stand.broker.ask("outcome", "diverges")
    assert failed.state == "failed"
    assert "the loss is" in failed.why
    assert failed.cost["cost"]["attempts"] == 1
    assert stand.broker.ask("outcome", "sound").state == "finished"
    assert stand.broker.ask("snapshot")["restarts"] == 0
    stand.submit("too-large", "1ep", 1e-2)
    stand.submit("after", "1ep", 1e-2)
    stand.submit("beside", "1ep", 2e-2)
    stand.wait_until_idle(120)
    failed = stand.broker.ask("outcome", "too-large")
    assert failed.state == "failed"
    assert "memory" in failed.why
    for id in ("after", "beside"):
        assert stand.broker.ask("outcome", id).state == "finished", "its lane is back"
    assert parse_job(stand.search.job.to_data()) == stand.search.job
