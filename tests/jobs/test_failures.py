"""What happened to workers, and whether the job may go on."""

import pytest
import torch
import torch.distributed as dist
from ray import exceptions as ray_errors
from ray.train.v2._internal.exceptions import (
    WorkerHealthCheckFailedError,
    WorkerHealthCheckTimeoutError,
)

from unfreeze.jobs.errors import DataError, LossNotFinite, NodeLeaving
from unfreeze.jobs.failures import (
    MOST_TRACEBACK_LINES,
    Attempt,
    Failure,
    Kind,
    Tally,
    failure_of,
    halved,
    kind_of,
    root_cause,
)
from unfreeze.storage import StoreUnavailable

GLOO = "[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.1]"


def died(text: str, preempted: bool = False) -> Exception:
    """What Ray Train's controller sees of a worker whose process does not answer any more."""
    error = ray_errors.RayActorError("a" * 32, text, preempted=preempted)
    return WorkerHealthCheckFailedError("A worker health check failed.\nWorker info: ...", error)


def no_room_in_torch() -> Exception:
    try:
        torch.empty(2**60)
    except RuntimeError as error:
        return error
    raise AssertionError("this machine has an exabyte")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (died("The actor died because its node has died. Node Id: 0a"), Kind.MACHINE),
        (died("\tthe actor's node was preempted: drained", preempted=True), Kind.MACHINE),
        (ray_errors.ActorUnavailableError("connection lost", b"a" * 16), Kind.MACHINE),
        (WorkerHealthCheckTimeoutError("hangs"), Kind.MACHINE),
        (ray_errors.LocalRayletDiedError(), Kind.MACHINE),
        (died("its worker process has died. Worker exit type: SYSTEM_ERROR"), Kind.PROCESS),
        (ray_errors.ActorDiedError(), Kind.PROCESS),
        (ray_errors.WorkerCrashedError(), Kind.PROCESS),
        (ray_errors.OutOfMemoryError("killed due to the node running low on memory"), Kind.MEMORY),
        (no_room_in_torch(), Kind.MEMORY),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"), Kind.MEMORY),
        (MemoryError(), Kind.MEMORY),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), Kind.MEMORY),
        (RuntimeError(GLOO), Kind.NETWORK),
        (RuntimeError("NCCL error: remote process exited or there was a network error"), "network"),
        (dist.DistBackendError("ncclUnhandledCudaError"), Kind.NETWORK),
        (dist.DistNetworkError("failed to recv"), Kind.NETWORK),
        (ConnectionResetError(104, "Connection reset by peer"), Kind.NETWORK),
        (NodeLeaving(7), Kind.LEFT),
        (LossNotFinite(float("nan"), 3), Kind.CAUSE),
        (DataError("no rows"), Kind.CAUSE),
        (StoreUnavailable("the store is gone"), Kind.CAUSE),
        (AssertionError(), Kind.CAUSE),
        (TypeError("unsupported operand"), Kind.CAUSE),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), Kind.CAUSE),
        (KeyError("column"), Kind.CAUSE),
    ],
    ids=lambda value: str(value).splitlines()[0][:50] if str(value) else "no text",
)
def test_every_error_has_a_class(error: Exception, kind: Kind) -> None:
    assert kind_of(error) == kind


def failure(rank: int, kind: Kind) -> Failure:
    return Failure(rank, kind, "text")


@pytest.mark.parametrize(
    ("kinds", "root"),
    [
        ([Kind.NETWORK, Kind.PROCESS], 1),
        ([Kind.CAUSE, Kind.MACHINE], 1),
        ([Kind.CAUSE, Kind.PROCESS], 1),
        ([Kind.NETWORK, Kind.CAUSE, Kind.NETWORK], 1),
        ([Kind.NETWORK, Kind.MEMORY], 1),
        ([Kind.PROCESS, Kind.MEMORY], 1),
        ([Kind.PROCESS, Kind.LEFT], 1),
        ([Kind.NETWORK, Kind.NETWORK], 0),
    ],
    ids=str,
)
def test_what_ranks_meet_because_another_one_failed_is_not_the_root(
    kinds: list[Kind], root: int
) -> None:
    failures = [failure(rank, kind) for rank, kind in enumerate(kinds)]
    assert root_cause(failures, {}).rank == root
    assert root_cause(failures[::-1], {}).rank == root


def test_what_a_rank_said_of_itself_says_more_than_what_the_controller_saw() -> None:
    said = Failure(1, Kind.CAUSE, "TypeError: no", "Traceback ...")
    seen = [failure(0, Kind.NETWORK), failure(1, Kind.CAUSE)]
    assert root_cause(seen, {1: said}) is said
    dead = [failure(0, Kind.NETWORK), failure(1, Kind.MACHINE)]
    assert root_cause(dead, {1: said}) == dead[1]


def test_a_failure_is_one_line_and_one_screen() -> None:
    traceback = "\n".join(
        ["Traceback (most recent call last):", *map(str, range(200)), "TypeError"]
    )
    found = failure_of(3, TypeError("no\nsuch thing"), traceback)
    assert str(found) == "rank 3: TypeError: no"
    lines = found.traceback.splitlines()
    assert len(lines) == MOST_TRACEBACK_LINES
    assert (lines[0], lines[-1]) == ("Traceback (most recent call last):", "TypeError")
    assert failure_of(0, AssertionError()).text == "AssertionError"


def run(kind: Kind, *attempts: tuple[int, int], max_failures: int = 2) -> list[bool]:
    """Whether a job may go on after each attempt, of which first and last step are given."""
    tally = Tally(max_failures)
    return [tally.may_go_on(kind, Attempt(2).at(first).at(last)) for first, last in attempts]


def test_machines_may_go_away_as_often_as_they_like_while_steps_are_taken() -> None:
    assert all(run(Kind.MACHINE, *[(40, 41)] * 50))
    assert run(Kind.MACHINE, *[(40, 40)] * 3) == [True, True, False]
    assert run(Kind.MACHINE, (0, 0), (0, 0), (0, 1), (0, 0), (0, 0), (0, 0))[-1] is False


@pytest.mark.parametrize("kind", [Kind.PROCESS, Kind.NETWORK])
def test_a_process_that_dies_at_the_same_step_ends_the_job_and_one_at_random_does_not(
    kind: Kind,
) -> None:
    assert run(kind, (0, 57), (40, 57), (40, 57), (40, 57)) == [True, True, True, False]
    assert all(run(kind, *[(step, step + 1) for step in range(50)]))
    assert run(kind, (0, 90), (40, 60), (60, 85), (80, 91), max_failures=2)[-1] is True


def test_no_failure_is_allowed_where_none_is_and_leaving_is_none() -> None:
    assert run(Kind.PROCESS, (0, 0), max_failures=0) == [False]
    assert run(Kind.PROCESS, (0, 5), max_failures=0) == [True]
    assert all(run(Kind.LEFT, *[(5, 5)] * 9, max_failures=0))


def test_a_job_that_goes_on_where_another_driver_stopped_has_not_got_further_by_that() -> None:
    assert run(Kind.PROCESS, (40, 40), max_failures=0) == [False]


def test_an_attempt_that_never_began_has_no_first_step() -> None:
    assert Attempt(2).to_data("why") == {
        "workers": 2,
        "from_step": None,
        "to_step": 0,
        "ended": "why",
    }
    assert Attempt(2).at(40).at(44).at(43).to_data("x")["to_step"] == 44


def test_a_micro_batch_is_halved_down_to_one_example() -> None:
    assert [halved(size) for size in (11, 2, 1)] == [5, 1, None]
