"""What a search shows: the messages of a small one, as lines and as a table."""

import io
from typing import Any

import pytest
from rich.console import Console

from unfreeze.cli import search_words as say
from unfreeze.cli.search_board import Board
from unfreeze.cli.search_view import SearchView
from unfreeze.tuning import SearchResult

SETTINGS = {"phases.0.for": "2ep", "phases.1.learning_rate": 3.05e-5, "phases.1.train": "all"}


def search(trials: int = 12, known: int = 0) -> dict[str, Any]:
    about = {"name": "reviews-search", "metric": "accuracy", "mode": "max"}
    return {"kind": "search", "trials": trials, "known": known, **about}


def trial(number: int, state: str, **more: Any) -> dict[str, Any]:
    settings = SETTINGS | {"phases.1.learning_rate": 1e-5 * (number + 1)}
    message = {"id": f"t{number}", "number": number, "settings": settings, "state": state}
    return {"kind": "trial", **message, **more}


def over(number: int, metric: float | None, state: str = "finished", **more: Any) -> dict[str, Any]:
    cost = {"seconds": 12.3, "start_up_s": 0.8, "steps_run": 90, "steps_shared": 30, "attempts": 1}
    ended = {"metric": metric, "epoch": 2.0, "gap": 0.0123, "why": "ran its length", "cost": cost}
    return trial(number, state, **{**ended, "known": False, **more})


def work(number: int, seed: int | None = None, *, judging: bool = False) -> dict[str, Any]:
    whose = {"trial": f"t{number}", "number": number, "settings": SETTINGS}
    return {**whose, "seed": seed, "judging": judging}


def doing(number: int, seed: int | None = None, **more: Any) -> dict[str, Any]:
    reached = {"step": 1_033, "epoch": 1.5, "metric": 0.75, "gap": 0.01}
    return {**work(number, seed), **reached, **more}


def status(lanes: dict[int, dict[str, Any]], **more: Any) -> dict[str, Any]:
    known = {"queued": 3, "prefixes": 2, "restarts": 0, "steps_run": 90, "steps_shared": 30}
    far = {"stage": "trials", "done": 4, "total": 12, "seconds_left": 123.0}
    return {"kind": "status", "lanes": lanes, **known, **far, **more}


def begin_finalists(*numbers: int) -> dict[str, Any]:
    runs = [{"id": f"f{n}-{seed}", **work(n, seed)} for n in numbers for seed in (1, 2)]
    return {"kind": "stage", "name": "finalists", "total": len(runs), "work": runs}


def ended(number: int, seed: int, state: str = "finished", **more: Any) -> dict[str, Any]:
    message = {**work(number, seed), "state": state, "why": "", "metric": 0.8125}
    return {"kind": "work", "id": f"f{number}-{seed}", "stage": "finalists", **message, **more}


def lines_of(*messages: dict[str, Any]) -> list[str]:
    """What is said where there is no terminal."""
    out = io.StringIO()
    with SearchView(Console(file=out, soft_wrap=True, highlight=False)) as view:
        for message in messages:
            view.show(message)
    return out.getvalue().splitlines()


