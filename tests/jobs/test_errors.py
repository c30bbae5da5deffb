"""Errors arrive from another process as what they are, with what they say."""

import pickle
from typing import Any

import pytest

from unfreeze.cluster import errors as cluster_errors
from unfreeze.jobs import DataError, UserMistake
from unfreeze.jobs import errors as jobs_errors
from unfreeze.jobs.errors import LossNotFinite

ALL = [
    thing
    for module in (jobs_errors, cluster_errors)
    for thing in vars(module).values()
    if isinstance(thing, type) and issubclass(thing, Exception)
]


def make(kind: Any) -> Exception:
    if issubclass(kind, UserMistake):
        error: Exception = kind(["first line", "second line"])
    elif issubclass(kind, LossNotFinite):
        error = kind(float("inf"), 7, "head")
    else:
        error = kind("what went wrong")
    return error


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("times", [1, 2])
def test_every_error_survives_the_way_between_processes(kind: Any, times: int) -> None:
    error = make(kind)
    arrived = error
    for _ in range(times):
        arrived = pickle.loads(pickle.dumps(arrived))
    assert type(arrived) is kind
    assert str(arrived) == str(error)
    assert str(arrived)
    assert vars(arrived) == vars(error)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_says_in_its_docstring_when_it_is_raised(kind: Any) -> None:
    assert kind.__doc__
    module = cluster_errors if issubclass(kind, cluster_errors.ClusterError) else jobs_errors
    assert kind.__name__ in str(module.__doc__)


def test_a_mistake_is_one_line_for_each_and_a_lone_string_is_one() -> None:
    assert str(DataError(["a", "b"])) == "a\nb"
    assert DataError("a").mistakes == ["a"]
    assert isinstance(DataError("a"), ValueError)


def test_a_loss_that_is_not_finite_says_where_and_what_to_do() -> None:
    text = str(LossNotFinite(float("nan"), 12, "last:2"))
    assert text.startswith("the loss is nan at step 12 (phase last:2); the model was not updated")
    assert "Lower the learning rate" in text
