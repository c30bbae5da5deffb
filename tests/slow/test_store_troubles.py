"""Training on a real S3 server that stumbles, and what is left in the store at the end."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import worker_tasks
from flaky_proxy import Proxy, running_proxy
from worker_pool import RemoteError, WorkerPool

from unfreeze.storage import CheckpointStore, ObjectStore, embedded, open_store
from unfreeze.storage.s3 import S3Client, S3Store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[embedded.EmbeddedServer]:
    running = embedded.up()
    S3Store("jobs", client=S3Client(running.endpoint, running.keys_file)).make_bucket()
    yield running
    embedded.down()


@pytest.fixture
def proxy(server: embedded.EmbeddedServer) -> Iterator[Proxy]:
    with running_proxy(server.endpoint) as running:
        yield running


@pytest.fixture
def keys(server: embedded.EmbeddedServer) -> dict[str, str]:
    found = embedded.credentials()
    return {"AWS_ACCESS_KEY_ID": found.access_key, "AWS_SECRET_ACCESS_KEY": found.secret_key}


def job(inputs: Path, proxy: Proxy, name: str, **changes: Any) -> dict[str, Any]:
    storage = {"uri": "s3://jobs", "endpoint": proxy.endpoint}
    return tiny.settings(inputs, name=name, storage=storage, **changes)


def runs_of(settings: dict[str, Any]) -> ObjectStore:
    return open_store("s3://jobs", endpoint="embedded").under(settings["name"])


def test_a_stumbling_store_is_tried_again_and_nothing_is_lost(
    two_workers: WorkerPool, inputs: Path, proxy: Proxy, keys: dict[str, str], tmp_path: Path
) -> None:
    quiet = tiny.settings(inputs, storage={"uri": str(tmp_path)})
    two_workers.run(worker_tasks.run, quiet)
    settings = job(inputs, proxy, "stumbling")
    proxy.fail("503", 3)
    told = two_workers.run(worker_tasks.run_on_store, settings, keys)[0]
    assert proxy.failures == 0
    assert not [m for m in told if m["kind"] == "checkpoint" and m["failure"]]
    lines = runs_of(settings).get("metrics.jsonl").splitlines()
    assert [json.loads(line) for line in lines] == worker_tasks.metrics(quiet)


def test_training_goes_on_when_a_checkpoint_cannot_be_written_and_says_so(
    two_workers: WorkerPool, inputs: Path, proxy: Proxy, keys: dict[str, str]
) -> None:
    threading.Timer(1.0, proxy.fail, ("dropped", 10**9)).start()
    healer = threading.Timer(20.0, proxy.fail, ("dropped", 0))
    healer.start()
    # Slow enough that checkpoints come due while the store is away; the last one comes after.
    phases = [{"train": "head", "for": "90st"}]
    settings = job(inputs, proxy, "down-for-a-while", phases=phases, checkpoints={"every": "15st"})
    try:
        told = two_workers.run(worker_tasks.run_slowly, settings, keys, 0.4)[0]
    finally:
        healer.cancel()
        proxy.fail("dropped", 0)
    outcomes = [m["failure"] for m in told if m["kind"] == "checkpoint"]
    assert any(outcomes), "no checkpoint came due while the store was away"
    assert outcomes[-1] is None
    assert told[-1]["kind"] == "finished"
    infos = CheckpointStore(runs_of(settings)).list()
    assert 90 in {info.step for info in infos}


def test_a_job_whose_last_checkpoint_cannot_be_kept_fails_and_can_be_resumed(
    two_workers: WorkerPool, inputs: Path, proxy: Proxy, keys: dict[str, str]
) -> None:
    settings = job(inputs, proxy, "lost-last")
    with pytest.raises(RemoteError, match="CheckpointNotKept: the checkpoint of step 22"):
        two_workers.run(worker_tasks.run_until_store_ends, settings, keys, 13)
    told = two_workers.run(worker_tasks.run_on_store, settings, keys)[0]
    assert told[-1]["kind"] == "finished"


def test_damaged_blobs_are_found_and_the_checkpoint_before_is_taken(
    two_workers: WorkerPool, inputs: Path, proxy: Proxy, keys: dict[str, str], tmp_path: Path
) -> None:
    whole = tiny.settings(inputs, storage={"uri": str(tmp_path)})
    two_workers.run(worker_tasks.run, whole)
    settings = job(inputs, proxy, "damaged", checkpoints={"every": "4st", "keep_latest": 3})
    two_workers.run(worker_tasks.run_on_store, settings, keys, 18)
    runs = runs_of(settings)
    newest = CheckpointStore(runs).list()[0]
    assert newest.step == 16
    manifest = CheckpointStore(runs).read(newest.id)
    victim = manifest.files["layer.1.weights.safetensors"]
    key = f"blobs/{victim.sha256}"
    runs.put(key, bytes(reversed(runs.get(key))))
    assert CheckpointStore(runs).verify(newest.id)
    told = two_workers.run(worker_tasks.run_on_store, settings, keys)[0]
    assert [m["step"] for m in told if m["kind"] == "resumed"] == [newest.step - 4]
    assert any("damaged" in m["text"] for m in told if m["kind"] == "note")
    lines = runs.get("metrics.jsonl").splitlines()
    assert [json.loads(line) for line in lines] == worker_tasks.metrics(whole)


def test_only_the_latest_and_the_best_checkpoints_are_kept_and_no_blob_is_orphaned(
    two_workers: WorkerPool, inputs: Path, tmp_path: Path
) -> None:
    settings = tiny.settings(inputs, storage={"uri": str(tmp_path)})
    two_workers.run(worker_tasks.run, settings)
    runs = open_store(str(tmp_path)).under("tiny")
    store = CheckpointStore(runs)
    infos = store.list()
    assert infos[0].step == 22
    assert len(infos) <= 2
    named = {ref.sha256 for info in infos for ref in store.read(info.id).files.values()}
    assert {info.key.removeprefix("blobs/") for info in runs.list("blobs/")} == named


def test_a_head_phase_checkpoint_holds_the_head_alone(
    two_workers: WorkerPool, inputs: Path, tmp_path: Path
) -> None:
    settings = tiny.settings(inputs, storage={"uri": str(tmp_path)})
    two_workers.run(worker_tasks.run, settings, 6)
    store = CheckpointStore(open_store(str(tmp_path)).under("tiny"))
    assert {name.split(".")[0] for name in store.read(store.list()[0].id).files} == {
        "head",
        "metrics",
    }


def test_the_exported_model_predicts_what_the_job_wrote_down(
    two_workers: WorkerPool, inputs: Path, tmp_path: Path
) -> None:
    from transformers import pipeline

    settings = tiny.settings(inputs, storage={"uri": str(tmp_path)})
    two_workers.run(worker_tasks.run, settings)
    folder = str(tmp_path / "tiny/model")
    classify = pipeline("text-classification", model=folder, device="cpu", top_k=None)
    lines = (tmp_path / "tiny/predictions/test.jsonl").read_text().splitlines()
    assert len(lines) == 24
    for line in map(json.loads, lines):
        scores = {score["label"]: score["score"] for score in classify([line["text"]])[0]}
        assert scores == pytest.approx(line["probabilities"], abs=2e-6)
        assert max(scores, key=scores.__getitem__) == line["predicted"]


def test_data_and_model_are_read_from_the_store(
    two_workers: WorkerPool, inputs: Path, proxy: Proxy, keys: dict[str, str], tmp_path: Path
) -> None:
    here = tiny.settings(inputs, storage={"uri": str(tmp_path)})
    two_workers.run(worker_tasks.run, here)
    bucket = open_store("s3://jobs", endpoint="embedded")
    for path in sorted(inputs.rglob("*")):
        if path.is_file() and "runs" not in path.parts:
            bucket.put(f"inputs/{path.relative_to(inputs).as_posix()}", path)
    there = job(inputs, proxy, "from-the-store", model={"path": "s3://jobs/inputs/model"})
    there["data"] |= {
        split: f"s3://jobs/inputs/{split}.jsonl" for split in ("train", "validation", "test")
    }
    two_workers.run(worker_tasks.run_on_store, there, keys)
    lines = runs_of(there).get("metrics.jsonl").splitlines()
    assert [json.loads(line) for line in lines] == worker_tasks.metrics(here)
