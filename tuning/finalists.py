"""The best trials again, with other seeds; one of them wins, and is judged by the test rows."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unfreeze.jobs.config import JobConfig
from unfreeze.jobs.estimate import Estimate, estimate
from unfreeze.jobs.metrics import Floats, Metric, Mode, from_bytes
from unfreeze.storage import ObjectExists, ObjectNotFound, ObjectStore
from unfreeze.tuning.broker_actor import BrokerHandle
from unfreeze.tuning.errors import NoTrialFinished
from unfreeze.tuning.files import BEFORE_STATISTICS, FINALISTS, RECORD, STATISTICS, TESTS
from unfreeze.tuning.orders import Order
from unfreeze.tuning.search_file import Search
from unfreeze.tuning.selection import Choice, Finalist, choose
from unfreeze.tuning.trials import Forks, Trial, Trials

Wait = Callable[[Sequence[str]], None]
"""Waits until the work with these ids is over."""


@dataclass(frozen=True)
class Contender:
    """A configuration that ran with several seeds."""

    trial: Trial
    seeds: tuple[int, ...]
    places: tuple[str, ...]
    """Where the runs are, seed by seed."""
    frozen_share: float
    estimate: Estimate
    """Of the validation metric."""


def pick_trials(
    records: Mapping[str, Mapping[str, Any]], trials: Mapping[str, Trial], top: int, mode: Mode
) -> list[Trial]:
    """The best trials that ran their length, the best first, and the default (pure).

    Trials that were stopped early are not among them, for their best is not known; but the default
    is unless it failed, for the winner is compared with it. Raises NoTrialFinished.
    """
    metrics = {
        id: record["best"]["metric"]
        for id, record in records.items()
        if record["state"] == "finished" and record["best"]
    }
    if not metrics:
        raise NoTrialFinished("no trial has finished, so there is nothing to choose from")
    sign = -1 if mode == "max" else 1
    best = sorted(metrics, key=lambda id: (sign * metrics[id], trials[id].number))[:top]
    failed = {id for id, record in records.items() if record["state"] == "failed"}
    default = [id for id in trials if trials[id].is_default and id not in failed.union(best)]
    return [trials[id] for id in [*best, *default]]


def to_judge(winner: Contender, default: Contender | None) -> list[Contender]:
    """Whose runs meet the test rows, each once (pure)."""
    return [winner] if default is None or default is winner else [winner, default]


class Finals:
    """Runs the finalists on the lanes and chooses among them."""

    def __init__(
        self, search: Search, trials: Trials, forks: Forks, root: ObjectStore, broker: BrokerHandle
    ) -> None:
        self._search, self._trials, self._forks = search, trials, forks
        self._root, self._broker = root, broker
        first = search.job.training.seed + 1
        self.seeds = tuple(range(first, first + search.config.finalists.seeds))

    def run(self, finalists: Sequence[Trial], metric: Metric, wait: Wait) -> list[Contender]:
        """Every finalist with every seed; those of which no seed failed.

        The seeds are not those of the search: that one was selected for.
        """
        todo = [order for trial in finalists for order in self.orders(trial)]
        for order in todo:
            self._broker.ask("submit", order)
        wait([order.id for order in todo])
        found = [self._contender(trial, metric) for trial in finalists]
        contenders = [contender for contender in found if contender]
        if not contenders:
            raise NoTrialFinished("every finalist failed with other seeds")
        return contenders

    def choose(self, contenders: Sequence[Contender]) -> Choice:
        """The most frozen within one standard error of the best."""
        entries = [
            Finalist(
                trial=c.trial.id,
                name=f"trial {c.trial.number}",
                frozen_share=c.frozen_share,
                estimate=c.estimate,
            )
            for c in contenders
        ]
        return choose(entries, self._search.mode)

    def judge(self, winner: Contender, default: Contender | None, wait: Wait) -> int:
        """Scores the test rows, once for each winner; how often they were touched so far.

        The default configuration is scored beside it, if it is a finalist. The winner's best seed
        is exported. The touch is written down before it happens.
        """
        seed = best_seed(winner, self._search.mode)
        if self._search.job.data.test is not None:
            self._note_touch(winner.trial)
        orders = [
            Order(
                id=f"judge-{place}",
                place=place,
                job=self._job(contender.trial, n),
                kind="judge",
                exports=contender is winner and n == contender.seeds[seed],
            )
            for contender in to_judge(winner, default)
            for n, place in zip(contender.seeds, contender.places, strict=True)
        ]
        for order in orders:
            self._broker.ask("submit", order)
        wait([order.id for order in orders])
        return len(list(self._root.list(f"{TESTS}/")))

    def statistics(self, contender: Contender, name: str) -> Floats:
        """[seeds, rows, k]; `name` is STATISTICS (validation rows) or TEST_STATISTICS."""
        return np.stack([read_statistics(self._root, place, name) for place in contender.places])

    def sides(
        self, winner: Contender, default: Contender | None, name: str
    ) -> tuple[Floats, Floats | None]:
        """`statistics` of the winner and the default: the same array twice if they are one."""
        found = self.statistics(winner, name)
        if default is None or default is winner:
            return found, found if default else None
        return found, self.statistics(default, name)

    def before(self, winner: Contender) -> Floats:
        """Statistics of the general rows, [rows, k], before anything was trained."""
        place = winner.places[best_seed(winner, self._search.mode)]
        return read_statistics(self._root, place, BEFORE_STATISTICS)

    def job_of_winner(self, winner: Contender) -> JobConfig:
        """The job that trains the exported model, under a name of its own."""
        seed = winner.seeds[best_seed(winner, self._search.mode)]
        job = self._job(winner.trial, seed)
        return job.model_copy(update={"name": f"{self._search.config.name}-best"})

    def _note_touch(self, winner: Trial) -> None:
        text = f"{winner.id} {self.seeds}"
        key = f"{TESTS}/{winner.id}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
        try:
            note = {"winner": winner.settings, "seeds": self.seeds}
            self._root.put(key, json.dumps(note).encode(), if_absent=True)
        except ObjectExists:
            pass  # of an attempt that was cut off

    def orders(self, trial: Trial) -> list[Order]:
        """The trial with each of the seeds with which it has not run yet."""
        orders = []
        for seed in self.seeds:
            job = self._job(trial, seed)
            place = _place(trial, seed)
            if self._has(f"{place}/{RECORD}"):
                continue
            orders.append(Order(place, place, job, self._forks.of(job), keeps_best=True))
        return orders

    def _job(self, trial: Trial, seed: int) -> JobConfig:
        job = self._trials.job_of(trial)
        training = job.training.model_copy(update={"seed": seed})
        return job.model_copy(update={"training": training})

    def _contender(self, trial: Trial, metric: Metric) -> Contender | None:
        places = tuple(_place(trial, seed) for seed in self.seeds)
        try:
            records = [json.loads(self._root.get(f"{place}/{RECORD}")) for place in places]
        except ObjectNotFound:
            return None
        if any(record["state"] != "finished" or not record["best"] for record in records):
            return None
        every = np.stack([read_statistics(self._root, place, STATISTICS) for place in places])
        found = estimate(metric, every, seed=0)
        return Contender(trial, self.seeds, places, records[0]["freeze"]["share"], found)

    def _has(self, key: str) -> bool:
        return any(info.key == key for info in self._root.list(key))


def best_seed(contender: Contender, mode: Mode) -> int:
    """Place of the seed whose model is the best on the validation rows."""
    values = contender.estimate.per_seed
    return int(np.argmax(values) if mode == "max" else np.argmin(values))


def read_statistics(root: ObjectStore, place: str, name: str) -> Floats:
    """[rows, k]. Raises ObjectNotFound."""
    return from_bytes(root.get(f"{place}/{name}"))


def _place(trial: Trial, seed: int) -> str:
    return f"{FINALISTS}/{trial.id}-seed{seed}"
