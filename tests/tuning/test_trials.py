"""The trials of a search: proposed, written down, handed to the broker, taken up again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny

from unfreeze.jobs import ConfigError, parse_job
from unfreeze.jobs.inputs import Inputs, gather_inputs, inputs_for
from unfreeze.jobs.lengths import parse_span
from unfreeze.storage import FolderStore
from unfreeze.tuning.broker import Broker
from unfreeze.tuning.broker_actor import BrokerHandle
from unfreeze.tuning.freezing import Freeze
from unfreeze.tuning.orders import Outcome
from unfreeze.tuning.proposers import GridProposer, OptunaProposer, Proposer, RandomProposer
from unfreeze.tuning.record import make_record
from unfreeze.tuning.search_file import Search, parse_search
from unfreeze.tuning.space import settings_key, with_settings
from unfreeze.tuning.trials import Forks, Trial, Trials, read_trials, searched_lengths

DONE = Outcome("finished", "ran its length", {"cost": {"steps_run": 22}, "shared": None})
GRID = {
    "phases.0.for": {"choice": ["0ep", "1ep", "2ep"]},
    "phases.1.for": {"choice": ["0ep", "1ep"]},
}
RATES = {
    "phases.0.for": {"choice": ["0ep", "1ep", "2ep"]},
    "phases.1.learning_rate": {"loguniform": [1e-5, 1e-2]},
}
SPACES = {"grid": GRID, "random": RATES, "optuna": RATES}
every_searcher = pytest.mark.parametrize("searcher", SPACES)


class DirectBroker(BrokerHandle):
    """The real broker in this process. Looks whether a trial is written down before it is told."""

    def __init__(self, root: FolderStore) -> None:
        self.broker = Broker(max_failures=3)
        self.generation = self.broker.register(0)
        self.root = root
        self.told: list[tuple[str, str]] = []

    def ask(self, name: str, *args: Any) -> Any:
        if name in ("submit", "answer"):
            id = args[0].id if name == "submit" else args[0]
            assert json.loads(self.root.get(f"trials/{id}/plan.json"))["settings"] is not None
            self.told.append((name, id))
        return getattr(self.broker, name)(*args)

    def tell(self, name: str, *args: Any) -> None:
        self.ask(name, *args)


class LearningProposer:
    """Notes what a real proposer is told."""

    def __init__(self, proposer: Proposer) -> None:
        self.proposer, self.told = proposer, list[tuple[Any, ...]]()

    def known(self, settings: Any) -> None:
        self.proposer.known(settings)

    def propose(self) -> dict[str, Any] | None:
        return self.proposer.propose()

    def tell(self, settings: Any, value: float | None, state: Any) -> None:
        self.told.append((settings_key(settings), value, state))
        self.proposer.tell(settings, value, state)


def accuracy(trial: Trial) -> float:
    return 0.5 + int(settings_key(trial.settings)[:4], 16) / 2**18


class Session:
    """One run of `unfreeze search`, with lanes that only pretend to train."""

    def __init__(self, searches: "Searches", root: FolderStore, **settings: Any) -> None:
        self.search = searches.search(**settings)
        self.root, self.broker = root, DirectBroker(root)
        space, kind = self.search.space, self.search.config.searcher
        proposer: Proposer = RandomProposer(space, 0)
        if kind != "random":
            proposer = GridProposer(space) if kind == "grid" else OptunaProposer(space, 0, "max")
        self.proposer = LearningProposer(proposer)
        forks = searches.forks(self.search)
        self.trials = Trials(self.search, forks, root, self.proposer, self.broker)

    def run(self, most: int = 100, outcome: Callable[[Trial], Outcome] = lambda _: DONE) -> None:
        """Trains up to `most` trials, one after another."""
        while most and (trial := self.trials.next()):
            most -= 1
            if found := self.broker.broker.take(0, self.broker.generation):
                assert found.order.id == trial.id
                self.train(trial, outcome(trial))
            lines, how = self.broker.broker.news(trial.id, 0)
            self.trials.over(trial.id, lines[-1]["accuracy"] if lines else None, how)

    def train(self, trial: Trial, outcome: Outcome) -> None:
        scores = {"accuracy": accuracy(trial)}
        line = {"step": 22, "epoch": 2.0, "since_unfreezing": 1.0, "phase": 1}
        lines = [{**line, "train": scores, "validation": scores}]
        if outcome.cost:  # it came so far that it left something
            freeze = Freeze(1.0, 0, 0.5)
            record = make_record(
                outcome, lines, metric="accuracy", mode="max", freeze=freeze, learning_rate=1e-3
            )
            self.root.put(f"{trial.place}/record.json", json.dumps(record).encode())
            line = {"step": 22, **scores}
            self.broker.broker.report(0, self.broker.generation, trial.id, line)
        self.broker.broker.finish(0, self.broker.generation, trial.id, outcome)

    @property
    def settings(self) -> list[dict[str, Any]]:
        return [trial.settings for trial in self.trials.all.values()]

    @property
    def told(self) -> list[str]:
        """How the broker heard of each trial."""
        return [name for name, _ in self.broker.told]

    def record(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.root.get(f"trials/{id}/record.json"))
        return found


class Searches:
    def __init__(self, like: Inputs, folder: Path) -> None:
        self.like, self.folder = like, folder

    def search(
        self, *, searcher: str = "grid", space: Any = None, trials: int | None = None, **more: Any
    ) -> Search:
        settings = {"name": "search", "job": tiny.settings(self.folder), "searcher": searcher}
        settings |= {"space": space or SPACES[searcher], **more}
        return parse_search(settings | ({"trials": trials} if trials else {}))

    def forks(self, search: Search) -> Forks:
        return Forks(search, inputs_for(search.job, self.like))


@pytest.fixture(scope="module")
def like(inputs: Path) -> Inputs:
    return gather_inputs(parse_job(tiny.settings(inputs)))


@pytest.fixture
def searches(like: Inputs, inputs: Path) -> Searches:
    return Searches(like, inputs)


@pytest.fixture
def root(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


# -- one session


@every_searcher
def test_the_default_comes_first_and_the_numbers_follow(
    searches: Searches, root: FolderStore, searcher: str
) -> None:
    session = Session(searches, root, searcher=searcher, trials=5)
    session.run()
    trials = list(session.trials.all.values())
    assert [trial.number for trial in trials] == [0, 1, 2, 3, 4]
    assert [trial.is_default for trial in trials] == [True, False, False, False, False]
    assert len({trial.id for trial in trials}) == 5
    assert session.trials.job_of(trials[0]) == session.search.job
    first = trials[0].settings
    assert first["phases.0.for"] == "1ep"
    assert first.get("phases.1.learning_rate", 1e-3) == 1e-3
    assert session.trials.ended == set(session.trials.all)
    assert session.trials.next() is None


@every_searcher
def test_each_trial_is_written_down_before_it_is_handed_over(
    searches: Searches, root: FolderStore, searcher: str
) -> None:
    """DirectBroker looks for the plan at each hand-over."""
    session = Session(searches, root, searcher=searcher, trials=4)
    session.run()
    assert [trial for trial, _ in read_trials(root)] == list(session.trials.all.values())
    assert [id for _, id in session.broker.told] == list(session.trials.all)


def test_a_grid_ends_after_every_combination(searches: Searches, root: FolderStore) -> None:
    session = Session(searches, root)
    session.run()
    assert len(session.settings) == 6
    assert {settings_key(s) for s in session.settings} == {
        settings_key(s) for s in session.search.space.grid()
    }


def test_what_the_default_does_not_use_is_not_among_its_settings(
    searches: Searches, root: FolderStore
) -> None:
    space = {
        "phases.0.for": {"choice": ["0ep", "1ep"]},
        "phases.1.layer_decay": {"choice": [0.8, 0.9], "when": {"phases.0.for": "0ep"}},
    }
    session = Session(searches, root, space=space)
    session.run()
    assert session.settings[0] == {"phases.0.for": "1ep"}
    assert session.settings[1:] == [
        {"phases.0.for": "0ep", "phases.1.layer_decay": decay} for decay in (0.8, 0.9)
    ]


def test_a_setting_that_the_job_leaves_open_stays_open_in_the_default(
    searches: Searches, root: FolderStore
) -> None:
    space = {"phases.1.warmup": {"choice": [0.0, 0.1]}}
    session = Session(searches, root, space=space, trials=2)
    session.run()
    assert session.settings == [{"phases.1.warmup": None}, {"phases.1.warmup": 0.0}]
    default, other = session.trials.all.values()
    assert session.trials.job_of(default).phases[1].warmup is None
    assert session.trials.job_of(other).phases[1].warmup == 0.0


@every_searcher
def test_the_proposer_hears_what_came_of_each_trial(
    searches: Searches, root: FolderStore, searcher: str
) -> None:
    session = Session(searches, root, searcher=searcher, trials=3)
    session.run()
    assert session.proposer.told == [
        (trial.id, accuracy(trial), "finished") for trial in session.trials.all.values()
    ]


def test_people_hear_of_each_trial_once(searches: Searches, root: FolderStore) -> None:
    session = Session(searches, root, trials=2)
    session.run()
    news = session.trials.take_news()
    states = [(n["number"], n["state"]) for n in news]
    assert states == [(0, "waiting"), (0, "finished"), (1, "waiting"), (1, "finished")]
    assert news[1]["best"] == accuracy(next(iter(session.trials.all.values())))
    assert session.trials.take_news() == []


def test_trials_that_begin_alike_are_handed_over_with_the_same_fork_points(
    searches: Searches, root: FolderStore
) -> None:
    session = Session(searches, root, space={"phases.0.for": GRID["phases.0.for"]})
    session.run(outcome=lambda trial: DONE)
    forks = searches.forks(session.search)
    keys = {
        trial.settings["phases.0.for"]: [f.key for f in forks.of(session.trials.job_of(trial))]
        for trial in session.trials.all.values()
    }
    assert keys["0ep"] == []
    assert keys["2ep"][:1] == keys["1ep"]
    assert len(keys["2ep"]) == 2


# -- trials that cannot be run, or fail


@every_searcher
def test_a_combination_that_cannot_be_run_is_a_failed_trial_and_the_search_goes_on(
    searches: Searches, root: FolderStore, searcher: str
) -> None:
    session = Session(searches, root, searcher=searcher, space=GRID, trials=6)
    session.run()
    assert len(session.settings) == 6
    empty = settings_key({"phases.0.for": "0ep", "phases.1.for": "0ep"})
    assert empty in session.trials.all
    record = session.record(empty)
    assert record["state"] == "failed"
    assert record["why"] == "phases: all are empty, so there is nothing to train"
    assert (record["best"], record["gap"], record["validations"]) == (None, None, [])
    assert (empty, None, "failed") in session.proposer.told
    assert len([t for t in session.proposer.told if t[2] == "finished"]) == 5


def test_settings_that_do_not_go_together_are_a_failed_trial(
    searches: Searches, root: FolderStore
) -> None:
    """As they may be left by a session of another version."""
    plan = {"number": 0, "settings": {}}
    root.put("trials/0000000000/plan.json", json.dumps(plan).encode())
    plan = {"number": 1, "settings": {"phases.0.for": "often", "phases.7.for": "1ep"}}
    root.put("trials/1111111111/plan.json", json.dumps(plan).encode())
    session = Session(searches, root, trials=3)
    session.run()
    record = session.record("1111111111")
    assert record["state"] == "failed"
    assert "phases" in record["why"]
    assert len(session.settings) == 3


def test_a_record_of_a_failure_has_all_that_other_records_have(
    searches: Searches, root: FolderStore
) -> None:
    session = Session(searches, root)
    session.run()
    first = next(iter(session.trials.all))
    empty = settings_key({"phases.0.for": "0ep", "phases.1.for": "0ep"})
    assert session.record(empty).keys() == session.record(first).keys()


def test_a_failure_that_the_lane_wrote_down_is_not_written_over(
    searches: Searches, root: FolderStore
) -> None:
    diverged = Outcome("failed", "the loss is nan at step 7", {"cost": {"steps_run": 7}})
    session = Session(searches, root, trials=1)
    session.run(outcome=lambda trial: diverged)
    (id,) = session.trials.all
    record = session.record(id)
    assert (record["why"], record["cost"]) == ("the loss is nan at step 7", {"steps_run": 7})
    assert record["best"]["metric"] == accuracy(session.trials.all[id])


def test_a_trial_that_no_lane_could_do_is_written_down_as_failed(
    searches: Searches, root: FolderStore
) -> None:
    session = Session(searches, root, trials=1)
    session.run(outcome=lambda trial: Outcome("failed", "tried 4 times: its lane died"))
    (id,) = session.trials.all
    assert session.record(id)["why"] == "tried 4 times: its lane died"


# -- another session


@every_searcher
def test_a_second_session_does_nothing_twice_and_then_goes_on(
    searches: Searches, root: FolderStore, searcher: str
) -> None:
    first = Session(searches, root, searcher=searcher, trials=5)
    first.run(most=2)
    cut_off = first.trials.next()  # handed over, and then the power fails
    assert cut_off

    second = Session(searches, root, searcher=searcher, trials=5)
    assert [trial.id for trial, _ in second.trials.known] == list(first.trials.all)
    second.run()
    assert second.told == ["answer", "answer", "submit", "submit", "submit"]
    assert second.settings[:3] == first.settings
    assert [trial.number for trial in second.trials.all.values()] == [0, 1, 2, 3, 4]
    assert len({settings_key(settings) for settings in second.settings}) == 5
    assert second.proposer.told[:2] == first.proposer.told
    assert all(record for _, record in read_trials(root))
    assert len(read_trials(root)) == 5


@pytest.mark.parametrize("searcher", ["grid", "random"])
def test_a_search_that_was_cut_off_tries_what_it_would_have_tried_anyway(
    searches: Searches, tmp_path: Path, searcher: str
) -> None:
    whole = Session(searches, FolderStore(tmp_path / "whole"), searcher=searcher, trials=6)
    whole.run()
    root = FolderStore(tmp_path / "cut")
    for most in (1, 2, 6):
        session = Session(searches, root, searcher=searcher, trials=6)
        session.run(most)
    assert session.settings == whole.settings


@every_searcher
def test_more_trials_may_be_asked_for_in_a_second_session(
    searches: Searches, root: FolderStore, searcher: str
) -> None:
    first = Session(searches, root, searcher=searcher, trials=2)
    first.run()
    second = Session(searches, root, searcher=searcher, trials=4)
    second.run()
    assert second.told == ["answer", "answer", "submit", "submit"]
    assert second.settings[:2] == first.settings
    third = Session(searches, root, searcher=searcher, trials=4)
    third.run()
    assert third.told == ["answer"] * 4
    assert third.settings == second.settings


def test_fewer_trials_may_be_asked_for_in_a_second_session(
    searches: Searches, root: FolderStore
) -> None:
    Session(searches, root, trials=4).run()
    second = Session(searches, root, trials=2)
    second.run()
    assert second.told == ["answer", "answer"]
    assert len(read_trials(root)) == 4


@every_searcher
def test_what_failed_is_not_tried_again_in_a_second_session(
    searches: Searches, root: FolderStore, searcher: str
) -> None:
    bad = Outcome("failed", "tried 4 times: its lane died")
    first = Session(searches, root, searcher=searcher, trials=3)
    first.run(outcome=lambda trial: bad if trial.number == 1 else DONE)
    second = Session(searches, root, searcher=searcher, trials=3)
    second.run()
    assert second.told == ["answer"] * 3
    assert [state for _, _, state in second.proposer.told] == ["finished", "failed", "finished"]
    failed = list(second.trials.all)[1]
    assert second.broker.broker.outcome(failed) == bad


@every_searcher
def test_what_was_stopped_is_stopped_in_a_second_session_too(
    searches: Searches, root: FolderStore, searcher: str
) -> None:
    stopped = Outcome("stopped", "stopped by the scheduler", DONE.cost)
    first = Session(searches, root, searcher=searcher, trials=2)
    first.run(outcome=lambda trial: stopped)
    second = Session(searches, root, searcher=searcher, trials=2)
    second.run()
    assert second.told == ["answer", "answer"]
    assert second.proposer.told == [
        (trial.id, accuracy(trial), "stopped") for trial in second.trials.all.values()
    ]


def test_a_trial_that_was_stopped_before_it_began_is_tried_in_a_second_session(
    searches: Searches, root: FolderStore
) -> None:
    first = Session(searches, root, trials=1)
    trial = first.trials.next()
    assert trial
    first.broker.broker.stop(trial.id)
    first.trials.over(trial.id, None, None)
    assert first.proposer.told == [(trial.id, None, "stopped")]
    assert read_trials(root) == [(trial, None)]
    second = Session(searches, root, trials=1)
    second.run()
    assert second.told == ["submit"]


def test_the_record_of_a_trial_is_there_once_it_is_over(
    searches: Searches, root: FolderStore
) -> None:
    first = Session(searches, root, trials=2)
    trial = first.trials.next()
    assert trial
    assert first.trials.record(trial.id) is None
    first.train(trial, DONE)
    record = first.trials.record(trial.id)
    assert record and record["state"] == "finished"
    second = Session(searches, root, trials=2)
    assert second.trials.record(trial.id) == record


def test_other_files_of_trials_are_no_trials(searches: Searches, root: FolderStore) -> None:
    Session(searches, root, trials=2).run()
    root.put("trials/abc/checkpoints/1/manifest.json", b"{}")
    root.put("trials/abc/metrics.jsonl", b"")
    assert [trial.number for trial, _ in read_trials(root)] == [0, 1]


# -- fork points


def test_the_lengths_that_are_searched_are_those_of_lists_and_the_jobs_own(
    searches: Searches,
) -> None:
    plateau = {"until": "plateau", "at_most": "9ep"}
    space = {
        "phases.0.for": {"choice": ["0ep", "2ep", plateau]},
        "phases.1.for": {"randint": [4, 6], "unit": "st"},
        "phases.1.learning_rate": {"choice": [1e-3]},
    }
    search = searches.search(searcher="random", space=space)
    assert searched_lengths(search.space, search.job) == {
        0: {parse_span(length) for length in ("0ep", "1ep", "2ep")},
        1: {parse_span(length) for length in ("4st", "5st", "1ep")},
    }
    endless = searches.search(
        searcher="random", space={"phases.0.for": {"uniform": [0, 3], "unit": "ep"}}
    )
    assert searched_lengths(endless.space, endless.job) == {0: {parse_span("1ep")}}


def test_without_sharing_there_are_no_fork_points_but_mistakes_are_found(
    searches: Searches,
) -> None:
    search = searches.search(sharing=False)
    forks = searches.forks(search)
    assert forks.of(search.job) == ()
    empty = with_settings(search.job, {"phases.0.for": "0ep", "phases.1.for": "0ep"})
    with pytest.raises(ConfigError, match="all are empty"):
        forks.of(empty)


@pytest.mark.parametrize(
    "settings", [{"data.max_length": 16}, {"data.max_length": None}, {"model.dropout": 0.3}]
)
def test_another_model_or_other_inputs_share_nothing(
    searches: Searches, settings: dict[str, Any]
) -> None:
    search = searches.search()
    forks = searches.forks(search)
    base, other = forks.of(search.job), forks.of(with_settings(search.job, settings))
    assert len(base) == len(other) > 0
    assert not {f.key for f in base} & {f.key for f in other}


def test_a_jobs_fork_points_do_not_depend_on_its_name_or_workers(searches: Searches) -> None:
    search = searches.search()
    forks = searches.forks(search)
    other = with_settings(search.job, {"scale.workers": 7})
    assert forks.of(other) == forks.of(search.job)
