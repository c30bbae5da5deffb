"""What is said of disk, memory and other Rays on a host: severity, text and fix."""

from dataclasses import replace
from typing import Any

import pytest
from planted_cluster import GB, HEAD, HEALTHY, MACHINE, OTHER, ROOMY, SESSION, on_other, problems

from unfreeze.cluster.doctor.facts import Finding, RayProcess, Space
from unfreeze.cluster.doctor.probes import CACHE_FOLDER, RAY_FOLDER


def test_little_disk_is_a_warning_and_next_to_none_an_error() -> None:
    cache = "/home/u/.cache/unfreeze"
    low = {**ROOMY, CACHE_FOLDER: Space(cache, 9 * GB, 400 * GB)}
    assert problems(on_other(folders=low)) == [
        Finding(
            "warning",
            "10.0.0.2",
            "unfreeze's cache, /home/u/.cache/unfreeze, has 9.0 GB left of 400.0 GB",
            "free some, or let UNFREEZE_CACHE name a folder on a larger disk",
        )
    ]
    none = {**ROOMY, CACHE_FOLDER: Space(cache, GB // 2, 400 * GB)}
    (finding,) = problems(on_other(folders=none))
    assert finding.severity == "error"


def test_a_disk_that_ray_holds_for_full_is_a_warning() -> None:
    full = {**ROOMY, RAY_FOLDER: Space("/tmp/ray", 19 * GB, 400 * GB)}
    assert problems(on_other(folders=full)) == [
        Finding(
            "warning",
            "10.0.0.2",
            "Ray's temp folder, /tmp/ray, has 19.0 GB left of 400.0 GB; Ray spills no objects to a "
            "disk that is 95% full",
            "free some, or start Ray there with --temp-dir on a larger disk",
        )
    ]


def test_shared_memory_smaller_than_the_object_store_is_a_warning() -> None:
    assert problems(on_other(shm_bytes=64 * 1024**2)) == [
        Finding(
            "warning",
            "10.0.0.2",
            "/dev/shm has 0.1 GB, Ray's object store there 4.0 GB: it lies on the disk, which is "
            "slow",
            "start the container with a larger --shm-size (Kubernetes: mount an emptyDir of medium "
            "Memory at /dev/shm), or Ray with a smaller --object-store-memory",
        )
    ]


@pytest.mark.parametrize(
    ("left", "severity"), [(3 * GB, "warning"), (int(1.7 * GB), "warning"), (1 * GB, "error")]
)
def test_little_memory_is_named_before_ray_kills_for_it(left: int, severity: Any) -> None:
    (finding,) = problems(on_other(memory_available_bytes=left))
    assert finding == Finding(
        severity,
        "10.0.0.2",
        f"{left / GB:.1f} GB of 32.0 GB of memory are left; Ray kills workers when 95% are used",
        "end what else runs there, or give the container more",
    )


def test_another_ray_on_a_host_is_named_by_its_processes() -> None:
    other = "session_2026-11-20_08-00-00_000001_42"
    mine = RayProcess("raylet", 7, SESSION)
    found = on_other(
        ray_processes=(mine, RayProcess("gcs_server", 40, other), RayProcess("raylet", 41, other))
    )
    assert problems(found) == [
        Finding(
            "warning",
            "10.0.0.2",
            "another Ray runs on the host (gcs_server 40, raylet 41): Ray Tune's clean-up may ask "
            "that one's dashboard, and leave the resources of a stopped trial taken",
            "end one of them by its processes (`ray stop` ends both), or set "
            "RAY_API_SERVER_ADDRESS to this cluster's dashboard wherever you start jobs",
        )
    ]


def test_raylets_of_one_cluster_on_a_host_are_well_and_tell_of_others_once() -> None:
    stranger = RayProcess("gcs_server", 40, "session_2026-11-20_08-00-00_000001_42")
    processes = (RayProcess("raylet", 7, SESSION), RayProcess("raylet", 8, SESSION))
    two = [
        replace(node, hostname="same", machine=replace(MACHINE, ray_processes=processes))
        for node in (HEAD, OTHER)
    ]
    assert problems(replace(HEALTHY, nodes=two)) == []
    both = [
        replace(node, machine=replace(MACHINE, ray_processes=(*processes, stranger)))
        for node in two
    ]
    (finding,) = problems(replace(HEALTHY, nodes=both))
    assert finding.subject == "10.0.0.1, 10.0.0.2"
