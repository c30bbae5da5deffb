"""The one retry loop: the calls are counted, also when nothing goes wrong."""

import pytest

from unfreeze.storage import (
    ObjectNotFound,
    RetryPolicy,
    StoreRefused,
    StoreUnavailable,
    retry,
)


class Call:
    """Fails `times` times with `error`, then answers "done"."""

    def __init__(self, times: int, error: Exception) -> None:
        self.times, self.error, self.made = times, error, 0

    def __call__(self) -> str:
        self.made += 1
        if self.made <= self.times:
            raise self.error
        return "done"


@pytest.fixture
def waits() -> list[float]:
    return []


def test_a_success_is_called_once_and_never_waits(waits: list[float]) -> None:
    call = Call(0, StoreUnavailable())
    assert retry(call, sleep=waits.append) == "done"
    assert (call.made, waits) == (1, [])


@pytest.mark.parametrize("failures", [1, 3, 5])
def test_it_stops_calling_at_the_first_success(failures: int, waits: list[float]) -> None:
    call = Call(failures, StoreUnavailable())
    assert retry(call, sleep=waits.append) == "done"
    assert (call.made, len(waits)) == (failures + 1, failures)


def test_it_gives_up_after_the_attempts_it_was_given(waits: list[float]) -> None:
    call = Call(99, StoreUnavailable("busy"))
    with pytest.raises(StoreUnavailable, match="busy"):
        retry(call, policy=RetryPolicy(attempts=4), sleep=waits.append)
    assert (call.made, len(waits)) == (4, 3)


@pytest.mark.parametrize("error", [ObjectNotFound(), StoreRefused(), ValueError()])
def test_what_cannot_heal_is_not_repeated(error: Exception, waits: list[float]) -> None:
    call = Call(99, error)
    with pytest.raises(type(error)):
        retry(call, sleep=waits.append)
    assert (call.made, waits) == (1, [])


def test_waits_grow_to_a_limit_and_are_jittered(waits: list[float]) -> None:
    policy = RetryPolicy(attempts=7, first_wait_s=1.0, max_wait_s=8.0)
    with pytest.raises(StoreUnavailable):
        retry(Call(99, StoreUnavailable()), policy=policy, sleep=waits.append)
    for wait, longest in zip(waits, [1, 2, 4, 8, 8, 8], strict=True):
        assert longest / 2 <= wait <= longest
    assert len(set(waits)) == len(waits)


def test_no_attempts_at_all_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="attempts must be 1 or more, got 0"):
        RetryPolicy(attempts=0)
