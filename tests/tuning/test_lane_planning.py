"""How many lanes a search has, and how wide each of them is."""

from typing import Any

import pytest

from unfreeze.cluster import Resources, Workers
from unfreeze.jobs import ConfigError, JobConfig, parse_job
from unfreeze.tuning.lanes import count_lanes, workers_of_lane


def job(**scale: Any) -> JobConfig:
    return parse_job(
        {
            "name": "job",
            "model": "models/tiny",
            "task": "text-classification",
            "data": {"train": "train.jsonl"},
            "phases": [{"train": "head"}],
            "scale": scale,
        }
    )


@pytest.mark.parametrize(
    ("scale", "have", "expected"),
    [
        ({}, Resources(8, 0), Workers(1, 1, 0)),
        ({}, Resources(8, 4), Workers(1, 1, 1)),
        ({"workers": 2}, Resources(8, 0), Workers(2, 1, 0)),
        ({"workers": 2}, Resources(8, 4), Workers(2, 1, 1)),
        ({"workers": [2, 8]}, Resources(8, 0), Workers(2, 1, 0)),
        ({"gpus_per_worker": 0}, Resources(8, 4), Workers(1, 1, 0)),
        ({"gpus_per_worker": 0.5, "cpus_per_worker": 2}, Resources(8, 1), Workers(1, 2, 0.5)),
    ],
)
def test_a_lane_is_as_wide_as_the_job_says_and_else_one_worker(
    scale: dict[str, Any], have: Resources, expected: Workers
) -> None:
    assert workers_of_lane(job(**scale), have) == expected


def test_a_lane_that_does_not_fit_is_refused_with_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"4 workers need 4 CPUs .* the cluster has 2 CPUs"):
        workers_of_lane(job(workers=4), Resources(2, 0))


@pytest.mark.parametrize(
    ("workers", "have", "expected"),
    [
        (Workers(1, 1, 0), Resources(2, 0), 2),
        (Workers(2, 1, 0), Resources(5, 0), 2),
        (Workers(2, 4, 0), Resources(7, 0), 1),
        (Workers(1, 1, 1), Resources(64, 4), 4),
        (Workers(2, 1, 1), Resources(64, 5), 2),
        (Workers(1, 8, 1), Resources(16, 4), 2),
        (Workers(1, 1, 0), Resources(64, 4), 64),
        (Workers(1, 0.1, 0), Resources(1, 0), 10),
        (Workers(3, 0.1, 0), Resources(0.9, 0), 3),
        (Workers(1, 1, 0.1), Resources(64, 2), 20),
    ],
)
def test_all_lanes_that_fit_are_started(workers: Workers, have: Resources, expected: int) -> None:
    assert count_lanes("auto", workers, have) == expected


def test_so_many_lanes_as_are_wanted_are_started_if_they_fit() -> None:
    have = Resources(4, 0)
    assert [count_lanes(n, Workers(1, 1, 0), have) for n in (1, 3, 4)] == [1, 3, 4]
    with pytest.raises(ConfigError) as error:
        count_lanes(5, Workers(2, 1, 0), have)
    assert error.value.mistakes == [
        "lanes: 5 lanes of 2 worker(s) do not fit in the cluster, which has "
        "4 CPUs and 0 GPUs on 1 node(s); at most 2 do"
    ]
