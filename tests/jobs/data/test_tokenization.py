"""Tokenizing shard by shard: in several processes, and again after it was cut short."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from unfreeze.jobs.data import tokenization
from unfreeze.jobs.data.dataset import prepare
from unfreeze.jobs.errors import DataError, JobError
from unfreeze.jobs.job_file import parse_job

PREPARES_SLOWLY = """
import json, pathlib, sys, time
from unfreeze.jobs.data import roles, tokenization
from unfreeze.jobs.data.dataset import prepare
from unfreeze.jobs.job_file import parse_job
roles.BATCH, tokenization.SHARD_BYTES = 8, 1
make, made = tokenization.tokenize_shard, []
def make_slowly(*args):
    if len(made) == 5:
        print("five are made", flush=True)
        time.sleep(60)
    made.append(make(*args))
tokenization.tokenize_shard = make_slowly
job = parse_job(json.loads(sys.argv[1]))
job = job.model_copy(update={"data": job.data.model_copy(update={"num_proc": 1})})
prepare(job, job.model.path, cache=pathlib.Path(sys.argv[2]))
"""


@pytest.fixture
def settings(tmp_path):
    tiny.write_tokenizer(tmp_path / "model")
    rows = tiny.write_rows(tmp_path / "train.jsonl", tiny.rows(120))
    return {
        "name": "j",
        "model": str(tmp_path / "model"),
        "task": "text-classification",
        "data": {"train": str(rows), "validation": 0.2, "max_length": 8},
    }


@pytest.fixture
def in_small_shards(monkeypatch):
    monkeypatch.setattr("unfreeze.jobs.data.roles.BATCH", 8)
    monkeypatch.setattr(tokenization, "SHARD_BYTES", 1)


def prepared(settings, cache, **data):
    job = parse_job(settings | {"data": settings["data"] | data})
    return prepare(job, settings["model"], cache=cache)


def arrays_in(cache: Path) -> dict[str, bytes]:
    """What was made, by file. Rows lie in other record batches; their values are compared."""
    (folder,) = (file.parent for file in cache.glob("*/meta.json"))
    files = (file for file in folder.rglob("*") if file.suffix in (".npy", ".json"))
    return {str(file.relative_to(cache)): file.read_bytes() for file in files}


def test_shards_do_not_show(settings, tmp_path, monkeypatch):
    whole = prepared(settings, tmp_path / "whole", num_proc=1)
    monkeypatch.setattr("unfreeze.jobs.data.roles.BATCH", 8)
    monkeypatch.setattr(tokenization, "SHARD_BYTES", 1)
    pieces = prepared(settings, tmp_path / "pieces", num_proc=1)
    assert arrays_in(tmp_path / "whole") == arrays_in(tmp_path / "pieces")
    for name, split in whole.splits.items():
        assert split.rows(range(split.units)) == pieces.splits[name].rows(range(split.units))


@pytest.mark.slow
def test_several_processes_make_the_same(settings, tmp_path, in_small_shards):
    prepared(settings, tmp_path / "one", num_proc=1)
    prepared(settings, tmp_path / "two", num_proc=2)
    assert arrays_in(tmp_path / "one") == arrays_in(tmp_path / "two")


def test_no_process_is_started_for_little(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(tokenization, "_Worker", None)
    prepared(settings, tmp_path / "cache", num_proc=4)


@pytest.mark.slow
def test_what_a_killed_preparation_has_made_is_not_made_again(
    settings, tmp_path, in_small_shards, monkeypatch
):
    prepared(settings, tmp_path / "whole", num_proc=1)
    cache = tmp_path / "cut short"
    process = subprocess.Popen(
        [sys.executable, "-c", PREPARES_SLOWLY, json.dumps(settings), str(cache)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout and process.stdout.readline() == "five are made\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    made = {shard: shard.stat().st_ino for shard in cache.glob(".preparing-*/*/0*-0*")}
    assert len(made) == 5
    again, seen = [], []
    make, join = tokenization.tokenize_shard, tokenization.join_shards
    monkeypatch.setattr(
        tokenization, "tokenize_shard", lambda *args: (again.append(args[2]), make(*args))
    )

    def join_and_look(plan, split, folder):
        seen.extend(shard for shard in plan.shards(split))
        assert all(shard.stat().st_ino == number for shard, number in made.items())
        return join(plan, split, folder)

    monkeypatch.setattr("unfreeze.jobs.data.dataset.join_shards", join_and_look)
    monkeypatch.setattr("unfreeze.jobs.data.dataset.scan", None)
    prepared(settings, cache, num_proc=1)
    assert set(again) == set(seen) - made.keys() and len(again) == 10
    assert arrays_in(cache) == arrays_in(tmp_path / "whole")


@pytest.mark.slow
def test_a_mistake_that_a_process_finds_is_told(settings, tmp_path, in_small_shards):
    said = [{"role": "user", "content": "good"}, {"role": "assistant", "content": "bad"}]
    rows = [{"messages": [*said, {"role": "user", "content": str(i)}]} for i in range(40)]
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    chats = settings | {"task": {"name": "text-generation", "form": "chat"}}
    chats |= {"data": {"train": str(path), "max_length": 8}}
    with pytest.raises(DataError, match="chat template"):
        prepared(chats, tmp_path / "cache", num_proc=2)


def test_a_process_that_dies_is_told(settings, tmp_path, in_small_shards, monkeypatch):
    monkeypatch.setattr(tokenization.sys, "executable", "/bin/false")
    with pytest.raises(JobError, match="a process that tokenizes ended with 1"):
        prepared(settings, tmp_path / "cache", num_proc=2)


def test_a_process_ends_when_nobody_waits_for_it_any_more(tmp_path, monkeypatch):
    parents = iter([7, 7, 1])
    made = []
    monkeypatch.setattr(tokenization.os, "getppid", lambda: next(parents))
    monkeypatch.setattr(tokenization.sys, "stdin", io.StringIO('[["train", "a"], ["train", "b"]]'))
    monkeypatch.setattr(tokenization, "tokenize_shard", lambda *args: made.append(args[2].name))
    assert tokenization._make_shards(tmp_path) == 0
    assert made == ["a"]
