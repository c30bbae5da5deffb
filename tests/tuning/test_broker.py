"""Who works on what: each order is done once, whatever dies, and nobody waits for long."""

import copy
from collections.abc import Callable
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


def order(id: str, *keys: str) -> Order:
    """An order that comes to these fork points."""
    forks = tuple(ForkPoint(0, step, key) for step, key in enumerate(keys, 1))
    return Order(id, f"trials/{id}", JOB, forks)


def broker_with(*orders: Order, lanes: int = 1, **settings: Any) -> Broker:
    broker = Broker(**({"max_failures": 3} | settings))
    for lane in range(lanes):
        broker.register(lane)
    for one in orders:
        broker.submit(one)
    return broker


def generation(broker: Broker, lane: int) -> int:
    return broker._lanes[lane].generation


def take(broker: Broker, lane: int = 0) -> Assignment | None:
    return broker.take(lane, generation(broker, lane))


def taken(broker: Broker, lane: int = 0) -> str | None:
    found = take(broker, lane)
    return found.order.id if found else None


def finish(broker: Broker, lane: int, id: str, outcome: Outcome = DONE) -> None:
    broker.finish(lane, generation(broker, lane), id, outcome)


def kept(broker: Broker) -> tuple[int, int, int]:
    """How much the broker remembers of work."""
    return len(broker._work), len(broker._queue), len(broker._claims)


def state(broker: Broker) -> dict[str, Any]:
    return copy.deepcopy(vars(broker))


# -- orders and lanes


def test_orders_are_handed_out_in_the_order_in_which_they_came() -> None:
    broker = broker_with(order("a"), order("b"), lanes=3)
    assert [taken(broker, lane) for lane in range(3)] == ["a", "b", None]
    assert not broker.is_idle()


def test_an_order_that_is_known_already_is_not_done_again() -> None:
    broker = broker_with(order("a"), order("a"), lanes=2)
    assert [taken(broker, 0), taken(broker, 1)] == ["a", None]
    finish(broker, 0, "a")
    broker.submit(order("a"))
    assert taken(broker) is None
    assert broker.news("a", 0) == ([], DONE)
    assert broker.is_idle()


def test_work_of_an_earlier_session_is_answered_and_never_handed_out() -> None:
    broker = broker_with()
    broker.answer("a", [{"step": 1}, {"step": 2}], DONE, order("a"))
    assert taken(broker) is None
    assert broker.is_idle()
    assert broker.news("a", 0) == ([{"step": 1}, {"step": 2}], DONE)
    assert broker.news("a", 2) == ([], DONE)
    assert broker.outcome("a") == DONE
    broker.submit(order("a"))
    assert taken(broker) is None


def test_a_lane_that_is_not_registered_or_no_longer_current_gets_nothing() -> None:
    broker = broker_with(order("a"))
    assert broker.take(7, 1) is None
    old = generation(broker, 0)
    broker.register(0)
    assert broker.take(0, old) is None
    assert taken(broker) == "a"


def test_after_closing_nothing_is_handed_out_and_what_runs_may_end() -> None:
    broker = broker_with(order("a"), order("b"))
    assert taken(broker) == "a"
    broker.close()
    finish(broker, 0, "a")
    assert broker.outcome("a") == DONE
    assert taken(broker) is None


def test_news_are_the_validations_that_were_not_seen() -> None:
    broker = broker_with(order("a"))
    take(broker)
    now = generation(broker, 0)
    broker.report(0, now, "a", {"step": 3, "accuracy": 0.5})
    assert broker.news("a", 0) == ([{"step": 3, "accuracy": 0.5}], None)
    assert broker.news("a", 1) == ([], None)
    broker.report(0, now, "a", {"step": 6, "accuracy": 0.6})
    assert broker.news("a", 1) == ([{"step": 6, "accuracy": 0.6}], None)


