"""How many workers predict, and with what."""

import pytest

from unfreeze.cluster import NotEnoughResources, Resources, Workers
from unfreeze.jobs.prediction.workers import plan_prediction


@pytest.mark.parametrize(
    ("have", "wanted", "parts", "planned"),
    [
        (Resources(cpus=16, gpus=4), None, 100, Workers(4, 1, 1.0)),
        (Resources(cpus=16, gpus=4), None, 3, Workers(3, 1, 1.0)),
        (Resources(cpus=16, gpus=4), 8, 100, Workers(8, 2, 0.5)),
        (Resources(cpus=16, gpus=2), 3, 100, Workers(3, 2, 0.5)),
        (Resources(cpus=7, gpus=0), None, 100, Workers(3, 2, 0.0)),
        (Resources(cpus=1, gpus=0), None, 100, Workers(1, 1, 0.0)),
        (Resources(cpus=2, gpus=0), 2, 100, Workers(2, 1, 0.0)),
    ],
)
def test_a_worker_for_each_gpu_or_two_cpus_unless_somebody_says(
    have: Resources, wanted: int | None, parts: int, planned: Workers
) -> None:
    assert plan_prediction(have, wanted, parts) == planned


def test_more_workers_than_cpus_are_refused() -> None:
    with pytest.raises(NotEnoughResources, match=r"--workers 5: .* the cluster has 4 CPUs"):
        plan_prediction(Resources(4, 0), 5, 100)
