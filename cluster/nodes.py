"""What the nodes of a cluster have and do, as its dashboard tells it (pure)."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

OWN_LABELS = "ray.io/"
"""What Ray labels nodes with by itself."""


@dataclass(frozen=True, slots=True)
class Amount:
    """How much of something is used, where it is known, and how much there is."""

    used: float | None
    total: float

    @property
    def free(self) -> float:
        return self.total - (self.used or 0.0)


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a cluster, alive or not."""

    name: str
    address: str
    role: str
    """head, worker."""
    state: str
    """alive, draining, dead."""
    why: str
    """Of a dead node, if Ray says it."""
    cpus: Amount
    gpus: Amount
    memory: Amount
    """Bytes of the machine; nodes that share a machine each tell all of it."""
    object_store: Amount
    """Bytes."""
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Running:
    """Jobs that wait or run."""

    ours: tuple[Mapping[str, str], ...]
    """handle, run and status of each."""
    others: int


def nodes_of(
    listed: Mapping[str, Any], seen: Mapping[str, Any], draining: Collection[str] = ()
) -> list[Node]:
    """The nodes in the dashboard's answers to /api/v0/nodes?detail=1, which knows the dead ones,
    too, and to /nodes?view=summary, which knows what the others do; neither knows which drain, so
    their ids are given.

    The head, those that are alive, then the dead, each newest first.
    """
    known = {each["raylet"]["nodeId"]: each for each in seen["data"]["summary"]}
    usage = seen["data"].get("nodeLogicalResources") or {}
    nodes = [
        (
            int(each.get("start_time_ms") or 0),
            _node_of(each, known.get(each["node_id"], {}), usage, each["node_id"] in draining),
        )
        for each in rows_of(listed)
    ]
    return [node for _, node in sorted(nodes, key=lambda pair: (_rank(pair[1]), -pair[0]))]


def rows_of(listed: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What the state API wraps in its answer to /api/v0/nodes."""
    found: list[Mapping[str, Any]] = listed["data"]["result"]["result"]
    return found


def usage_of(lines: str) -> dict[str, Amount]:
    """Used and total by resource, of Ray's `1.0/2.0 CPU` and `0B/466.0MiB object_store_memory`."""
    found = {}
    for used, of_used, total, of_total, name in _USAGE.findall(lines):
        factor_used, factor_total = _BYTES.get(of_used, 1), _BYTES.get(of_total, 1)
        found[name] = Amount(float(used) * factor_used, float(total) * factor_total)
    return found


_USAGE = re.compile(r"^\s*([\d.]+)([KMGT]?i?B)?/([\d.]+)([KMGT]?i?B)? (\S+)", re.MULTILINE)
_BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def free(nodes: Iterable[Node]) -> tuple[float, float]:
    """CPUs and GPUs that are free, of the nodes that take work."""
    alive = [node for node in nodes if node.state == "alive"]
    return sum(node.cpus.free for node in alive), sum(node.gpus.free for node in alive)


def running_jobs(jobs: Iterable[Mapping[str, Any]]) -> Running:
    """Of the answer of the Jobs API: ours are those whose metadata name a run."""
    going = [job for job in jobs if job["status"] in ("PENDING", "RUNNING")]
    ours = tuple(
        {
            "handle": str(job.get("submission_id")),
            "run": str(job["metadata"]["run"]),
            "status": str(job["status"]).lower(),
        }
        for job in going
        if (job.get("metadata") or {}).get("run")
    )
    return Running(ours, len(going) - len(ours))


COLUMNS: Sequence[str] = (
    *("node", "address", "role", "CPUs", "GPUs", "memory GB", "store GB", "state", "labels"),
)


def row(node: Node) -> list[str]:
    """The cells of a node, below COLUMNS."""
    labels = {k: v for k, v in node.labels.items() if not k.startswith(OWN_LABELS)}
    return [
        node.name,
        node.address,
        node.role,
        *(_cell(amount, node, 1, "g") for amount in (node.cpus, node.gpus)),
        *(_cell(amount, node, 1e9, ".1f") for amount in (node.memory, node.object_store)),
        f"{node.state} ({node.why})" if node.why else node.state,
        ", ".join(f"{key}={value}" for key, value in sorted(labels.items())),
    ]


def _cell(amount: Amount, node: Node, unit: float, form: str) -> str:
    """used/total."""
    if node.state == "dead":
        return "-"
    used = "?" if amount.used is None else format(amount.used / unit, form)
    return f"{used}/{format(amount.total / unit, form)}"


def _node_of(
    listed: Mapping[str, Any], seen: Mapping[str, Any], usage: Mapping[str, str], drains: bool
) -> Node:
    raylet = seen.get("raylet") or {}
    total = listed.get("resources_total") or {}
    used = usage_of(usage[listed["node_id"]]) if listed["node_id"] in usage else None
    memory = seen.get("mem") or (0, 0, 0, 0)  # total, available, percent, used
    in_store = raylet.get("objectStoreUsedMemory", 0)
    state = "dead" if listed["state"] != "ALIVE" else "draining" if drains else "alive"
    return Node(
        name=listed.get("node_name") or listed["node_id"][:8],
        address=listed["node_ip"],
        role="head" if listed.get("is_head_node") else "worker",
        state=state,
        why=_reason(listed) if state == "dead" else "",
        cpus=_amount("CPU", total, used),
        gpus=_amount("GPU", total, used),
        memory=Amount(float(memory[0] - memory[1]), float(memory[0])),
        object_store=Amount(float(in_store), float(total.get("object_store_memory", 0))),
        labels=listed.get("labels") or {},
    )


def _amount(name: str, total: Mapping[str, float], used: Mapping[str, Amount] | None) -> Amount:
    """Of one resource; a new node's usage is not known for some seconds."""
    if used and name in used:
        return used[name]
    there = total.get(name, 0.0)
    return Amount(0.0 if used is not None or not there else None, there)


def _reason(listed: Mapping[str, Any]) -> str:
    """The first part of `Unexpected termination: health check failed ...`."""
    return str(listed.get("state_message") or "").partition(":")[0].lower()


def _rank(node: Node) -> int:
    if node.state == "dead":
        return 2
    return 0 if node.role == "head" else 1
