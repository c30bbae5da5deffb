"""What a search tells about itself while its lanes work: real broker, real trials, no Ray."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import searches

from unfreeze.jobs.inputs import gather_inputs
from unfreeze.storage import open_store
from unfreeze.tuning import live as live_module
from unfreeze.tuning.broker import Broker
from unfreeze.tuning.live import Live
from unfreeze.tuning.orders import Order, Outcome
from unfreeze.tuning.proposers import GridProposer
from unfreeze.tuning.search_file import parse_search
from unfreeze.tuning.trials import Forks, Trials

LINE = {"step": 11, "epoch": 1.0, "since_unfreezing": 0.0, "accuracy": 0.75, "gap": 0.02}
COST = {"seconds": 3.0, "start_up_s": 0.1, "steps_run": 20, "steps_shared": 10, "attempts": 1}


class Here:
    """The broker in this process, by the calls of a BrokerHandle."""

    def __init__(self) -> None:
        self.broker = Broker(max_failures=1)

    def ask(self, name: str, *args: Any) -> Any:
        return getattr(self.broker, name)(*args)

    def tell(self, name: str, *args: Any) -> None:
        self.ask(name, *args)


class Scene:
    """A search of 12 trials whose only lane is played by the test."""

    def __init__(self, inputs: Path, folder: Path) -> None:
        search = parse_search(searches.settings(inputs, str(folder)))
        self.root = open_store(str(folder)).under(search.config.name)
        self.here: Any = Here()
        self.broker: Broker = self.here.broker
        forks = Forks(search, gather_inputs(search.job))
        self.trials = Trials(search, forks, self.root, GridProposer(search.space), self.here)
        self.said: list[dict[str, Any]] = []
        lanes: Any = SimpleNamespace(watch=lambda: None, workers=SimpleNamespace(count=1))
        self.live = Live(search, self.here, lanes, self.trials, self.said.append)
        self.generation = self.broker.register(0)

    def look(self) -> None:
        self.live.look()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.said if message["kind"] == kind]

    def take(self) -> str:
        """The lane takes the next piece of work; its id."""
        assignment = self.broker.take(0, self.generation)
        assert assignment
        return assignment.order.id

    def finish(self, id: str, state: Any = "finished", value: float = 0.75) -> None:
        """The lane leaves a record, and says that it is done."""
        best = {"metric": value, "train_metric": 0.8, "step": 11, "epoch": 1.0}
        record = {"state": state, "why": "ran its length", "best": best, "gap": 0.05, "cost": COST}
        self.root.put(f"trials/{id}/record.json", json.dumps(record | {"validations": []}).encode())
        self.broker.finish(0, self.generation, id, Outcome(state, "ran its length", {"cost": COST}))


@pytest.fixture
def scene(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(live_module, "LOOK_EVERY_S", 0.0)
    return Scene(inputs, tmp_path / "runs")


def test_a_trial_is_told_of_when_it_waits_runs_and_ends(scene: Scene) -> None:
    trial = scene.trials.next()
    assert trial
    scene.look()
    id = scene.take()
    scene.look()
    scene.look()
    scene.finish(id)
    scene.trials.over(id, 0.75, scene.broker.outcome(id))
    scene.look()
    told = scene.of("trial")
    assert [message["state"] for message in told] == ["waiting", "running", "finished"]
    assert all(message["settings"] == trial.settings for message in told)
    assert told[1]["lane"] == 0
    assert told[2]["metric"] == 0.75
    assert told[2]["gap"] == 0.05
    assert told[2]["cost"] == COST
    assert told[2]["known"] is False


def test_status_says_what_lanes_do_and_adds_up_the_steps(scene: Scene) -> None:
    scene.trials.next()
    id = scene.take()
    scene.broker.report(0, scene.generation, id, LINE)
    scene.broker.progress(0, scene.generation, id, 14)
    scene.look()
    status = scene.of("status")[-1]
    assert status["lanes"][0] | {"settings": None} == {
        **{"trial": id, "number": 0, "settings": None, "seed": None, "judging": False},
        **{"step": 14, "epoch": 1.0, "metric": 0.75, "gap": 0.02},
    }
    assert (status["steps_run"], status["steps_shared"]) == (0, 0)
    assert (status["done"], status["total"], status["seconds_left"]) == (0, 12, None)
    scene.finish(id)
    scene.trials.over(id, 0.75, scene.broker.outcome(id))
    scene.look()
    status = scene.of("status")[-1]
    assert status["lanes"] == {0: {"trial": None}}
    assert (status["steps_run"], status["steps_shared"]) == (20, 10)
    assert status["done"] == 1
    assert status["seconds_left"] > 0


def test_a_stopped_trial_is_told_of_when_its_lane_has_written_down_what_it_took(
    scene: Scene,
) -> None:
    scene.trials.next()
    id = scene.take()
    scene.broker.stop(id)
    scene.trials.over(id, 0.6, None)
    scene.look()
    assert [message["state"] for message in scene.of("trial")] == ["waiting", "running"]
    scene.finish(id, "stopped")
    scene.look()
    assert scene.of("trial")[-1]["state"] == "stopped"
    assert scene.of("trial")[-1]["cost"] == COST


def test_a_trial_that_finished_before_its_stop_reached_it_has_finished(scene: Scene) -> None:
    scene.trials.next()
    id = scene.take()
    scene.broker.stop(id)
    scene.trials.over(id, 0.6, None)
    scene.finish(id)
    scene.look()
    assert scene.of("trial")[-1]["state"] == "finished"


def test_a_trial_of_which_nothing_was_written_down_is_told_of_all_the_same(scene: Scene) -> None:
    scene.trials.next()
    id = scene.take()
    scene.broker.stop(id)
    scene.trials.over(id, None, None)
    scene.broker.lost(0)
    scene.look()
    told = scene.of("trial")[-1]
    assert (told["state"], told["metric"], told["cost"]) == ("stopped", None, None)


def test_trials_of_an_earlier_session_are_marked_and_do_not_make_the_rest_look_quick(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "LOOK_EVERY_S", 0.0)
    first = Scene(inputs, tmp_path / "runs")
    first.trials.next()
    first.finish(first.take())
    again = Scene(inputs, tmp_path / "runs")
    assert again.of("search")[0]["known"] == 1
    trial = again.trials.next()
    assert trial
    again.trials.over(trial.id, 0.75, again.broker.outcome(trial.id))
    again.look()
    assert again.of("trial")[-1]["known"] is True
    status = again.of("status")[-1]
    assert (status["done"], status["seconds_left"]) == (1, None)
    assert status["steps_shared"] == 10


def test_finalists_are_counted_and_told_by_trial_and_seed(scene: Scene) -> None:
    trial = scene.trials.next()
    assert trial
    scene.finish(scene.take())
    scene.trials.over(trial.id, 0.75, scene.broker.outcome(trial.id))
    ids = [f"finalists/{trial.id}-seed{seed}" for seed in (1, 2)]
    scene.live.begin("finalists", ids)
    assert [work["seed"] for work in scene.of("stage")[0]["work"]] == [1, 2]
    job = scene.trials.job_of(trial)
    for id, outcome in ((ids[0], Outcome("finished", "x")), (ids[1], Outcome("failed", "y"))):
        scene.broker.submit(Order(id, id, job))
        taken = scene.take()
        scene.look()
        assert scene.of("status")[-1]["lanes"][0]["seed"] == int(id[-1])
        scene.broker.report(0, scene.generation, taken, LINE | {"accuracy": float("nan")})
        scene.broker.report(0, scene.generation, taken, LINE | {"step": 22})
        scene.broker.finish(0, scene.generation, taken, outcome)
    scene.live.wait_for(ids)
    told = [(w["number"], w["seed"], w["state"], w["metric"]) for w in scene.of("work")]
    assert told == [(0, 1, "finished", 0.75), (0, 2, "failed", 0.75)]
    scene.look()
    status = scene.of("status")[-1]
    assert (status["stage"], status["done"], status["total"]) == ("finalists", 2, 2)


def test_judging_is_told_by_the_finalist_that_is_judged(scene: Scene) -> None:
    trial = scene.trials.next()
    assert trial
    scene.finish(scene.take())
    scene.live.begin("judging", [])
    id = f"judge-finalists/{trial.id}-seed3"
    scene.broker.submit(Order(id, "x", scene.trials.job_of(trial), kind="judge"))
    scene.take()
    scene.look()
    lane = scene.of("status")[-1]["lanes"][0]
    assert (lane["judging"], lane["seed"], lane["number"]) == (True, 3, 0)