def test_nobody_has_news_of_work_that_is_not_known() -> None:
    lines, outcome = broker_with().news("a", 0)
    assert lines == []
    assert outcome and outcome.state == "stopped"
    assert broker_with().outcome("a") is None
    assert broker_with().is_stopped("a")


def test_a_validation_that_an_earlier_attempt_reported_is_not_reported_twice() -> None:
    broker = broker_with(order("a"))
    for steps in ([2, 4], [2, 4, 6], [4, 6, 8]):
        take(broker)
        for step in steps:
            for _ in range(2):
                broker.report(0, generation(broker, 0), "a", {"step": step})
        broker.register(0)
    assert [line["step"] for line in broker.news("a", 0)[0]] == [2, 4, 6, 8]


def test_people_see_what_the_lanes_do() -> None:
    broker = broker_with(order("a"), order("b"), lanes=2, known_prefixes=["k"])
    take(broker, 1)
    broker.report(1, generation(broker, 1), "a", {"step": 3})
    broker.progress(1, generation(broker, 1), "a", 5)
    idle = {"work": None, "step": 0, "line": None}
    assert broker.snapshot() == {
        "lanes": {0: idle, 1: {"work": "a", "step": 5, "line": {"step": 3}}},
        "queued": 1,
        "prefixes": 1,
        "restarts": 0,
    }
    broker.register(1)
    assert broker.snapshot()["lanes"][1] == idle
    assert broker.snapshot()["restarts"] == 1


# -- what goes wrong


def test_what_a_dead_lane_held_is_tried_again_before_all_else() -> None:
    broker = broker_with(order("a"), order("b"), order("c"))
    assert taken(broker) == "a"
    broker.register(0)
    again = take(broker)
    assert again
    assert (again.order.id, again.attempt) == ("a", 1)
    finish(broker, 0, "a")
    assert taken(broker) == "b"


def test_what_a_lost_lane_held_goes_to_another() -> None:
    broker = broker_with(order("a"), order("b"), lanes=2)
    take(broker, 0)
    broker.lost(0)
    broker.lost(0)
    assert taken(broker, 1) == "a"
    assert list(broker.snapshot()["lanes"]) == [1]
    assert broker.restarts == 1


@pytest.mark.parametrize("failure", ["its lane died", "its lane was lost", "the store is away"])
def test_work_that_fails_too_often_fails_with_the_last_reason(failure: str) -> None:
    broker = broker_with(order("a", "k"), order("b", "k"), max_failures=2)
    for attempt in range(3):
        found = take(broker)
        assert found
        assert (found.order.id, found.attempt) == ("a", attempt)
        if failure == "its lane died":
            broker.register(0)
        elif failure == "its lane was lost":
            broker.lost(0)
            broker.register(0)
        else:
            broker.give_back(0, generation(broker, 0), "a", failure)
    assert broker.outcome("a") == Outcome("failed", f"tried 3 times: {failure}")
    assert broker.news("a", 0)[1] == broker.outcome("a")
    assert taken(broker) == "b", "it waits no more for the failed one's prefix"


def test_without_failures_allowed_the_first_is_the_last() -> None:
    broker = broker_with(order("a"), max_failures=0)
    take(broker)
    broker.register(0)
    outcome = broker.outcome("a")
    assert outcome and outcome.state == "failed"
    assert broker.is_idle()


LATE_CALLS: dict[str, Callable[[Broker, int, int], object]] = {
    "take": lambda broker, lane, old: broker.take(lane, old),
    "report": lambda broker, lane, old: broker.report(lane, old, "a", {"step": 9}),
    "progress": lambda broker, lane, old: broker.progress(lane, old, "a", 9),
    "finish": lambda broker, lane, old: broker.finish(lane, old, "a", DONE),
    "give_back": lambda broker, lane, old: broker.give_back(lane, old, "a", "late"),
}
late_calls = pytest.mark.parametrize("call", LATE_CALLS.values(), ids=LATE_CALLS)