def picture(*messages: dict[str, Any], height: int = 24, width: int = 100) -> list[str]:
    """What stands on a terminal of this size."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, height=height, color_system=None)
    with SearchView(console) as view:
        for message in messages:
            view.show(message)
        drawn = console.render_lines(view.picture(height), pad=False)
    return ["".join(part.text for part in line).rstrip() for line in drawn]


def many(trials: int) -> list[dict[str, Any]]:
    """Lane 0 works on the last trial, the others are over, the later the better."""
    messages = [search(trials)]
    for number in range(trials - 1):
        messages += [trial(number, "waiting"), over(number, number / 1000)]
    last = trials - 1
    return [*messages, trial(last, "running", lane=0), status({0: doing(last)})]


def test_a_trial_gets_a_line_when_it_starts_and_one_when_it_ends() -> None:
    assert lines_of(
        search(), trial(3, "waiting"), trial(3, "running", lane=1), over(3, 0.8123)
    ) == [
        "reviews-search: 12 trials; the highest accuracy is the best",
        "trial 3 runs on lane 1  0.for=2ep 1.learning_rate=4e-05 1.train=all",
        "trial 3 finished  0.for=2ep 1.learning_rate=4e-05 1.train=all  accuracy 0.8123 at epoch "
        "2.00, gap +0.0123  ran its length  12 s, began with 30 of 120 steps (25%) of other trials",
    ]


def test_trials_of_an_earlier_session_are_counted_and_get_no_lines() -> None:
    lines = lines_of(search(known=2), over(0, 0.8, known=True), over(1, 0.7, known=True))
    assert lines == [
        "reviews-search: 12 trials, 2 of them are over already; the highest accuracy is the best"
    ]


def test_a_failed_trial_says_why_with_and_without_a_terminal() -> None:
    why = "the loss is nan at step 7"
    failed = over(5, None, "failed", why=why, cost=None, epoch=None, gap=None)
    assert lines_of(search(), failed)[-1].endswith(f"1.train=all  {why}")
    out = io.StringIO()
    with SearchView(Console(file=out, force_terminal=True, width=200, color_system=None)) as view:
        view.show(search())
        view.show(failed)
    assert why in out.getvalue()


def test_without_a_terminal_the_state_is_said_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    out = io.StringIO()
    with SearchView(Console(file=out, soft_wrap=True)) as view:
        view.show(search())
        for second in range(100):
            now = float(second)
            view.show(status({0: doing(4), 1: {"trial": None}}))
    said = out.getvalue().splitlines()[1:]
    assert len(said) == 3
    assert said[0] == (
        "trials: 4 of 12; about 2 min 3 s left; lane 0: trial 4, step 1,033; lane 1: waits for work"
    )


def test_finalists_are_named_by_trial_and_seed() -> None:
    lines = lines_of(search(), begin_finalists(3, 0), ended(3, 2), ended(0, 1, "failed", why="x"))
    assert lines[1:] == [
        "finalists: 4 runs of 2 trials with other seeds",
        "trial 3, seed 2 finished  accuracy 0.8125",
        "trial 0, seed 1 failed: x",
    ]


def test_finalists_that_have_run_in_an_earlier_session_are_not_counted() -> None:
    assert lines_of(search(), begin_finalists())[1] == "finalists: all of them have run already"


def test_the_table_has_the_running_trial_on_top_and_then_the_best() -> None:
    found = picture(*many(4))
    assert found[0].split() == [
        *("#", "state", "0.for", "1.learning_rate", "1.train", "lane", "epoch", "accuracy", "gap")
    ]
    assert [line.split()[0] for line in found[1:5]] == ["3", "2", "1", "0"]
    assert found[1].split() == [
        *("3", ">", "running", "2ep", "4e-05", "all", "0", "1.50", "0.7500", "+0.0100")
    ]
    assert "0.0020 *" in found[2]
    assert found[5] == "lane 0: trial 3, step 1,033"
    assert found[6].endswith("trials: 4 of 12; about 2 min 3 s left")
    assert found[7] == "not run again: 30 of 120 steps (25%), from 2 shared beginning(s)"


@pytest.mark.parametrize("height", [8, 12, 24, 50])
@pytest.mark.parametrize("width", [40, 70, 200])
@pytest.mark.parametrize("lanes", [1, 3, 40])
def test_the_table_is_never_taller_than_the_terminal(height: int, width: int, lanes: int) -> None:
    busy = status({lane: doing(39) for lane in range(lanes)}, restarts=2)
    found = picture(*many(40), busy, height=height, width=width)
    assert len(found) < height
    assert max(map(len, found)) <= width
    assert len([line for line in found if line.endswith("more") and "..." in line]) == (
        0 if height == 50 and lanes < 10 else 1
    )
    if width > 60:
        assert found[1].startswith("39  > r")
        assert "0.7500" in found[1]
    final = picture(*many(40), busy, begin_finalists(*range(39)), height=height, width=width)
    assert len(final) < height


def test_how_many_trials_are_not_shown_is_said() -> None:
    found = picture(*many(40), height=14)
    shown = [line for line in found if "finished" in line or "running" in line]
    assert f"... and {40 - len(shown)} more" in " ".join(found)


def test_the_finalists_have_a_column_for_each_seed() -> None:
    messages = [search(), begin_finalists(3, 0), status({0: doing(0, 1)}), ended(3, 1)]
    found = picture(*messages, status({0: doing(0, 1)}, stage="finalists", done=1, total=4))
    assert found[0].split()[-4:] == ["seed", "1", "seed", "2"]
    assert found[1].split()[-2:] == ["0.8125", "waiting"]
    assert found[2].split()[:2] == ["0", "default"]
    assert found[2].split()[-2:] == ["running", "waiting"]
    assert found[3] == "lane 0: trial 0, seed 1, step 1,033"


def test_settings_that_look_like_markup_are_shown_as_they_are() -> None:
    message = trial(0, "running", lane=0) | {"settings": {"phases.1.train": "[bold]last:1[/bold]"}}
    assert "[bold]last:1[/bold]" in picture(search(), message)[1]
    assert lines_of(search(), message)[-1].endswith("1.train=[bold]last:1[/bold]")


def test_before_ray_is_up_the_terminal_says_what_is_being_done() -> None:
    assert picture() == ["checking, then starting Ray ..."]
    assert "starting lanes ..." in picture(search())


def test_trials_without_a_metric_come_after_those_with_one_and_nan_is_no_best() -> None:
    board = Board()
    for message in (
        search() | {"mode": "min"},
        trial(0, "waiting"),
        over(1, None, "failed"),
        over(2, float("nan"), "failed"),
        over(3, 0.9),
        over(4, 0.3, "stopped"),
    ):
        board.take(message)
    assert [row.number for row in board.in_order] == [4, 3, 1, 2, 0]
    assert board.best is board.in_order[0]
    assert board.counts() == {"waiting": 1, "failed": 2, "finished": 1, "stopped": 1}


RESULT: dict[str, Any] = {
    "name": "reviews-search",
    "kind": "search",
    "metric": "accuracy",
    "mode": "max",
    "searcher": "random",
    "scheduler": "asha",
    "sharing": True,
    "trials": [
        {
            **{"number": n, "is_default": n == 0, "settings": SETTINGS, "state": state},
            **{"why": why, "best": best, "gap": best and 0.02},
        }
        for n, state, why, best in (
            (0, "finished", "ran its length", {"metric": 0.78}),
            (1, "finished", "ran its length", {"metric": 0.81}),
            (2, "failed", "the loss is nan", None),
            (3, "stopped", "stopped by asha", {"metric": 0.5}),
        )
    ],
    "finalists": [
        {"number": 1, "is_winner": True, "mean": 0.8, "interval": [0.77, 0.83], "seeds": [1, 2]}
    ],
    "winner": {"number": 1, "settings": SETTINGS, "reason": "the only one"},
    "test": {
        "rows": 1000,
        "touches": 1,
        "winner": {"metric": 0.82, "interval": [0.79, 0.85]},
        "default": {"metric": 0.8, "interval": [0.77, 0.83]},
        "difference": {"metric": 0.02, "interval": [-0.01, 0.05]},
    },
    "optimism": {"apparent": 0.83, "corrected": 0.8, "optimism": 0.03, "interval": [0.76, 0.84]},
    "saved": {"steps_run": 900, "steps_shared": 300, "share": 0.25, "seconds": 61, "prefixes": 7},
    "lanes": {"count": 2, "workers": 1, "restarts": 0},
    "seconds": 512.0,
    "verdict": ["A longer freeze helped."],
}


def test_the_end_names_the_winner_and_compares_it_with_the_default() -> None:
    assert say.result_lines(RESULT) == [
        "winner      trial 1  phases.0.for=2ep phases.1.learning_rate=3.05e-05 phases.1.train=all",
        "            the only one",
        "test        winner   accuracy 0.8200 [0.7900, 0.8500]  (1,000 rows, looked at once)",
        "            default  accuracy 0.8000 [0.7700, 0.8300]",
        "            difference +0.0200 [-0.0100, +0.0500]",
        "saved       300 of 1,200 steps (25%) not run again, about 1 min 1 s; "
        "7 shared beginning(s)",
        "A longer freeze helped.",
    ]


def test_test_rows_that_were_looked_at_before_are_no_secret() -> None:
    test = RESULT["test"] | {"touches": 3}
    assert "looked at 3 times" in "\n".join(say.result_lines(RESULT | {"test": test}))


def test_a_default_that_failed_is_not_compared_with() -> None:
    test = RESULT["test"] | {"default": None, "difference": None}
    assert "failed" in say.result_lines(RESULT | {"test": test})[3]


def test_without_test_rows_the_validation_score_is_corrected_for_the_choice() -> None:
    assert say.result_lines(RESULT | {"test": None})[2] == (
        "validation  accuracy 0.8000 [0.7600, 0.8400]  (0.8300 before the correction for choosing "
        "the best of 4; there are no test rows)"
    )


def test_a_search_that_shared_nothing_says_so() -> None:
    assert "saved       nothing: sharing is off" in say.result_lines(RESULT | {"sharing": False})


def test_what_is_shown_of_a_finished_search_has_its_best_trials_first() -> None:
    lines = say.shown_lines(RESULT)
    assert lines[0].startswith("4 trials: 2 finished, 1 stopped, 1 failed; random, asha, 2 lanes")
    starts = ["trial 1  ", "trial 0 (default)  ", "trial 3  ", "trial 2  "]
    assert [line.startswith(start) for line, start in zip(lines[1:5], starts, strict=True)] == [
        *([True] * 4)
    ]
    assert lines[4].endswith("1.train=all  -  the loss is nan")
    assert lines[5] == ("finalist 1 (winner)  accuracy 0.8000 [0.7700, 0.8300], mean of 2 seeds")
    assert lines[6:] == say.result_lines(RESULT)


def test_of_many_trials_the_best_are_shown_and_the_others_counted() -> None:
    trials = [RESULT["trials"][1] | {"number": n} for n in range(25)]
    lines = say.shown_lines(RESULT | {"trials": trials})
    assert sum(line.startswith("trial ") for line in lines) == say.MOST_SHOWN
    assert "... and 15 more" in lines


def test_the_command_that_trains_the_winner_is_given_where_it_works() -> None:
    assert "            unfreeze train /runs/s/best_job.yaml  trains it again" in say.place_lines(
        "/runs/s", "s.yaml"
    )
    lines = say.place_lines("s3://bucket/s", "s.yaml")
    assert "best job    s3://bucket/s/best_job.yaml" in lines
    assert not any("unfreeze train" in line for line in lines)
    assert any("unfreeze report s.yaml --output report.html" in line for line in lines)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_search_that_was_finished_says_that_there_is_nothing_to_do(terminal: bool) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, color_system=None, soft_wrap=True)
    with SearchView(console) as view:
        pass
    view.show_end(SearchResult("/runs/s", RESULT, was_finished=True), "s.yaml")
    assert "/runs/s is finished; nothing to do" in out.getvalue()
    assert "winner      trial 1" in out.getvalue()
    assert "done in" not in out.getvalue()


def test_a_message_of_a_kind_that_is_not_known_is_not_shown() -> None:
    assert lines_of({"kind": "news of tomorrow"}) == []
