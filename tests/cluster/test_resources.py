"""Whether a job fits in a cluster, and what it gets by default."""

import os

import pytest

from unfreeze.cluster import (
    NotEnoughResources,
    Resources,
    Workers,
    local_resources,
    plan_workers,
    slots,
)


def plan(
    have: Resources,
    workers: int | tuple[int, int] | None = None,
    gpus: float | None = None,
    cpus: float = 1,
) -> Workers:
    return plan_workers(have, workers=workers, gpus_per_worker=gpus, cpus_per_worker=cpus)


@pytest.mark.parametrize(
    ("have", "expected"),
    [
        (Resources(1, 0), Workers(1, 1, 0)),
        (Resources(2, 0), Workers(2, 1, 0)),
        (Resources(64, 0), Workers(2, 1, 0)),
        (Resources(8, 1), Workers(1, 1, 1)),
        (Resources(64, 8), Workers(8, 1, 1)),
        (Resources(64, 8, nodes=2), Workers(8, 1, 1)),
        (Resources(8, 0.5), Workers(2, 1, 0)),
    ],
)
def test_by_default_there_is_a_worker_for_each_gpu_or_two_on_cpus(
    have: Resources, expected: Workers
) -> None:
    assert plan(have) == expected


@pytest.mark.parametrize(
    ("have", "asked", "expected"),
    [
        (Resources(8, 0), {"workers": 5}, Workers(5, 1, 0)),
        (Resources(8, 2), {"workers": 1}, Workers(1, 1, 1)),
        (Resources(8, 2), {"workers": 4, "gpus": 0.5}, Workers(4, 1, 0.5)),
        (Resources(8, 2), {"gpus": 0.5}, Workers(4, 1, 0.5)),
        (Resources(8, 2), {"gpus": 0}, Workers(2, 1, 0)),
        (Resources(8, 4), {"gpus": 2}, Workers(2, 1, 2)),
        (Resources(8, 0), {"cpus": 4}, Workers(2, 4, 0)),
        (Resources(8, 0), {"cpus": 5}, Workers(1, 5, 0)),
        (Resources(2, 0), {"workers": 4, "cpus": 0.5}, Workers(4, 0.5, 0)),
        (Resources(2, 0), {"workers": (2, 8)}, Workers(2, 1, 0)),
        (Resources(5, 0), {"workers": (2, 8)}, Workers(5, 1, 0)),
        (Resources(64, 0), {"workers": (2, 8)}, Workers(8, 1, 0)),
        (Resources(64, 3), {"workers": (2, 8)}, Workers(3, 1, 1)),
    ],
)
def test_a_job_gets_what_it_asks_for(
    have: Resources, asked: dict[str, float], expected: Workers
) -> None:
    assert plan(have, **asked) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("have", "asked", "said"),
    [
        (Resources(2, 0), {"workers": 3}, "3 workers need 3 CPUs and 0 GPUs"),
        (Resources(2, 0), {"cpus": 3}, "1 workers need 3 CPUs"),
        (Resources(2, 0), {"workers": 1, "gpus": 1}, "1 workers need 1 CPUs and 1 GPUs"),
        (Resources(8, 2), {"workers": 3}, "3 workers need 3 CPUs and 3 GPUs"),
        (Resources(8, 1), {"gpus": 2}, "0 workers need"),
        (Resources(1, 0), {"workers": (2, 8)}, "2 workers need 2 CPUs"),
        (Resources(2, 0), {"workers": 1, "cpus": float("inf")}, "need inf CPUs"),
    ],
)
def test_a_job_that_does_not_fit_is_told_what_the_cluster_has(
    have: Resources, asked: dict[str, float], said: str
) -> None:
    with pytest.raises(NotEnoughResources) as error:
        plan(have, **asked)  # type: ignore[arg-type]
    assert said in str(error.value)
    assert str(error.value).endswith(f"the cluster has {have}")


@pytest.mark.parametrize(
    ("nodes", "workers", "fit"),
    [
        ([], Workers(1, 1, 0), 0),
        ([Resources(3, 0), Resources(3, 0)], Workers(1, 2, 0), 2),
        ([Resources(1, 0)], Workers(1, 0.1, 0), 10),
        ([Resources(64, 2), Resources(64, 3)], Workers(1, 1, 1), 5),
        ([Resources(1, 8)], Workers(1, 1, 1), 1),
        ([Resources(8, 1)], Workers(1, 1, 0.5), 2),
        ([Resources(8, 0)], Workers(1, 1, 1), 0),
    ],
)
def test_a_worker_is_on_one_node(nodes: list[Resources], workers: Workers, fit: int) -> None:
    assert slots(nodes, workers) == fit


def test_what_workers_need_is_said_in_words() -> None:
    assert str(Workers(3, 0.5, 0)) == "1.5 CPUs"
    assert str(Workers(4, 2, 1)) == "8 CPUs and 4 GPUs"


def test_resources_are_said_in_words() -> None:
    assert str(Resources(2.0, 0.0)) == "2 CPUs and 0 GPUs on 1 node(s)"
    assert str(Resources(96.0, 8.0, 4)) == "96 CPUs and 8 GPUs on 4 node(s)"


def test_this_machine_has_the_cores_that_this_process_may_use() -> None:
    assert local_resources().cpus == len(os.sched_getaffinity(0))
    assert local_resources().nodes == 1
