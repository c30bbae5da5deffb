"""What the driver does about what it is told, without Ray."""

from typing import Any

import pytest

from unfreeze.cluster import Workers
from unfreeze.jobs import parse_job
from unfreeze.jobs.attempts import Attempts
from unfreeze.jobs.errors import LossNotFinite, OutOfMemory, TrainingFailed
from unfreeze.jobs.failures import Failure, Kind
from unfreeze.jobs.scaling import Room

Message = dict[str, Any]


class Driver:
    """Attempts that get messages as from two workers, on a cluster and a clock of their own."""

    def __init__(self, **changes: Any) -> None:
        self.shown: list[Message] = []
        self.room, self.now, self.rung = Room(in_all=2, free=0), 0.0, 0
        settings = {
            "name": "job",
            "model": "models/tiny",
            "task": "text-classification",
            "data": {"train": "train.jsonl"},
        }
        self.attempts = Attempts(
            parse_job(settings | changes),
            Workers(2, 1, 0),
            self.shown.append,
            room_for=lambda workers: self.room,
            clock=lambda: self.now,
        )

    def ring(self) -> None:
        self.rung += 1

    def watches(self, seconds: float) -> bool:
        """Looks at the cluster every second; whether the workers have to be ended."""
        for _ in range(int(seconds)):
            self.now += 1
            if self.attempts._watch(self.ring):
                return True
        return False

    def hears(self, kind: str, **fields: Any) -> None:
        self.attempts._take({"kind": kind, **fields})

    def fails(self, *kinds: Kind) -> None:
        failures = [Failure(rank, kind, "why") for rank, kind in enumerate(kinds)]
        self.hears("failures", failures=failures)

    @property
    def kinds(self) -> list[str]:
        return [message["kind"] for message in self.shown]


def test_a_machine_that_is_gone_is_said_and_the_workers_come_again() -> None:
    driver = Driver()
    driver.hears("resumed", step=40)
    driver.hears("train", step=57)
    driver.fails(Kind.NETWORK, Kind.MACHINE)
    assert driver.kinds == ["resumed", "train", "again"]
    assert driver.shown[-1]["reason"] == "the machine of rank 1 is gone"
    assert driver.attempts.ended == [
        {
            "workers": 2,
            "from_step": 40,
            "to_step": 57,
            "ended": "the machine of rank 1 is gone",
        }
    ]


def test_workers_that_die_again_and_again_end_the_job_with_the_last_reason() -> None:
    driver = Driver(scale={"max_failures": 1})
    driver.fails(Kind.NETWORK, Kind.PROCESS)
    said = r"failed 2 times in a row .* step 0 \(scale.max_failures: 1\).* process of rank 1 died"
    with pytest.raises(TrainingFailed, match=said):
        driver.fails(Kind.NETWORK, Kind.PROCESS)


def test_a_bug_ends_the_job_with_the_one_traceback_of_the_worker_that_met_it() -> None:
    driver = Driver()
    told = Failure(1, Kind.CAUSE, "TypeError: no", "Traceback\n  in step\nTypeError: no")
    driver.hears("failed", failure=told, error=None)
    with pytest.raises(TrainingFailed) as error:
        driver.fails(Kind.NETWORK, Kind.CAUSE)
    assert str(error.value).splitlines() == [
        "rank 1: TypeError: no",
        "Traceback",
        "  in step",
        "TypeError: no",
    ]


def test_a_bug_that_a_dead_rank_had_told_of_is_its_machines_end() -> None:
    driver = Driver()
    driver.hears("failed", failure=Failure(1, Kind.CAUSE, "RuntimeError: odd"), error=None)
    driver.fails(Kind.CAUSE, Kind.MACHINE)
    assert driver.kinds == ["again"]


def test_our_own_errors_end_the_job_at_once_as_they_are() -> None:
    error = LossNotFinite(float("nan"), 3, "head")
    with pytest.raises(LossNotFinite, match="at step 3"):
        Driver().hears("failed", failure=Failure(0, Kind.CAUSE, ""), error=error)


