"""Secrets stay where they were put: planted ones are looked for in all that a job leaves behind."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import tiny
import yaml
from local_cluster import Shell, local_cluster

from unfreeze.cluster.dashboard import fetch
from unfreeze.storage.credentials import Credentials, write_credentials
from unfreeze.storage.s3 import S3Client, S3Store

pytestmark = pytest.mark.slow

ACCESS_KEY = "PLANTEDACCESSKEY0001"
SECRET_KEY = "planted-secret-key-0123456789abcdefghijk"
HUB_TOKEN = "hf_plantedhubtokenplantedhubtoken01"
RAY_TOKEN = "planted-ray-token-0123456789abcdef0123456789abcdef"
PLANTED = {
    "the access key": ACCESS_KEY,
    "the secret key": SECRET_KEY,
    "the hub's token": HUB_TOKEN,
    "Ray's token": RAY_TOKEN,
}
ASKED = (
    "/api/jobs/",
    "/api/v0/jobs?detail=1&limit=1000",
    "/api/v0/actors?detail=1&limit=1000",
    "/api/v0/tasks?detail=1&limit=1000",
    "/api/v0/workers?detail=1&limit=1000",
    "/api/v0/runtime_envs?detail=1&limit=1000",
    "/api/v0/placement_groups?detail=1&limit=1000",
    "/api/v0/cluster_events?detail=1&limit=1000",
    "/nodes?view=summary",
)
IN_THE_DRIVER = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "HF_TOKEN": HUB_TOKEN,
}


def found_in(text: str) -> list[str]:
    return [what for what, secret in PLANTED.items() if secret in text]


@dataclass
class Traces:
    """What a run has left, by where: texts, to be searched."""

    texts: dict[str, str] = field(default_factory=dict)
    quiet: str = ""
    """What the job said that was run from here."""
    spoken: str = ""
    """What the submitted one said, with all that the libraries say."""

    def leaks(self) -> dict[str, list[str]]:
        return {place: found for place, text in self.texts.items() if (found := found_in(text))}


class CommandLines:
    """Those of all processes while it runs, taken ten times a second."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "CommandLines":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            for process in psutil.process_iter():
                try:
                    self.seen.add(" ".join(process.cmdline()))
                except psutil.Error:
                    continue


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A user who keeps secrets where they belong: in files below the home folder."""
    home = tmp_path_factory.mktemp("planted")
    (home / ".aws").mkdir()
    pair = f"aws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
    (home / ".aws" / "credentials").write_text(f"[default]\n{pair}")
    (home / ".cache" / "huggingface").mkdir(parents=True)
    (home / ".cache" / "huggingface" / "token").write_text(HUB_TOKEN)
    (home / "unfreeze" / "s3").mkdir(parents=True)
    (home / "unfreeze" / "ray-token").write_text(RAY_TOKEN)
    for path in (home / "unfreeze" / "ray-token", home / ".aws" / "credentials"):
        path.chmod(0o600)
    write_credentials(home / "unfreeze" / "s3" / "keys.json", Credentials(ACCESS_KEY, SECRET_KEY))
    shell = Shell(home)
    shell.run("storage", "up")
    yield shell
    shell.run("storage", "down")


@pytest.fixture(scope="module")
def client(shell: Shell) -> S3Client:
    endpoint = json.loads(shell.run("storage", "status", "--json"))["endpoint"]
    keys = Path(shell.environment["UNFREEZE_HOME"], "s3", "keys.json")
    return S3Client(endpoint, keys)


@pytest.fixture(scope="module")
def traces(
    shell: Shell, client: S3Client, inputs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Traces:
    """Of a job that a driver runs on a local cluster, and the same job submitted."""
    store = S3Store("planted", client=client)
    store.make_bucket()
    file = tmp_path_factory.mktemp("job") / "job.yaml"
    file.write_text(yaml.safe_dump(job(inputs, client)))
    traces = Traces()
    with (
        CommandLines() as command_lines,
        local_cluster(shell, "--cpus-per-node", "2"),
    ):
        state = json.loads(Path(shell.environment["UNFREEZE_HOME"], "cluster.json").read_text())
        train = ("--debug", "train", str(file), "--address", "auto")
        traces.quiet = shell.run(*train, more=IN_THE_DRIVER) + shell.errors
        shell.run("cluster", "status")
        address = ("--address", state["dashboard"])
        shell.run("submit", str(file), *address, "--dry-run", more=IN_THE_DRIVER)
        submit = ("submit", str(file), "name=submitted", *address, "--follow", "--verbose")
        traces.spoken = shell.run(*submit, more=IN_THE_DRIVER)
        shell.run("jobs", "list", *address)
        for path in ASKED:
            answer = fetch(state["dashboard"], path, token=RAY_TOKEN)
            traces.texts[f"dashboard {path}"] = json.dumps(answer)
        for path in Path(state["folder"]).rglob("*"):
            if path.is_file():
                traces.texts[f"Ray's {path.name}"] = path.read_bytes().decode(errors="replace")
    traces.texts |= {f"store {info.key}": text_of(store, info.key) for info in store.list()}
    traces.texts |= {f"output {i}": text for i, text in enumerate(shell.said)}
    traces.texts["command lines"] = "\n".join(command_lines.seen)
    return traces


def job(inputs: Path, client: S3Client) -> dict[str, Any]:
    return tiny.settings(
        inputs,
        name="planted",
        scale={"workers": 1},
        phases=[{"train": "head", "for": "1ep", "learning_rate": 1e-2}],
        storage={"uri": "s3://planted", "endpoint": client.endpoint},
    )


def text_of(store: S3Store, key: str) -> str:
    return store.get(key).decode(errors="replace")


def test_there_is_something_to_look_at(traces: Traces) -> None:
    """The job has run, on workers that found the keys by themselves, and left all of its traces."""
    places = traces.texts.keys()
    assert {"store planted/result.json", "store submitted/report.html"} <= places
    assert "gcs_server" in traces.texts["command lines"]
    assert "RayTrainWorker" in traces.texts["command lines"]
    assert "RayTrainWorker" in traces.texts["dashboard /api/v0/actors?detail=1&limit=1000"]
    assert "planted" in traces.texts["dashboard /api/jobs/"]
    assert len([place for place in places if place.startswith("Ray's ")]) > 20


def test_no_secret_is_in_any_of_it(traces: Traces) -> None:
    assert traces.leaks() == {}


def test_libraries_speak_only_when_they_are_asked(traces: Traces) -> None:
    words = ("RayTrainWorker pid=", "TrainController pid=", "DeepSpeed info:")
    assert [word for word in words if word in traces.quiet] == []
    assert [word for word in words if word not in traces.spoken] == []
    assert all("phase 0: head" in said for said in (traces.quiet, traces.spoken))


def test_a_secret_that_was_left_somewhere_would_be_found() -> None:
    leaking = Traces({"here": f"x{SECRET_KEY}x{HUB_TOKEN}", "there": "nothing"})
    assert leaking.leaks() == {"here": ["the secret key", "the hub's token"]}
