"""What is found out about a cluster, as plain data, and what is drawn from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning", "ok"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about a cluster, and what to do."""

    severity: Severity
    subject: str
    """A node, nodes, a pair, or a part of the cluster."""

    text: str
    fix: str = ""
    """Empty if there is nothing to do."""


@dataclass(frozen=True, slots=True)
class Space:
    """Room in a folder's file system."""

    path: str
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class RayProcess:
    """A gcs_server or raylet that runs on a host."""

    name: str
    pid: int
    session: str
    """Such as session_2026-11-22_15-20-31_123456_789: one for each cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a process finds out about the machine that it runs on; see `probes.look`."""

    versions: Mapping[str, str | None]
    """Of Python and packages; None: not installed."""

    code: str | None
    """A hash of our own code; None: not installed."""

    torch_problem: str | None
    """Why torch could not be asked, though it may be installed."""

    cuda_build: str | None
    """The CUDA that torch was built for; None: a CPU build."""

    driver: str | None
    """Version of NVIDIA's kernel module."""

    torch_gpus: int
    gpu_devices: int
    """How many /dev/nvidia0, /dev/nvidia1, ... there are."""

    folders: Mapping[str, Space]
    """Ray's temp folder and our cache, by what they are."""

    shm_bytes: int
    """Size of /dev/shm."""

    memory_bytes: int
    memory_available_bytes: int
    """Both of the container, where it has a limit of its own."""

    ray_processes: Sequence[RayProcess]


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """How far a clock is ahead of this machine's (behind: negative), and how sure that is."""

    seconds: float
    error_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node that Ray holds alive, and what was found out there."""

    name: str
    """Its address; with a part of its id where several nodes share the address."""

    node_id: str
    address: str
    hostname: str
    is_head: bool
    ray_gpus: float
    object_store_bytes: float
    machine: Machine | None = None
    clock: ClockOffset | None = None
    problem: str | None = None
    """Why there is no `machine`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two nodes (or one, with itself), and how fast they all-reduce."""

    first: str
    second: str
    backend: str
    bytes_per_s: float | None
    problem: str | None = None
    """Why there is no speed."""

    interfaces: tuple[str | None, str | None] = (None, None)
    """Which network interfaces gloo is told to use, as for training; None: it chooses."""

    @property
    def name(self) -> str:
        """Both names, or the one node's."""
        return self.first if self.first == self.second else f"{self.first} - {self.second}"


@dataclass(frozen=True, slots=True)
class Dashboard:
    """How the head's dashboard answers a request that brings no token."""

    url: str | None
    """None: the head was started without one."""

    status: int | None = None
    """HTTP status; None: no answer."""

    is_loopback: bool = True
    """Whether only the head itself can reach it."""

    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A check that gave nothing on a node."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """All that was found out."""

    session: str
    this_machine: Machine
    """As the driver sees it: it may use another Python than the node on the same host."""

    nodes: Sequence[Node]
    pairs: Sequence[Pair]
    pairs_left_out: int
    dashboard: Dashboard
    answers: Mapping[str, Any] = field(default_factory=dict)
    """Node name -> what the caller's own check gave there, or Unanswered."""