def test_out_of_memory_halves_the_micro_batch_in_use_once() -> None:
    driver = Driver(training={"batch_size": 24})
    driver.fails(Kind.NETWORK, Kind.MEMORY)
    assert driver.shown[-1] | {"reason": ""} == {
        "kind": "halved",
        "reason": "",
        "used": 12,
        "micro_batch_size": 6,
    }
    assert driver.attempts.job.training.micro_batch_size == 6
    assert driver.attempts.job.training.batch_size == 24
    with pytest.raises(OutOfMemory, match="again, with half the micro-batch") as error:
        driver.fails(Kind.MEMORY)
    for way_out in ("gradient_checkpointing", "max_length", "zero_stage: 3", "bf16", "below 6"):
        assert way_out in str(error.value)


def test_a_micro_batch_of_one_cannot_be_halved() -> None:
    driver = Driver(training={"batch_size": 24, "micro_batch_size": 1})
    with pytest.raises(OutOfMemory, match=r"\(micro-batch 1\)") as error:
        driver.fails(Kind.MEMORY)
    assert "below" not in str(error.value)


def test_workers_that_leave_are_no_failure() -> None:
    driver = Driver(scale={"max_failures": 0})
    for _ in range(3):
        driver.hears("leaving", step=9, asked=False, kept=True)
        driver.fails(Kind.LEFT, Kind.LEFT)
    assert driver.kinds == ["leaving"] * 3
    assert len(driver.attempts.ended) == 3


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNFREEZE_WATCH_EVERY_S", "0")


@pytest.mark.usefixtures("watching")
def test_room_for_more_is_asked_for_once_and_used_when_the_workers_have_left() -> None:
    driver = Driver(scale={"workers": [1, 4]})
    assert not driver.watches(5)
    driver.room = Room(in_all=3, free=1)
    assert not driver.watches(5)
    assert not driver.rung, "the workers have not begun"
    driver.hears("phase", step=0)
    assert not driver.watches(5)
    assert driver.rung == 1
    driver.hears("leaving", step=7, asked=True, kept=True)
    assert driver.attempts._goes_on_after(None)
    driver.attempts._wait_for_room()
    assert driver.shown[-1] == {"kind": "resized", "before": 2, "workers": 3}
    assert driver.attempts.ended[-1]["ended"] == "resized"


@pytest.mark.usefixtures("watching")
def test_workers_that_cannot_come_back_become_fewer_after_a_while() -> None:
    driver = Driver(scale={"workers": [1, 4]}, training={"batch_size": 32})
    driver.hears("phase", step=0)
    driver.hears("train", step=30)
    driver.room = Room(in_all=1, free=0)
    assert not driver.watches(60), "they train"
    driver.fails(Kind.NETWORK, Kind.MACHINE)
    assert not driver.watches(14)
    assert "waiting" not in driver.kinds, "the fewest have room"
    assert driver.watches(5)
    driver.attempts._wait_for_room()
    assert driver.attempts.workers.count == 1
    assert driver.attempts.job.training.micro_batch_size == 16, "as before"
    assert driver.attempts.ended[-1]["ended"] == "the cluster has room for 1 workers"


@pytest.mark.usefixtures("watching")
@pytest.mark.parametrize("workers", [2, [2, 4]], ids=str)
def test_a_job_that_has_too_little_room_waits_and_says_so_once_a_minute(workers: Any) -> None:
    driver = Driver(scale={"workers": workers})
    driver.room = Room(in_all=1, free=1)
    assert not driver.watches(100)
    assert driver.shown == [{"kind": "waiting", "needs": "2 CPUs", "room": 1}] * 2


@pytest.mark.usefixtures("watching")
def test_an_elastic_job_that_had_a_notice_goes_on_with_the_nodes_that_stay() -> None:
    driver = Driver(scale={"workers": [1, 4]})
    driver.hears("train", step=9)
    driver.hears("leaving", step=9, asked=False, kept=True)
    driver.room = Room(in_all=1, free=0)
    assert driver.attempts._goes_on_after(None)
    driver.attempts._wait_for_room()
    assert driver.attempts.workers.count == 1
    assert driver.attempts.ended[-1]["ended"] == "the workers left before a machine went away"