@late_calls
@pytest.mark.parametrize("how", ["registered again", "lost", "lost, then started anew"])
@pytest.mark.parametrize("holder", ["nobody", "the same lane", "another lane"])
def test_late_calls_of_a_dead_lane_change_nothing(
    call: Callable[[Broker, int, int], object], how: str, holder: str
) -> None:
    broker = broker_with(order("a"), order("b"), lanes=2)
    assert taken(broker) == "a"
    dead = generation(broker, 0)
    if how == "registered again":
        broker.register(0)
    else:
        broker.lost(0)
    if how == "lost, then started anew":
        broker.register(0)
    if holder == "another lane":
        assert taken(broker, 1) == "a"
    elif holder == "the same lane" and how != "lost":
        assert taken(broker, 0) == "a"
    before = state(broker)
    assert call(broker, 0, dead) is None
    assert vars(broker) == before


@pytest.mark.parametrize("name", ["report", "progress", "finish", "give_back"])
def test_a_second_worker_of_the_lane_that_speaks_of_work_that_is_over_changes_nothing(
    name: str,
) -> None:
    """When a lane of several workers breaks, each of them may say so."""
    broker = broker_with(order("a"), order("b"))
    take(broker)
    finish(broker, 0, "a")
    assert taken(broker) == "b"
    before = state(broker)
    LATE_CALLS[name](broker, 0, generation(broker, 0))
    assert vars(broker) == before


def test_a_lane_that_asks_again_without_an_answer_loses_nothing() -> None:
    broker = broker_with(order("a"), order("b"))
    assert taken(broker) == "a"
    assert taken(broker) in (None, "a")
    broker.register(0)
    assert taken(broker) == "a"


# -- prefixes


def test_an_order_starts_from_its_longest_known_prefix_and_publishes_what_lies_beyond() -> None:
    broker = broker_with(order("a", "k1", "k2", "k3", "k4"), known_prefixes=["k1", "k3", "other"])
    found = take(broker)
    assert found
    assert found.starts == ("k3", "k1")
    assert [fork.key for fork in found.publishes] == ["k4"]


def test_an_order_waits_for_a_prefix_that_another_computes_and_others_go_first() -> None:
    broker = broker_with(order("a", "k"), order("b", "k"), order("c"), lanes=3)
    assert [taken(broker, lane) for lane in range(3)] == ["a", "c", None]
    broker.publish("k")
    found = take(broker, 2)
    assert found
    assert (found.order.id, found.starts, found.publishes) == ("b", ("k",), ())


def test_an_order_waits_for_the_prefix_after_the_next_too() -> None:
    broker = broker_with(order("a", "k1", "k2"), order("b", "k1", "k2", "k3"), lanes=2)
    take(broker)
    broker.publish("k1")
    assert taken(broker, 1) is None
    broker.publish("k2")
    found = take(broker, 1)
    assert found
    assert (found.starts, [fork.key for fork in found.publishes]) == (("k2", "k1"), ["k3"])


def test_a_prefix_that_nobody_waits_for_holds_up_nobody() -> None:
    broker = broker_with(order("a", "k1", "k2"), order("b", "k2"), lanes=2, known_prefixes=["k2"])
    assert [taken(broker, 0), taken(broker, 1)] == ["a", "b"]


