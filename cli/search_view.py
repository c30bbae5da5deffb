"""What happens in a search, as it happens: a table where there is a terminal, else lines."""

import time
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from unfreeze.cli import search_words as say
from unfreeze.cli.search_board import Board
from unfreeze.cli.words import count, duration
from unfreeze.tuning import SearchResult

# Without a terminal a table would be a flood; a line this often shows that it lives.
_PLAIN_LINE_EVERY_S = 30.0
_MARKS = {"running": ">", "finished": "+", "stopped": "-", "failed": "x", "waiting": " "}
_STYLES = {"running": "cyan", "failed": "red", "stopped": "yellow", "waiting": "dim"}
_LEADERS = 10
"""So many trials stay on the screen when the search is over."""


class SearchView:
    """Shows the messages of `run_search`. Use as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self._out = console or Console(highlight=False, soft_wrap=True)
        self._board = Board()
        self._live: Live | None = None
        self._plain_at = self._began = time.monotonic()

    def __enter__(self) -> "SearchView":
        if self._out.is_terminal:
            # Drawn when there is news, by the thread that has it: no other thread may look on.
            self._live = Live(console=self._out, auto_refresh=False, transient=True)
            self._live.start()
            self._draw()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, message: dict[str, Any]) -> None:
        """One message; kinds that are not known are not shown."""
        self._board.take(message)
        handler = getattr(self, f"_show_{message['kind']}", None)
        if handler:
            handler(message)
        if message["kind"] in ("search", "status"):  # the latter twice a second
            self._draw()

    def show_end(self, result: SearchResult, run: str) -> None:
        """The winner, the verdict, and where the files are."""
        if result.was_finished:
            self._line(f"{result.uri} is finished; nothing to do")
        elif self._out.is_terminal:
            self._out.print(trials_table(self._board, _LEADERS))
            self._line(more_line(self._board, _LEADERS))
        for line in say.result_lines(result.data):
            self._line(line)
        for line in say.place_lines(result.uri, run):
            self._line(line)
        if not result.was_finished:
            self._line(f"done in {duration(time.monotonic() - self._began)}")

    # -- lines

    def _line(self, text: str, style: str = "") -> None:
        self._out.print(text, style=style, markup=False)

    def _plain(self, text: str) -> None:
        """What the table shows where there is one."""
        if not self._live:
            self._line(text)

    def _show_warning(self, message: dict[str, Any]) -> None:
        self._line(f"warning {message['text']}", "yellow")

    def _show_checked(self, message: dict[str, Any]) -> None:
        rows = ", ".join(f"{count(n)} {name}" for name, n in message["rows"].items())
        self._line(f"checked: {rows} {message['unit_name']}; starting Ray")

    def _show_search(self, message: dict[str, Any]) -> None:
        known = f", {count(message['known'])} of them are over already" * bool(message["known"])
        aim = "highest" if message["mode"] == "max" else "lowest"
        trials = f"{count(message['trials'])} trials{known}"
        self._line(f"{message['name']}: {trials}; the {aim} {message['metric']} is the best")

    def _show_lanes(self, message: dict[str, Any]) -> None:
        self._plain(f"{message['up']} lane(s) of {message['workers']} worker(s) at work")

    def _show_trial(self, message: dict[str, Any]) -> None:
        state = message["state"]
        if state == "running":
            words = say.settings(message["settings"])
            self._plain(f"trial {message['number']} runs on lane {message['lane']}  {words}")
        elif state != "waiting" and not message["known"]:
            line = say.end_of_trial(message, self._board.metric)
            if state == "failed":
                self._line(line, "red")
            else:
                self._plain(line)

    def _show_stage(self, message: dict[str, Any]) -> None:
        if message["name"] == "finalists" and not message["total"]:
            self._line("finalists: all of them have run already")
        elif message["name"] == "finalists":
            trials = {work["number"] for work in message["work"]}
            runs = f"{count(message['total'])} runs of {count(len(trials))} trials"
            self._line(f"finalists: {runs} with other seeds")
        else:
            self._line("judging: the winner and the default")

    def _show_work(self, message: dict[str, Any]) -> None:
        if message["judging"] and message["state"] == "finished":
            return
        line = f"{say.trial(message)} {message['state']}"
        if message["state"] != "finished":
            self._line(f"{line}: {message['why']}", "red")
        else:
            self._plain(f"{line}  {self._board.metric} {say.number(message['metric'])}")

    def _show_status(self, message: dict[str, Any]) -> None:
        now = time.monotonic()
        if not self._live and now - self._plain_at >= _PLAIN_LINE_EVERY_S:
            self._plain_at = now
            lanes = lane_lines(self._board) or ["starting lanes"]
            self._line("; ".join([progress_line(self._board), *lanes]))

    # -- the table

    def _draw(self) -> None:
        if self._live:
            self._live.update(self.picture(self._out.height), refresh=True)

    def picture(self, height: int) -> RenderableType:
        """The search as it is, on so many lines of a terminal."""
        board = self._board
        if not board.stage:
            return _text("checking, then starting Ray ...")
        lanes = lane_lines(board)
        most = max(1, height // 4)
        if len(lanes) > most:
            lanes = [*lanes[: most - 1], f"... and {len(lanes) - most + 1} more lanes"]
        # Heading, "and 30 more", the two lines on progress, and one that terminals keep empty.
        room = max(1, height - len(lanes) - 5)
        table = finalists_table(board, room) if board.finalists else trials_table(board, room)
        lines = [more_line(board, room), *lanes]
        texts = [_text(line) for line in lines if line]
        return Group(table, *texts, _progress_bar(board), _text(saved_line(board)))


def trials_table(board: Board, most: int) -> Table:
    """One line for each trial, the running ones first, then the best."""
    names = list(dict.fromkeys(key for row in board.trials.values() for key in row.settings))
    table = _table(["#", "state"], names, ["lane", "epoch", board.metric, "gap"])
    best = board.best
    for row in board.in_order[:most]:
        _add_row(
            table,
            f"{row.number}",
            f"{_MARKS[row.state]} {row.state}",
            *(say.value(row.settings[name]) if name in row.settings else "" for name in names),
            "" if row.lane is None else f"{row.lane}",
            "" if row.epoch is None else f"{row.epoch:.2f}",
            "" if row.metric is None else f"{row.metric:.4f}{' *' * (row is best)}",
            "" if row.gap is None else say.signed(row.gap),
            style="bold green" if row is best else _STYLES.get(row.state, ""),
        )
    return table


def finalists_table(board: Board, most: int) -> Table:
    """One line for each finalist, a column for each seed."""
    found = list(board.finalists.values())
    seeds = sorted({seed for finalist in found for seed in finalist.cells})
    names = list(dict.fromkeys(key for finalist in found for key in finalist.settings))
    table = _table(["#", "finalist"], names, [f"seed {seed}" for seed in seeds])
    for finalist in found[:most]:
        cells = [finalist.cells.get(seed, "done") for seed in seeds]
        values = [say.value(v) for v in map(finalist.settings.get, names)]
        _add_row(table, f"{finalist.number}", "default" * (not finalist.number), *values, *cells)
    return table


def more_line(board: Board, shown: int) -> str:
    """How many trials or finalists are not in the table; empty if all are."""
    more = len(board.finalists or board.trials) - shown
    return f"... and {count(more)} more" if more > 0 else ""


def lane_lines(board: Board) -> list[str]:
    """What each lane does."""
    lines = []
    for number, lane in sorted(board.status.get("lanes", {}).items()):
        if lane["trial"] is None:
            lines.append(f"lane {number}: waits for work")
        elif lane["judging"]:
            lines.append(f"lane {number}: judges {say.trial(lane)}")
        else:
            lines.append(f"lane {number}: {say.trial(lane)}, step {count(lane['step'])}")
    return lines


def progress_line(board: Board) -> str:
    """trials: 4 of 12, 1 stopped; about 2 min 3 s left"""
    status = board.status
    line = f"{board.stage}: {count(status['done'])} of {count(status['total'])}"
    if board.stage == "trials":
        counts = board.counts()
        line += "".join(f", {counts[s]} {s}" for s in ("stopped", "failed") if counts[s])
    if status["seconds_left"] is not None:
        line += f"; about {duration(status['seconds_left'])} left"
    return line


def saved_line(board: Board) -> str:
    """How much was not computed again, and how often a lane had to be started anew."""
    status = board.status
    if not status or not status["steps_run"]:
        return ""
    steps = say.shared(status["steps_run"], status["steps_shared"])
    line = f"not run again: {steps}, from {count(status['prefixes'])} shared beginning(s)"
    return line + f"; lanes restarted: {status['restarts']}" * bool(status["restarts"])


def _progress_bar(board: Board) -> RenderableType:
    if not board.status.get("lanes"):
        return _text("starting lanes ...")
    grid = Table.grid(padding=(0, 1))
    total, done = board.status["total"], board.status["done"]
    grid.add_column(width=24)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_row(ProgressBar(max(total, 1), done, width=24), progress_line(board))
    return grid


def _table(first: list[str], settings: list[str], last: list[str]) -> Table:
    """The columns of the settings give way where the terminal is narrow."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in first:
        table.add_column(name, no_wrap=True, overflow="ellipsis", min_width=min(len(name) + 1, 5))
    for name in settings:
        table.add_column(Text(say.short(name)), no_wrap=True, overflow="ellipsis")
    for name in last:
        table.add_column(name, no_wrap=True, overflow="ellipsis", min_width=len(name))
    return table


def _add_row(table: Table, *cells: str, style: str = "") -> None:
    table.add_row(*map(Text, cells), style=style)  # Text: a list is no markup


def _text(line: str) -> Text:
    return Text(line, no_wrap=True, overflow="ellipsis")
