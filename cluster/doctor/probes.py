"""What runs on a node and looks at it.

Sent to the node by value (`doctor` sees to it), so that it runs where unfreeze is not installed, or
another version is: it imports nothing of ours, and answers in plain data. No environment and no
command line is part of an answer: either may hold secrets.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

PACKAGES = ("unfreeze", "ray", "torch", "deepspeed", "transformers")
PARTS = ("cli", "cluster", "jobs", "storage", "tuning")
RAY_FOLDER, CACHE_FOLDER = "Ray's temp folder", "unfreeze's cache"
_LISTENS = "0A"  # TCP_LISTEN of <net/tcp_states.h>
_LOOPBACK = re.compile(r"0100007F|0{24}01000000|0{16}FFFF00000100007F")
"""127.0.0.1, ::1 and ::ffff:127.0.0.1 as /proc/net/tcp and tcp6 write them."""


class Probe:
    """An actor that looks at the node it runs on."""

    def look(self) -> dict[str, Any]:
        """The fields of `facts.Machine`."""
        return look()

    def now(self) -> float:
        """This node's clock, in seconds since 1970."""
        return time.time()

    def ask_dashboard(self, url: str) -> dict[str, Any]:
        """The fields of `facts.Dashboard`. For the head: others may not reach it."""
        return ask_dashboard(url)

    def call(self, check: Callable[[], Any]) -> Any:
        """What `check` gives here."""
        return check()


def look() -> dict[str, Any]:
    """The fields of `facts.Machine`, of the machine that this process runs on."""
    return {
        "versions": versions(),
        "code": code_hash(),
        **accelerators(),
        "folders": folders(),
        "shm_bytes": _space("/dev/shm")["total_bytes"] if os.path.isdir("/dev/shm") else 0,
        **memory(),
        "ray_processes": ray_processes(),
    }


def versions() -> dict[str, str | None]:
    """Of Python and the packages that must agree; None for those that are not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def code_hash() -> str | None:
    """What our code here is, in 12 characters: one version number may stand for many states of it.

    None if it is not installed.
    """
    digest = hashlib.sha256()
    for part in PARTS:
        try:
            found = importlib.util.find_spec(f"unfreeze.{part}")
        except ModuleNotFoundError:
            found = None
        if found is None or not found.submodule_search_locations:
            return None
        folder = Path(found.submodule_search_locations[0])
        for file in sorted(folder.rglob("*.py")):
            digest.update(f"{part}/{file.relative_to(folder)}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]


def accelerators(driver_file: Path = Path("/proc/driver/nvidia/version")) -> dict[str, Any]:
    """NVIDIA GPUs as the system and as torch see them."""
    devices = [name for name in os.listdir("/dev") if re.fullmatch(r"nvidia\d+", name)]
    driver = None
    if driver_file.exists():
        found = re.search(r"\b\d+\.\d+(\.\d+)?\b", driver_file.read_text())
        driver = found.group() if found else None
    problem, build, gpus = None, None, 0
    try:
        import torch

        build, gpus = torch.version.cuda, torch.cuda.device_count()
    except (ImportError, OSError, RuntimeError) as error:  # a library that it needs, the driver
        problem = [*str(error).strip().splitlines(), type(error).__name__][0]
    return {
        "torch_problem": problem,
        "cuda_build": build,
        "driver": driver,
        "torch_gpus": gpus,
        "gpu_devices": len(devices),
    }


def folders() -> dict[str, dict[str, Any]]:
    """Room where Ray spills and logs, and where we keep models, tokens and boundary caches."""
    import ray

    node: Any = ray._private.worker.global_worker.node
    cache = os.environ.get("UNFREEZE_CACHE", "~/.cache/unfreeze")
    return {
        RAY_FOLDER: _space(node.get_temp_dir_path()),
        CACHE_FOLDER: _space(os.path.expanduser(cache)),
    }


def _space(folder: str) -> dict[str, Any]:
    """Of the folder, or of the first above it that exists."""
    path = Path(folder).absolute()
    there = next(place for place in (path, *path.parents) if place.exists())
    usage = shutil.disk_usage(there)
    return {"path": str(path), "free_bytes": usage.free, "total_bytes": usage.total}


def memory(
    meminfo: Path = Path("/proc/meminfo"), cgroup: Path = Path("/sys/fs/cgroup")
) -> dict[str, int]:
    """Memory of the machine, or of its container (cgroup 2) if that has less. Bytes."""
    kib = dict(re.findall(r"^(\w+):\s+(\d+)", meminfo.read_text(), re.MULTILINE))
    total, available = int(kib["MemTotal"]) * 1024, int(kib["MemAvailable"]) * 1024
    limit = cgroup / "memory.max"
    if limit.exists() and (text := limit.read_text().strip()).isdigit() and int(text) < total:
        total, used = int(text), int((cgroup / "memory.current").read_text())
        stat = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        # Pages of files that nobody reads are given up before anybody is killed.
        available = min(available, total - used + int(stat["inactive_file"]))
    return {"memory_bytes": total, "memory_available_bytes": available}


def ray_processes(proc: Path = Path("/proc")) -> list[dict[str, Any]]:
    """The gcs_servers and raylets of this host, with their sessions; no more of their lines."""
    found = []
    for folder in sorted(proc.glob("[0-9]*"), key=lambda folder: int(folder.name)):
        try:
            line = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has ended, or is not ours to look at
            continue
        name = os.path.basename(line[0])
        if name in ("gcs_server", "raylet") and (session := _session_of(line)):
            found.append({"name": name, "pid": int(folder.name), "session": session})
    return found


def _session_of(line: Iterable[str]) -> str | None:
    for argument in line:
        if found := re.fullmatch(r"--session[-_](?:name|dir)=(?:.*/)?(session_[\w-]+)/?", argument):
            return found.group(1)
    return None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


def ask_dashboard(url: str) -> dict[str, Any]:
    """The fields of `facts.Dashboard`: what the dashboard at `url` says to one without a token."""
    port = int(url.rpartition(":")[2])
    answer: Mapping[str, Any]
    # No proxy stands between the head and itself, and a page to log in at is no dashboard.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)
    try:
        with opener.open(f"{url}/api/jobs/", timeout=10) as response:
            answer = {"status": response.status}
    except urllib.error.HTTPError as error:
        answer = {"status": error.code}
    except OSError as error:
        answer = {"problem": str(getattr(error, "reason", error))}
    return {"url": url, "is_loopback": only_on_loopback(port), **answer}


def only_on_loopback(port: int, net: Path = Path("/proc/net")) -> bool:
    """Whether nothing listens to this port but on a loopback address."""
    hosts = []
    for table in (net / "tcp", net / "tcp6"):
        if table.exists():
            rows = [row.split() for row in table.read_text().splitlines()[1:]]
            places = [row[1].split(":") for row in rows if row[3] == _LISTENS]
            hosts += [host for host, hex_port in places if int(hex_port, 16) == port]
    return all(_LOOPBACK.fullmatch(host) for host in hosts)
