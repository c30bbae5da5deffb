"""What a search shows while it runs: what the lanes do, what has ended, how long it may take."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from unfreeze.jobs.launch import Show
from unfreeze.tuning.broker_actor import BrokerHandle
from unfreeze.tuning.files import FINALISTS
from unfreeze.tuning.lanes import Lanes
from unfreeze.tuning.search_file import Search
from unfreeze.tuning.trials import Trials

LOOK_EVERY_S = 0.5


class Live:
    """Looks at broker and lanes now and then, and tells what it sees."""

    def __init__(
        self, search: Search, broker: BrokerHandle, lanes: Lanes, trials: Trials, show: Show
    ) -> None:
        self._search = search
        self._broker, self._lanes, self._trials = broker, lanes, trials
        self._show = show
        self._known = {trial.id for trial, record in trials.known if record}
        self._stage, self._total, self._over = "trials", search.trials, 0
        self._began, self._looked_at = time.monotonic(), 0.0
        self._lanes_up = 0
        self._running: dict[str, int] = {}
        self._ended: list[dict[str, Any]] = []
        """News of trials that are over, of which their lanes have not written down all yet."""
        self._steps = {"steps_run": 0, "steps_shared": 0}
        show(
            {
                "kind": "search",
                "name": search.config.name,
                "metric": search.metric,
                "mode": search.mode,
                "trials": search.trials,
                "known": len(self._known),
            }
        )

    def begin(self, stage: str, ids: Sequence[str]) -> None:
        """The next part of the search, of so many pieces of work."""
        self._expect(stage, ids)
        self._show(
            {
                "kind": "stage",
                "name": stage,
                "total": len(ids),
                "work": [{"id": id, **self._whose(id)} for id in ids],
            }
        )

    def look(self) -> None:
        """Quick; may be called at every turn of a loop. Raises LanesFailed."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = now
        self._lanes.watch()
        seen = self._broker.ask("snapshot")
        if len(seen["lanes"]) > self._lanes_up:
            self._lanes_up = len(seen["lanes"])
            workers = self._lanes.workers.count
            self._show({"kind": "lanes", "up": self._lanes_up, "workers": workers})
        self._tell_about_trials(seen["lanes"])
        lanes = {number: self._what(lane) for number, lane in seen["lanes"].items()}
        status = {**seen, "lanes": lanes, **self._steps, **self._how_far(now)}
        self._show({"kind": "status", "stage": self._stage, **status})

    def _tell_about_trials(self, lanes: Mapping[int, Mapping[str, Any]]) -> None:
        news = self._trials.take_news()
        for trial in news:
            if trial["state"] == "waiting":
                self._show({"kind": "trial", **trial})
        self._ended += [trial for trial in news if trial["state"] != "waiting"]
        # A lane that was told to stop a trial needs a moment to write down what came of it.
        busy = {lane["work"] for lane in lanes.values()}
        for trial in [trial for trial in self._ended if trial["id"] not in busy]:
            self._ended.remove(trial)
            self._show({"kind": "trial", **trial, **self._what_came_of(trial)})
        for number, lane in lanes.items():
            started = self._trials.all.get(lane["work"])
            if started and self._running.get(started.id) != number:
                self._running[started.id] = number
                about = {"id": started.id, "number": started.number, "settings": started.settings}
                self._show({"kind": "trial", **about, "state": "running", "lane": number})

    def _what_came_of(self, trial: Mapping[str, Any]) -> dict[str, Any]:
        record = self._trials.record(trial["id"]) or {}
        cost = record.get("cost")
        if cost:
            for key in self._steps:
                self._steps[key] += cost[key]
        best = record.get("best") or {"metric": trial["best"], "epoch": None}
        return {
            # A trial that came to its end while the scheduler made up its mind has finished.
            "state": record.get("state", trial["state"]),
            "why": record.get("why", trial["why"]),
            "metric": best["metric"],
            "epoch": best["epoch"],
            "gap": record.get("gap"),
            "cost": cost,
            "known": trial["id"] in self._known,
        }

    def _what(self, lane: Mapping[str, Any]) -> dict[str, Any]:
        """What a lane does; `trial` is None if it does nothing."""
        if lane["work"] is None:
            return {"trial": None}
        line = lane["line"] or {}
        last = {"epoch": line.get("epoch"), "gap": line.get("gap")}
        step = max(lane["step"], line.get("step", 0))
        metric = line.get(self._search.metric)
        return {**self._whose(lane["work"]), "step": step, "metric": metric, **last}

    def _whose(self, id: str) -> dict[str, Any]:
        """Which trial a piece of work belongs to, and the seed if it is a finalist's."""
        name = id.removeprefix("judge-")
        trial, _, seed = name.removeprefix(f"{FINALISTS}/").partition("-seed")
        return {
            "trial": trial,
            "number": self._trials.all[trial].number,
            "settings": self._trials.all[trial].settings,
            "seed": int(seed) if seed else None,
            "judging": name != id,
        }

    def _expect(self, stage: str, ids: Sequence[str]) -> None:
        self._stage, self._total, self._over = stage, len(ids), 0
        self._began = time.monotonic()

    def _how_far(self, now: float) -> dict[str, Any]:
        done = new = self._over
        if self._stage == "trials":
            done, new = len(self._trials.ended), len(self._trials.ended - self._known)
        left = (now - self._began) / new * (self._total - done) if new else None
        return {"done": done, "total": self._total, "seconds_left": left}

    def wait_for_lanes(self) -> None:
        """Until every lane is free: trials that were stopped have left their records then."""
        while not self._broker.ask("is_idle"):
            self.look()
            time.sleep(0.1)
        self._looked_at = 0.0
        self.look()

    def wait_for(self, ids: Sequence[str]) -> None:
        """Until the work with these ids is over."""
        self._expect(self._stage, ids)
        left = list(ids)
        while left:
            self.look()
            for id in [id for id in left if self._broker.ask("outcome", id)]:
                self._show({"kind": "work", "id": id, "stage": self._stage, **self._end_of(id)})
                self._broker.tell("stop", id)
                left.remove(id)
                self._over += 1
            time.sleep(0.1 if left else 0)

    def _end_of(self, id: str) -> dict[str, Any]:
        """How a piece of work ended; `metric` is its best, None if it never had one."""
        lines, outcome = self._broker.ask("news", id, 0)
        values = [line[self._search.metric] for line in lines]
        sound = [value for value in values if value == value]
        best = (max if self._search.mode == "max" else min)(sound, default=None)
        return {**self._whose(id), "state": outcome.state, "why": outcome.why, "metric": best}