ENDS: dict[str, Callable[[Broker, int], None]] = {
    "finished without publishing": lambda b, now: b.finish(0, now, "a", DONE),
    "diverged": lambda b, now: b.finish(0, now, "a", Outcome("failed", "the loss is nan")),
    "lost, and failed for good": lambda b, now: b.lost(0),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_an_order_waits_no_longer_than_whoever_computes_its_prefix(
    end: Callable[[Broker, int], None],
) -> None:
    broker = broker_with(order("a", "k"), order("b", "k"), lanes=2, max_failures=0)
    take(broker)
    assert taken(broker, 1) is None
    end(broker, generation(broker, 0))
    found = take(broker, 1)
    assert found
    assert (found.order.id, found.starts) == ("b", ())
    assert [fork.key for fork in found.publishes] == ["k"], "now it is the one to compute it"


def test_after_a_death_only_one_of_those_who_waited_computes_the_prefix() -> None:
    orders = [order(id, "k") for id in "abc"]
    broker = broker_with(*orders, lanes=3)
    assert [taken(broker, lane) for lane in range(3)] == ["a", None, None]
    broker.lost(0)
    assert [taken(broker, lane) for lane in (1, 2)] == ["a", None]
    broker.publish("k")
    assert taken(broker, 2) == "b"


def test_a_stopped_order_gives_its_prefix_up_when_its_lane_has_left_it() -> None:
    broker = broker_with(order("a", "k"), order("b", "k"), lanes=2)
    take(broker)
    broker.stop("a")
    finish(broker, 0, "a", Outcome("stopped", "stopped by the scheduler"))
    assert taken(broker, 1) == "b"


def test_publishing_twice_or_what_nobody_claims_is_harmless() -> None:
    broker = broker_with(order("a", "k"))
    for _ in range(2):
        broker.publish("k")
    found = take(broker)
    assert found
    assert (found.starts, found.publishes) == (("k",), ())
    assert broker.snapshot()["prefixes"] == 1


# -- stopping


def test_what_is_stopped_before_it_starts_is_never_handed_out() -> None:
    broker = broker_with(order("a"), order("b"))
    broker.stop("a")
    assert broker.is_stopped("a")
    assert taken(broker) == "b"
    assert broker.outcome("a") is None


def test_what_is_stopped_while_it_runs_is_left_by_its_lane_and_forgotten() -> None:
    broker = broker_with(order("a", "k"))
    take(broker)
    assert not broker.is_stopped("a")
    broker.stop("a")
    broker.stop("a")
    assert broker.is_stopped("a")
    assert not broker.is_idle(), "its lane still works on it"
    finish(broker, 0, "a", Outcome("stopped", "stopped by the scheduler"))
    assert broker.is_idle()
    assert kept(broker) == (0, 0, 0)


@pytest.mark.parametrize("how", ["dies", "is lost", "gives it back"])
def test_what_is_stopped_while_it_runs_is_not_tried_again(how: str) -> None:
    broker = broker_with(order("a", "k"), order("b", "k"), lanes=2)
    take(broker)
    broker.stop("a")
    if how == "dies":
        broker.register(0)
    elif how == "is lost":
        broker.lost(0)
    else:
        broker.give_back(0, generation(broker, 0), "a", "the store is away")
    assert taken(broker, 1) == "b"
    assert broker.outcome("a") is None


def test_what_is_stopped_after_its_end_is_forgotten() -> None:
    broker = broker_with(order("a"))
    take(broker)
    finish(broker, 0, "a")
    assert broker.is_stopped("a")
    broker.stop("a")
    broker.stop("a")
    assert kept(broker) == (0, 0, 0)
    assert broker.is_idle()


def test_to_stop_what_is_not_known_changes_nothing() -> None:
    broker = broker_with(order("a"))
    before = state(broker)
    broker.stop("b")
    assert vars(broker) == before


def test_nothing_is_kept_of_a_thousand_orders_that_are_over() -> None:
    broker = broker_with(lanes=2, max_failures=1)
    for number in range(1000):
        id = f"trial {number}"
        broker.submit(order(id, f"{id} begins"))
        if number % 4:  # the others are stopped before they start
            assert taken(broker, number % 2) == id
        if number % 4 == 1:
            broker.report(number % 2, generation(broker, number % 2), id, {"step": 1})
            finish(broker, number % 2, id)
        elif number % 4 == 2:
            broker.stop(id)
            finish(broker, number % 2, id)
        elif number % 4 == 3:
            for _ in range(2):
                broker.register(number % 2)
                broker.take(number % 2, generation(broker, number % 2))
        broker.stop(id)
        assert kept(broker) == (0, 0, 0)
    assert broker.is_idle()
    assert len(broker._lanes) == 2
