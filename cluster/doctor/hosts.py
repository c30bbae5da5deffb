"""What may run out on a host, and what else runs there. Pure."""

from collections.abc import Sequence

from unfreeze.cluster.doctor.facts import Finding, Machine, Node, Severity, Space
from unfreeze.cluster.doctor.probes import CACHE_FOLDER, RAY_FOLDER
from unfreeze.cluster.doctor.software import names

GB = 1e9
FULL_SHARE = 0.95
"""Ray spills nothing to a file system that is fuller (its local_fs_capacity_threshold), and kills
workers when more of the memory is used (its memory_usage_threshold)."""

LOW_DISK_BYTES = 10 * GB
"""Less is worth a word: a checkpoint of a billion parameters takes 12 GB."""

NO_DISK_BYTES = 1 * GB
"""Less does not hold a small model, its tokens and its boundary cache."""

LOW_MEMORY_SHARE = 0.1
"""Of the memory, still to be had: 5 % are left until Ray kills workers."""

MOST_PROCESSES = 4

_MORE_DISK = {
    RAY_FOLDER: "free some, or start Ray there with --temp-dir on a larger disk",
    CACHE_FOLDER: "free some, or let UNFREEZE_CACHE name a folder on a larger disk",
}


def judge_hosts(nodes: Sequence[Node], session: str) -> list[Finding]:
    """Disk, shared memory, memory, and other Rays; `session` is the name of this one's."""
    seen = [(node, node.machine) for node in nodes if node.machine]
    findings = []
    for node, machine in seen:
        for what, space in machine.folders.items():
            findings += _disk(node, what, space)
        findings += _shared_memory(node, machine) + _memory(node, machine)
    others = _other_rays(nodes, session)
    if seen and not findings:
        low = min(space.free_bytes for _, machine in seen for space in machine.folders.values())
        text = f"enough disk ({_size(low)} free at least), memory and /dev/shm"
        findings.append(Finding("ok", "hosts", text))
    if seen and not others:
        findings.append(Finding("ok", "hosts", "no other Ray runs on any"))
    return findings + others


def _disk(node: Node, what: str, space: Space) -> list[Finding]:
    text = f"{what}, {space.path}, has {_size(space.free_bytes)} left of {_size(space.total_bytes)}"
    full = what == RAY_FOLDER and space.free_bytes < (1 - FULL_SHARE) * space.total_bytes
    if full:
        text += f"; Ray spills no objects to a disk that is {FULL_SHARE:.0%} full"
    if space.free_bytes >= LOW_DISK_BYTES and not full:
        return []
    severity: Severity = "error" if space.free_bytes < NO_DISK_BYTES else "warning"
    return [Finding(severity, node.name, text, _MORE_DISK[what])]


def _shared_memory(node: Node, machine: Machine) -> list[Finding]:
    if machine.shm_bytes >= node.object_store_bytes:
        return []
    return [
        Finding(
            "warning",
            node.name,
            f"/dev/shm has {_size(machine.shm_bytes)}, Ray's object store there "
            f"{_size(node.object_store_bytes)}: it lies on the disk, which is slow",
            "start the container with a larger --shm-size (Kubernetes: mount an emptyDir of medium "
            "Memory at /dev/shm), or Ray with a smaller --object-store-memory",
        )
    ]


def _memory(node: Node, machine: Machine) -> list[Finding]:
    share = machine.memory_available_bytes / machine.memory_bytes
    if share >= LOW_MEMORY_SHARE:
        return []
    return [
        Finding(
            "error" if share < 1 - FULL_SHARE else "warning",
            node.name,
            f"{_size(machine.memory_available_bytes)} of {_size(machine.memory_bytes)} of memory "
            f"are left; Ray kills workers when {FULL_SHARE:.0%} are used",
            "end what else runs there, or give the container more",
        )
    ]


def _other_rays(nodes: Sequence[Node], session: str) -> list[Finding]:
    """By host: raylets of one cluster that share a host see the same processes."""
    hosts: dict[str, list[Node]] = {}
    for node in nodes:
        hosts.setdefault(node.hostname, []).append(node)
    findings = []
    for sharing in hosts.values():
        processes = sharing[0].machine.ray_processes if sharing[0].machine else ()
        others = [process for process in processes if process.session != session]
        if not others:
            continue
        listed = ", ".join(f"{process.name} {process.pid}" for process in others[:MOST_PROCESSES])
        more = len(others) - MOST_PROCESSES
        listed += f" and {more} more" if more > 0 else ""
        findings.append(
            Finding(
                "warning",
                names([node.name for node in sharing]),
                f"another Ray runs on the host ({listed}): Ray Tune's clean-up may ask that one's "
                "dashboard, and leave the resources of a stopped trial taken",
                "end one of them by its processes (`ray stop` ends both), or set "
                "RAY_API_SERVER_ADDRESS to this cluster's dashboard wherever you start jobs",
            )
        )
    return findings


def _size(num_bytes: float) -> str:
    return f"{num_bytes / GB:.1f} GB"
