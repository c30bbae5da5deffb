"""How many workers a job should have as the cluster changes."""

from typing import Any

import pytest

from unfreeze.cluster import Resources
from unfreeze.jobs import ConfigError, JobConfig, parse_job
from unfreeze.jobs.config import StorageConfig
from unfreeze.jobs.preflight import plan_for
from unfreeze.jobs.scaling import (
    PATIENCE_S,
    Room,
    first_size,
    limits,
    next_size,
    size_now,
    with_micro_batch_kept,
)


def job(workers: Any = None, **training: Any) -> JobConfig:
    return parse_job(
        {
            "name": "job",
            "model": "models/tiny",
            "task": "text-classification",
            "data": {"train": "train.jsonl"},
            "training": training,
            "scale": {"workers": workers},
        }
    )


@pytest.mark.parametrize(
    ("workers", "planned", "batch_size", "expected"),
    [
        (3, 3, 32, (3, 3)),
        (None, 2, 32, (2, 2)),
        ([2, 8], 4, 32, (2, 8)),
        ([2, 8], 4, 6, (2, 6)),
        ([4, 8], 4, 3, (4, 4)),
    ],
)
def test_a_job_has_no_more_workers_than_examples_in_a_batch(
    workers: Any, planned: int, batch_size: int, expected: tuple[int, int]
) -> None:
    assert limits(job(workers).scale, planned, batch_size) == expected


@pytest.mark.parametrize(
    ("count", "room", "expected"),
    [
        (2, Room(in_all=2, free=0), None),
        (2, Room(in_all=3, free=1), 3),
        (2, Room(in_all=20, free=18), 8),
        (8, Room(in_all=20, free=12), None),
        (2, Room(in_all=9, free=0), None),  # the others are used by somebody else
        (4, Room(in_all=3, free=0), None),  # as long as they train, they train
        (4, Room(in_all=3, free=2), None),  # a machine is gone and nobody has noticed
    ],
)
def test_workers_that_train_become_more_when_there_is_room(
    count: int, room: Room, expected: int | None
) -> None:
    assert next_size(count, (2, 8), room, running=True, lacking_s=99) == expected


@pytest.mark.parametrize(
    ("in_all", "lacking_s", "expected"),
    [
        (4, 99, None),
        (3, PATIENCE_S - 1, None),
        (3, PATIENCE_S, 3),
        (2, PATIENCE_S, 2),
        (1, 99, None),
    ],
)
def test_workers_that_cannot_be_started_become_fewer_after_a_while_but_not_too_few(
    in_all: int, lacking_s: float, expected: int | None
) -> None:
    room = Room(in_all, 0)
    assert next_size(4, (2, 8), room, running=False, lacking_s=lacking_s) == expected


def test_a_job_of_a_fixed_size_keeps_it() -> None:
    assert next_size(2, (2, 2), Room(9, 7), running=True, lacking_s=0) is None
    assert next_size(2, (2, 2), Room(1, 0), running=False, lacking_s=99) is None
    assert size_now(2, (2, 2), Room(1, 0)) is None
    assert size_now(2, (2, 2), Room(9, 0)) == 2


def test_a_group_is_started_with_what_fits() -> None:
    assert size_now(5, (2, 8), Room(9, 9)) == 5
    assert size_now(5, (2, 8), Room(3, 3)) == 3
    assert size_now(5, (2, 8), Room(1, 1)) is None


@pytest.mark.parametrize(("free", "expected"), [(0, 2), (1, 2), (3, 3), (9, 5)])
def test_a_job_begins_with_what_others_leave_free_but_never_with_too_few(
    free: int, expected: int
) -> None:
    assert first_size(5, (2, 8), Room(in_all=9, free=free)) == expected


def test_a_job_of_a_fixed_size_waits_until_all_of_it_is_free() -> None:
    assert first_size(5, (5, 5), Room(in_all=9, free=1)) == 5


def test_fewer_workers_do_not_take_more_at_once() -> None:
    kept = with_micro_batch_kept(job([1, 8], batch_size=32), 8, 2)
    assert kept.training.micro_batch_size == 4
    given = with_micro_batch_kept(job([1, 8], batch_size=32, micro_batch_size=3), 8, 2)
    assert given.training.micro_batch_size == 2  # as the share of four was cut in two
    more = job([1, 8], batch_size=32)
    assert with_micro_batch_kept(more, 2, 8) == more


def test_a_range_is_written_from_fewest_to_most() -> None:
    scale = job([2, 8]).scale
    assert (scale.workers, scale.range) == ((2, 8), (2, 8))
    assert job(3).scale.range is None
    assert parse_job(job([2, 8]).to_data()).scale.range == (2, 8)
    with pytest.raises(ConfigError) as error:
        job([8, 2])
    assert str(error.value) == "scale.workers: expected [fewest, most], got [8, 2]"
    with pytest.raises(ConfigError, match=r"scale\.workers\.0: .*greater than or equal to 1"):
        job([0, 2])
    with pytest.raises(ConfigError, match=r"scale\.workers"):
        job([1, 2, 3])


@pytest.mark.parametrize(("hosts", "is_reached"), [(1, True), (3, False)])
def test_the_embedded_server_is_for_clusters_on_one_host(hosts: int, is_reached: bool) -> None:
    embedded = job(workers=2).model_copy(
        update={"storage": StorageConfig(uri="s3://here", endpoint="embedded")}
    )
    has = Resources(4, 0, nodes=3, hosts=hosts)
    if is_reached:
        assert plan_for(embedded, has).count == 2
    else:
        with pytest.raises(ConfigError, match="cluster has 3 machines; name a server"):
            plan_for(embedded, has)
