"""A search as people run it, while workers, nodes, driver and store fail: no trial is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import searches
import yaml
from flaky_proxy import Proxy, running_proxy
from ray_cluster import Node, ray_head, wait_until

from unfreeze.storage import ObjectStore, embedded, open_store
from unfreeze.storage.s3 import S3Client, S3Store

pytestmark = [pytest.mark.slow, pytest.mark.chaos]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.EmbeddedServer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNFREEZE_HOME", str(tmp_path_factory.mktemp("home-of-search")))
        running = embedded.up()
        S3Store("searches", client=S3Client(running.endpoint, running.keys_file)).make_bucket()
        keys = embedded.credentials()
        patch.setenv("AWS_ACCESS_KEY_ID", keys.access_key)
        patch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_key)
        try:
            yield running
        finally:
            embedded.down()


@pytest.fixture
def proxy(server: embedded.EmbeddedServer) -> Iterator[Proxy]:
    with running_proxy(server.endpoint) as running:
        yield running


class Command:
    """`unfreeze search` in a process of its own."""

    def __init__(self, inputs: Path, folder: Path, endpoint: str) -> None:
        settings = searches.settings(
            inputs, "s3://searches", name=folder.name, space=searches.SMALL_SPACE
        )
        settings["job"]["storage"]["endpoint"] = endpoint
        self.root = open_store("s3://searches", endpoint=endpoint).under(folder.name)
        self.file = folder / "search.yaml"
        self.file.write_text(yaml.safe_dump(settings))
        self.marker = str(folder)

    def start(self, address: str | None = None) -> subprocess.Popen[str]:
        """With a Ray of its own, or on the one at the address."""
        command = [sys.executable, "-m", "unfreeze.cli.main", "search", str(self.file), "--json"]
        environment = os.environ | {"UNFREEZE_TEST_MARKER": self.marker}
        if address:
            command += ["--address", address]
        else:
            environment = {k: v for k, v in environment.items() if not k.startswith("RAY_")}
        return subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # Where the tests run in the background, a shell has switched Ctrl-C off for them.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def wait_for_records(self, count: int, process: subprocess.Popen[str]) -> set[str]:
        deadline = time.monotonic() + 240
        while len(found := set(records(self.root))) < count:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.2)
        return found

    def processes(self, kind: str = "") -> list[psutil.Process]:
        """Those of this command, youngest last."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get("UNFREEZE_TEST_MARKER") == self.marker
                if ours and kind in " ".join(process.cmdline()) and "weed" not in process.name():
                    found.append(process)
            except psutil.Error:
                continue
        return sorted(found, key=lambda process: process.create_time())


def records(root: ObjectStore) -> dict[str, dict[str, Any]]:
    keys = [info.key for info in root.list("trials/") if info.key.endswith("/record.json")]
    return {key.split("/")[1]: json.loads(root.get(key)) for key in keys}


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors
    result: dict[str, Any] = json.loads(out)
    assert len(result["trials"]) == 6
    assert {entry["state"] for entry in result["trials"]} == {"finished"}
    return result


@pytest.fixture
def command(inputs: Path, tmp_path: Path) -> Iterator[Callable[[str, str], Command]]:
    made: list[Command] = []

    def make(name: str, endpoint: str) -> Command:
        (tmp_path / name).mkdir()
        made.append(Command(inputs, tmp_path / name, endpoint))
        return made[-1]

    yield make
    for one in made:
        for process in one.processes():
            process.kill()


def test_ctrl_c_a_killed_driver_and_a_killed_worker_lose_no_finished_trial(
    command: Callable[[str, str], Command], proxy: Proxy
) -> None:
    """Each attempt ends one trial more: then both lanes are kept from ending theirs."""
    search = command("killed", proxy.endpoint)
    proxy.hold("record.json", after=1)
    interrupted = search.start()
    search.wait_for_records(1, interrupted)
    os.killpg(interrupted.pid, signal.SIGINT)  # as a terminal does
    _, errors = interrupted.communicate(timeout=60)
    assert interrupted.returncode == 130, errors
    assert "Traceback" not in errors
    wait_until(lambda: not search.processes(), 30)

    proxy.hold("record.json", after=1)
    first = search.start()
    search.wait_for_records(2, first)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    wait_until(lambda: not search.processes("ray::"), 30)  # lanes do not outlive their driver
    for left in search.processes():  # Ray's own daemons end later
        left.kill()
    before = records(search.root)
    published = {info.key for info in search.root.list("prefixes/")}

    proxy.hold("record.json", after=1)
    second = search.start()
    search.wait_for_records(3, second)
    wait_until(lambda: proxy.held == 2, 60)
    search.processes("RayTrainWorker")[-1].send_signal(signal.SIGKILL)
    proxy.release()
    result = finish(second)

    assert len(before) == 2
    after = records(search.root)
    for id, record in before.items():
        assert after[id] == record, "a finished trial was run again"
    assert published <= {info.key for info in search.root.list("prefixes/")}
    # All four frozen trials share 22 head steps; an end may cost what was not published yet.
    again = sum(entry["cost"]["steps_run"] for entry in result["trials"]) - 22 - 6 * 11
    assert again <= 22
    assert sorted(entry["cost"]["attempts"] for entry in result["trials"]) == [1, 1, 1, 1, 1, 2]


def test_a_store_that_is_away_for_twenty_seconds_costs_no_trial(
    command: Callable[[str, str], Command], proxy: Proxy
) -> None:
    search = command("away", proxy.endpoint)
    running = search.start()
    search.wait_for_records(2, running)
    before = records(search.root)
    proxy.fail("dropped", 10**9)
    time.sleep(20)
    proxy.fail("dropped", 0)
    result = finish(running)
    after = records(search.root)
    for id, record in before.items():
        assert after[id] == record
    assert result["winner"]["trial"] in after


def test_a_search_outlives_its_nodes_and_its_whole_ray(
    command: Callable[[str, str], Command], proxy: Proxy, tmp_path: Path
) -> None:
    search = command("nodes", proxy.endpoint)
    proxy.hold("record.json", after=1)
    with ray_head(tmp_path, 1) as (head, address):
        running = search.start(address)
        search.wait_for_records(1, running)
        other = Node(tmp_path, f"--address={address}", "--num-cpus=1")
        try:
            wait_until(lambda: proxy.held == 2, 120)  # its lane has a trial, too
            assert len(other.train_workers()) == len(head.train_workers()) == 1
            proxy.hold("record.json", after=1)
            search.wait_for_records(2, running)
            wait_until(lambda: proxy.held == 2, 60)
        finally:
            other.kill()
        proxy.hold("record.json", after=1)
        search.wait_for_records(3, running)
        head.kill()
        before = records(search.root)
        _, errors = running.communicate(timeout=150)
    assert running.returncode == 1, errors
    assert "Traceback" not in errors
    assert len(before) == 3

    proxy.release()
    with ray_head(tmp_path, 2) as (_, address):
        finish(search.start(address))
    after = records(search.root)
    assert {id: after[id] for id in before} == before, "a finished trial ran again"
