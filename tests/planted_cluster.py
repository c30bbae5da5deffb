"""A cluster that nothing is wrong with, as facts, for tests that change one of them."""

from dataclasses import replace
from typing import Any

from unfreeze.cluster.doctor.facts import (
    ClockOffset,
    Dashboard,
    Examination,
    Finding,
    Machine,
    Node,
    Pair,
    RayProcess,
    Space,
)
from unfreeze.cluster.doctor.findings import judge
from unfreeze.cluster.doctor.probes import CACHE_FOLDER, RAY_FOLDER

VERSIONS = {
    "python": "3.11.13",
    "ray": "2.60.0",
    "torch": "2.13.0+cu130",
    "deepspeed": "0.19.8",
    "transformers": "5.23.0",
    "unfreeze": "0.1.0",
}
GB = 10**9
SESSION = "session_2026-11-22_15-20-31_123456_789"
ROOMY = {
    RAY_FOLDER: Space("/tmp/ray", 100 * GB, 400 * GB),
    CACHE_FOLDER: Space("/home/u/.cache/unfreeze", 50 * GB, 400 * GB),
}
MACHINE = Machine(
    versions=VERSIONS,
    code="1a2b3c4d5e6f",
    torch_problem=None,
    cuda_build="13.0",
    driver="580.65.06",
    torch_gpus=0,
    gpu_devices=0,
    folders=ROOMY,
    shm_bytes=8 * GB,
    memory_bytes=32 * GB,
    memory_available_bytes=20 * GB,
    ray_processes=(RayProcess("raylet", 7, SESSION),),
)
HEAD = Node(
    name="10.0.0.1",
    node_id="a" * 56,
    address="10.0.0.1",
    hostname="head",
    is_head=True,
    ray_gpus=0.0,
    object_store_bytes=4.0 * GB,
    machine=MACHINE,
    clock=ClockOffset(0.0, 0.001),
)
OTHER = replace(HEAD, name="10.0.0.2", address="10.0.0.2", hostname="other", is_head=False)
PAIR = Pair(
    first="10.0.0.1",
    second="10.0.0.2",
    backend="gloo",
    bytes_per_s=900e6,
    interfaces=("eth0", "eth1"),
)
HEALTHY = Examination(
    session=SESSION,
    this_machine=MACHINE,
    nodes=(HEAD, OTHER),
    pairs=(PAIR,),
    pairs_left_out=0,
    dashboard=Dashboard("http://127.0.0.1:8265", 401),
)


def on_other(**changes: Any) -> Examination:
    """The healthy cluster, but for what was found on the second node."""
    return replace(HEALTHY, nodes=(HEAD, replace(OTHER, machine=replace(MACHINE, **changes))))


def problems(found: Examination) -> list[Finding]:
    return [finding for finding in judge(found) if finding.severity != "ok"]
