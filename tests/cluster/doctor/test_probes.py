"""What a node finds out about itself, from planted files of the system."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from unfreeze.cluster.doctor import probes

SESSION = "session_2026-11-22_15-20-31_123456_789"
KB = 1024


def meminfo(folder: Path) -> Path:
    file = folder / "meminfo"
    file.write_text("MemTotal:       32000000 kB\nMemFree:  100 kB\nMemAvailable:   20000000 kB\n")
    return file


def cgroup(folder: Path, limit: str, used: int = 0, inactive: int = 0) -> Path:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {inactive}\nslab 7\n")
    return folder


def test_memory_is_the_machines_where_no_container_has_less(tmp_path: Path) -> None:
    whole = {"memory_bytes": 32_000_000 * KB, "memory_available_bytes": 20_000_000 * KB}
    file = meminfo(tmp_path)
    assert probes.memory(file, tmp_path / "no cgroup 2") == whole
    assert probes.memory(file, cgroup(tmp_path, "max")) == whole
    assert probes.memory(file, cgroup(tmp_path, str(10**15))) == whole


def test_memory_of_a_container_counts_files_that_can_be_read_again_as_free(tmp_path: Path) -> None:
    limited = cgroup(tmp_path, "8000000000", used=7_000_000_000, inactive=3_000_000_000)
    assert probes.memory(meminfo(tmp_path), limited) == {
        "memory_bytes": 8_000_000_000,
        "memory_available_bytes": 4_000_000_000,
    }


def process(proc: Path, pid: int, *line: str) -> None:
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "cmdline").write_bytes("\0".join(line).encode() + b"\0")


def test_rays_processes_are_told_with_their_sessions_and_nothing_else(tmp_path: Path) -> None:
    other = "session_2026-11-20_08-00-00_000001_42"
    secret = "--redis_password=hunter2"
    process(tmp_path, 10, "/opt/gcs_server", "--log_dir=/x", f"--session-name={SESSION}", secret)
    process(tmp_path, 9, "/opt/raylet", f"--session_dir=/tmp/ray/{other}", secret)
    process(tmp_path, 11, "vi", f"--session-name={SESSION}")
    process(tmp_path, 12, "raylet", "--help")
    process(tmp_path, 13, "")
    (tmp_path / "14").mkdir()  # it has ended
    found = probes.ray_processes(tmp_path)
    assert found == [
        {"name": "raylet", "pid": 9, "session": other},
        {"name": "gcs_server", "pid": 10, "session": SESSION},
    ]
    assert "hunter2" not in json.dumps(found)


HEADER = "  sl  local_address rem_address   st\n"


@pytest.mark.parametrize(
    ("tcp", "tcp6", "expected"),
    [
        (["0100007F:2049 00000000:0000 0A"], [], True),
        (["00000000:2049 00000000:0000 0A"], [], False),
        (["0200000A:2049 00000000:0000 0A"], [], False),
        ([], [f"{'0' * 24}01000000:2049 {'0' * 32}:0000 0A"], True),
        ([], [f"{'0' * 32}:2049 {'0' * 32}:0000 0A"], False),
        # Another port; and a connection, which is no listening.
        (["00000000:2050 00000000:0000 0A", "0200000A:2049 0200000A:9999 01"], [], True),
    ],
)
def test_who_can_reach_a_port_is_read_from_the_kernels_table(
    tmp_path: Path, tcp: list[str], tcp6: list[str], expected: bool
) -> None:
    for name, rows in (("tcp", tcp), ("tcp6", tcp6)):
        lines = [f"   {i}: {row} 00000000:00000000\n" for i, row in enumerate(rows)]
        (tmp_path / name).write_text(HEADER + "".join(lines))
    assert probes.only_on_loopback(0x2049, tmp_path) is expected


class _Dashboard(BaseHTTPRequestHandler):
    answers: dict[str, int]
    seen: list[Any]

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Authorization")))
        status = self.answers.get(self.path, 404)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/login")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def dashboard() -> Iterator[tuple[str, type[_Dashboard]]]:
    handler = type("Handler", (_Dashboard,), {"answers": {}, "seen": []})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [200, 401, 500])
def test_a_dashboard_is_asked_without_a_token(
    dashboard: tuple[str, type[_Dashboard]], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = dashboard
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    handler.answers["/api/jobs/"] = status
    found = probes.ask_dashboard(url)
    assert found == {"url": url, "is_loopback": True, "status": status}
    assert handler.seen == [("/api/jobs/", None)]


def test_a_page_to_log_in_at_is_not_followed(dashboard: tuple[str, type[_Dashboard]]) -> None:
    url, handler = dashboard
    handler.answers.update({"/api/jobs/": 302, "/login": 200})
    assert probes.ask_dashboard(url)["status"] == 302


def test_a_dashboard_that_is_not_there_is_a_problem_in_words() -> None:
    found = probes.ask_dashboard("http://127.0.0.1:9")
    assert "status" not in found
    assert re.search("refused", found["problem"])


def test_the_probe_needs_nothing_of_ours_where_it_runs() -> None:
    """It is sent by value; what its module imports at the top must be there already."""
    code = f"""
import importlib.util, sys
sys.modules["unfreeze"] = None
spec = importlib.util.spec_from_file_location("alone", {probes.__file__!r})
alone = importlib.util.module_from_spec(spec)
spec.loader.exec_module(alone)
print(alone.versions()["python"], "ray" in sys.modules, "torch" in sys.modules)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == [sys.version.split()[0], "False", "False"]


def test_our_code_is_known_by_its_bytes() -> None:
    code = probes.code_hash()
    assert code is not None
    assert re.fullmatch("[0-9a-f]{12}", code)


def test_an_edit_changes_the_hash_and_a_missing_part_is_none(tmp_path: Path) -> None:
    """In a process that finds another unfreeze."""
    for part in probes.PARTS:
        (tmp_path / "unfreeze" / part).mkdir(parents=True)
        (tmp_path / "unfreeze" / part / "__init__.py").write_text("")
    script = f"""
import importlib.util, pathlib, sys
sys.path.insert(0, {str(tmp_path)!r})
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in repr(f)]
spec = importlib.util.spec_from_file_location("alone", {probes.__file__!r})
alone = importlib.util.module_from_spec(spec)
spec.loader.exec_module(alone)
before = alone.code_hash()
edited = pathlib.Path({str(tmp_path)!r}, "unfreeze/jobs/__init__.py")
edited.write_text("1")
print(before == alone.code_hash())
edited.write_text("")
print(before == alone.code_hash())
edited.unlink()
edited.parent.rmdir()
importlib.invalidate_caches()
print(alone.code_hash())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True", "None"], done.stderr


def test_versions_are_those_that_are_installed() -> None:
    found = probes.versions()
    assert set(found) == {"python", "unfreeze", "ray", "torch", "deepspeed", "transformers"}
    assert found["ray"] is not None
    assert found["ray"].startswith("2.")
