"""The trials of a search, from the driver: proposed, written down, handed to the broker."""

import json
from dataclasses import dataclass
from typing import Any

from unfreeze.jobs.config import JobConfig
from unfreeze.jobs.errors import UserMistake
from unfreeze.jobs.inputs import Inputs, gather_inputs, inputs_for
from unfreeze.jobs.lengths import Span, parse_span
from unfreeze.jobs.phases import plan_phases
from unfreeze.storage import ObjectNotFound, ObjectStore, StorageError
from unfreeze.tuning.broker_actor import BrokerHandle
from unfreeze.tuning.files import PLAN, RECORD, TRIALS
from unfreeze.tuning.orders import Order, Outcome
from unfreeze.tuning.prefixes import ForkPoint, fork_points
from unfreeze.tuning.proposers import Proposer
from unfreeze.tuning.record import report_line
from unfreeze.tuning.search_file import Search
from unfreeze.tuning.space import Space, settings_key, with_settings


@dataclass(frozen=True)
class Trial:
    """One job of a search."""

    id: str
    number: int
    """In the order of proposal; 0 is the default configuration."""
    settings: dict[str, Any]

    @property
    def is_default(self) -> bool:
        return self.number == 0

    @property
    def place(self) -> str:
        """Where its files are, below the search's place in the store."""
        return f"{TRIALS}/{self.id}"


def searched_lengths(space: Space, job: JobConfig) -> dict[int, set[Span]]:
    """For each phase whose length is searched over a list: all that it may be."""
    found: dict[int, set[Span]] = {}
    for key in space.dimensions:
        parts = key.split(".")
        if len(parts) == 3 and parts[0] == "phases" and parts[2] == "for":
            values = [value for value in space.lengths(key) or [] if isinstance(value, str)]
            index = int(parts[1])
            found[index] = {parse_span(value) for value in values} | {job.phases[index].longest}
    return found


class Forks:
    """Fork points of any job that differs from the search's own in a few settings."""

    def __init__(self, search: Search, inputs: Inputs) -> None:
        self._base, self._inputs = search.job, inputs
        self._lengths = searched_lengths(search.space, search.job)
        self._is_on = search.config.sharing

    def of(self, job: JobConfig) -> tuple[ForkPoint, ...]:
        """None if sharing is off. Raises UserMistake if the job cannot be run."""
        same = job.model == self._base.model and job.data == self._base.data
        inputs = inputs_for(job, self._inputs) if same else gather_inputs(job)
        per_epoch = inputs.steps_per_epoch
        phases = plan_phases(inputs.job, inputs.model_plan.names, per_epoch)
        points = fork_points(inputs, phases, self._lengths, per_epoch)
        return tuple(points) if self._is_on else ()


class Trials:
    """Proposes trials, those of earlier sessions first, and hands them to the broker."""

    def __init__(
        self,
        search: Search,
        forks: Forks,
        root: ObjectStore,
        proposer: Proposer,
        broker: BrokerHandle,
    ) -> None:
        self._search, self._forks, self._root = search, forks, root
        self._proposer, self._broker = proposer, broker
        self.known = read_trials(root)
        self._waiting = [trial for trial, _ in self.known]
        self._records = {trial.id: record for trial, record in self.known if record}
        self.all: dict[str, Trial] = {}
        self.ended: set[str] = set()
        self._news: list[dict[str, Any]] = []
        for trial in self._waiting:
            proposer.known(trial.settings)

    def next(self) -> Trial | None:
        """The next trial, in the broker's hands; None if there are no more."""
        if len(self.all) >= self._search.trials:
            return None
        trial = self._waiting.pop(0) if self._waiting else self._propose()
        if trial is None:
            return None
        self.all[trial.id] = trial
        self._tell_about(trial, "waiting")
        self._hand_over(trial)
        return trial

    def take_news(self) -> list[dict[str, Any]]:
        """What became of which trial since it was last asked, for people to look at."""
        news, self._news = self._news, []
        return news

    def record(self, id: str) -> dict[str, Any] | None:
        """What came of a trial; None if it is not written down, or cannot be read now."""
        if id in self._records:
            return self._records[id]
        try:
            found: dict[str, Any] = json.loads(self._root.get(f"{self.all[id].place}/{RECORD}"))
        except StorageError:
            return None
        return found

    def _tell_about(self, trial: Trial, state: str, **more: Any) -> None:
        news = {"id": trial.id, "number": trial.number, "settings": trial.settings}
        self._news.append({**news, "state": state, **more})

    def over(self, id: str, value: float | None, outcome: Outcome | None) -> None:
        """Tells the proposer what came of a trial, and writes down what no lane could."""
        state = outcome.state if outcome else "stopped"
        self.ended.add(id)
        self._tell_about(self.all[id], state, why=outcome.why if outcome else "", best=value)
        self._proposer.tell(self.all[id].settings, value, state)
        if outcome and outcome.state == "failed":
            self._leave_failure(self.all[id], outcome.why)

    def _propose(self) -> Trial | None:
        space = self._search.space
        if not self.all:
            settings = space.active(space.settings_of_default(self._search.job.to_data()))
            self._proposer.known(settings)
        else:
            found = self._proposer.propose()
            if found is None:
                return None
            settings = found
        id = settings_key(settings)
        if id in self.all:  # a model-based searcher may come back to what it knows
            return None
        trial = Trial(id, len(self.all), settings)
        plan = {"number": trial.number, "settings": settings}
        self._root.put(f"{trial.place}/{PLAN}", json.dumps(plan).encode())
        return trial

    def _hand_over(self, trial: Trial) -> None:
        if record := self._records.get(trial.id):
            lines = [
                report_line(line, self._search.metric, self._search.mode)
                for line in record["validations"]
            ]
            self._answer(trial, lines, Outcome(record["state"], record["why"]))
            return
        try:
            job = self.job_of(trial)
            order = Order(trial.id, trial.place, job, self._forks.of(job))
        except UserMistake as error:
            self._answer(trial, [], Outcome("failed", "; ".join(error.mistakes)))
            return
        self._broker.ask("submit", order)

    def _answer(self, trial: Trial, lines: list[dict[str, Any]], outcome: Outcome) -> None:
        """In a lane's stead: there is nothing for it to do."""
        order = Order(trial.id, trial.place, self._search.job)
        self._broker.ask("answer", trial.id, lines, outcome, order)

    def job_of(self, trial: Trial) -> JobConfig:
        """The default's settings are the job's own, and some may not be set at all."""
        if trial.is_default:
            return self._search.job
        return with_settings(self._search.job, trial.settings)

    def _leave_failure(self, trial: Trial, why: str) -> None:
        key = f"{trial.place}/{RECORD}"
        try:
            self._root.get(key)
        except ObjectNotFound:
            record: dict[str, Any] = {
                **{"state": "failed", "why": why, "best": None, "gap": None, "freeze": None},
                **{"learning_rate": None, "validations": [], "cost": None, "shared": None},
            }
            self._root.put(key, json.dumps(record).encode())


def read_trials(root: ObjectStore) -> list[tuple[Trial, dict[str, Any] | None]]:
    """The trials that are written down, by number, with their records if they are over."""
    keys = {info.key for info in root.list(f"{TRIALS}/")}
    found = []
    for key in keys:
        _, id, name = key.split("/", 2)
        if name == PLAN:
            plan = json.loads(root.get(key))
            record_key = f"{TRIALS}/{id}/{RECORD}"
            record = json.loads(root.get(record_key)) if record_key in keys else None
            found.append((Trial(id, plan["number"], plan["settings"]), record))
    return sorted(found, key=lambda pair: pair[0].number)
