"""What is known of a running search, put together from its messages (pure)."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Row:
    """A trial, as far as it is known."""

    number: int
    settings: dict[str, Any]
    state: str = "waiting"
    lane: int | None = None
    epoch: float | None = None
    """Of the last validation while it runs, then of the best."""
    metric: float | None = None
    gap: float | None = None
    """How much better the training rows are known than the others."""


@dataclass
class Finalist:
    """A trial that is run again with other seeds."""

    number: int
    settings: dict[str, Any]
    cells: dict[int, str] = field(default_factory=dict)
    """By seed: its metric, or what it does."""


class Board:
    """Takes the messages of `run_search` and answers what is to be shown."""

    def __init__(self) -> None:
        self.name, self.metric, self.mode = "", "metric", "max"
        self.stage = ""
        """Empty until the lanes are being started."""
        self.trials: dict[str, Row] = {}
        self.finalists: dict[str, Finalist] = {}
        self.status: dict[str, Any] = {}

    def take(self, message: Mapping[str, Any]) -> None:
        """One message; kinds that are not known change nothing."""
        handler = getattr(self, f"_take_{message['kind']}", None)
        if handler:
            handler(message)

    def _take_search(self, message: Mapping[str, Any]) -> None:
        self.name, self.metric, self.mode = message["name"], message["metric"], message["mode"]
        self.stage = "trials"

    def _take_trial(self, message: Mapping[str, Any]) -> None:
        new = Row(message["number"], message["settings"])
        row = self.trials.setdefault(message["id"], new)
        row.state, row.lane = message["state"], message.get("lane")
        if "metric" in message:
            row.metric, row.epoch, row.gap = message["metric"], message["epoch"], message["gap"]

    def _take_stage(self, message: Mapping[str, Any]) -> None:
        self.stage = message["name"]
        for work in message["work"]:
            new = Finalist(work["number"], work["settings"])
            self.finalists.setdefault(work["trial"], new).cells[work["seed"]] = "waiting"

    def _take_work(self, message: Mapping[str, Any]) -> None:
        if message["judging"]:
            return
        finished = message["state"] == "finished" and message["metric"] is not None
        cell = f"{message['metric']:.4f}" if finished else message["state"]
        self.finalists[message["trial"]].cells[message["seed"]] = cell

    def _take_status(self, message: Mapping[str, Any]) -> None:
        self.status = dict(message)
        for lane in message["lanes"].values():
            if lane["trial"] is None or lane["judging"]:
                continue
            if lane["seed"] is None:
                row = self.trials.get(lane["trial"])
                if row and row.state == "running":
                    row.epoch, row.metric, row.gap = lane["epoch"], lane["metric"], lane["gap"]
            elif lane["trial"] in self.finalists:
                cells = self.finalists[lane["trial"]].cells
                if cells.get(lane["seed"]) == "waiting":
                    cells[lane["seed"]] = "running"

    @property
    def in_order(self) -> list[Row]:
        """All trials: the running ones, then the best, then the failed and the waiting ones."""
        return sorted(self.trials.values(), key=self._rank)

    def _rank(self, row: Row) -> tuple[int, float, int]:
        if row.state == "running":
            return 0, 0.0, row.number
        if row.state == "waiting":
            return 3, 0.0, row.number
        if row.metric is None or row.metric != row.metric:
            return 2, 0.0, row.number
        return 1, -row.metric if self.mode == "max" else row.metric, row.number

    @property
    def best(self) -> Row | None:
        """The best trial that is over."""
        over = [row for row in self.trials.values() if self._rank(row)[0] == 1]
        return min(over, key=self._rank, default=None)

    def counts(self) -> Counter[str]:
        """How many trials are in which state."""
        return Counter(row.state for row in self.trials.values())
