"""Reading rows: what works, and what is said when it does not."""

import gzip
import json
import os
import shutil
from pathlib import Path

import datasets
import huggingface_hub
import pytest

from unfreeze.jobs.config import SourceConfig
from unfreeze.jobs.data import sources
from unfreeze.jobs.data.row_files import quiet
from unfreeze.jobs.data.sources import read_source
from unfreeze.jobs.errors import DataError
from unfreeze.storage import ObjectNotFound

ROWS = [{"text": "good", "label": "yes"}, {"text": 'bad, "very" bad', "label": "no"}]
CSV = 'text,label\ngood,yes\n"bad, ""very"" bad",no\n'


def as_jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def write(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path, tmp_path, split="train", **settings):
    source = SourceConfig(path=str(path), **settings)
    return read_source(source, split, endpoint=None, cache=tmp_path / "cache")


def rows_of(path, tmp_path, split="train"):
    return read(path, tmp_path, split).to_list()


def complaint(path, tmp_path, split="train"):
    with pytest.raises(DataError) as caught:
        read(path, tmp_path, split)
    (line,) = caught.value.mistakes
    assert "\n" not in line and line.startswith(f"data.{split}: ")
    return line


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", as_jsonl(ROWS)),
        ("a.ndjson", "\n" + as_jsonl(ROWS)),
        ("a.json", json.dumps(ROWS)),
        ("a.json", as_jsonl(ROWS)),
        ("a.csv", CSV),
        ("A.CSV", b"\xef\xbb\xbf" + CSV.encode()),
        ("a.tsv", 'text\tlabel\ngood\tyes\n"bad, ""very"" bad"\tno\n'),
        ("a.jsonl.gz", gzip.compress(as_jsonl(ROWS).encode())),
        ("a.csv.gz", gzip.compress(CSV.encode())),
    ],
)
def test_text_files_are_read(tmp_path, name, content):
    assert rows_of(write(tmp_path / name, content), tmp_path) == ROWS


def test_parquet_and_arrow_are_read_and_label_names_survive(tmp_path):
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["no", "yes"])
    )
    rows = datasets.Dataset.from_list([{"text": "good", "label": 1}], features=features)
    with quiet():
        rows.to_parquet(tmp_path / "a.parquet")
        rows.save_to_disk(tmp_path / "saved")
    for path in (tmp_path / "a.parquet", tmp_path / "saved"):
        found = read(path, tmp_path)
        assert found.to_list() == [{"text": "good", "label": 1}]
        assert found.features["label"].names == ["no", "yes"]


def test_a_glob_and_a_folder_are_read_in_the_order_of_names(tmp_path):
    write(tmp_path / "d/b.jsonl", as_jsonl(ROWS[1:]))
    write(tmp_path / "d/a.jsonl", as_jsonl(ROWS[:1]))
    write(tmp_path / "d/README.md", "about")
    assert rows_of(tmp_path / "d/*.jsonl", tmp_path) == ROWS
    assert rows_of(tmp_path / "d", tmp_path) == ROWS


def test_a_folder_with_a_file_for_each_split_gives_only_that_split(tmp_path):
    write(tmp_path / "d/train.jsonl", as_jsonl(ROWS[:1]))
    write(tmp_path / "d/dev-00001.jsonl", as_jsonl(ROWS[1:]))
    assert rows_of(tmp_path / "d", tmp_path) == ROWS[:1]
    assert rows_of(tmp_path / "d", tmp_path, "validation") == ROWS[1:]
    assert "no file is named after test" in complaint(tmp_path / "d", tmp_path, "test")


def test_words_that_mean_nothing_in_other_programs_are_texts_in_csv(tmp_path):
    file = write(tmp_path / "a.csv", "text,label\nNA,1\nnull,2\n,3\n")
    assert [row["text"] for row in rows_of(file, tmp_path)] == ["NA", "null", None]


def test_a_changed_file_is_noticed_even_at_the_same_time_and_size(tmp_path):
    file = write(tmp_path / "a.jsonl", as_jsonl([{"text": "one"}]))
    before = file.stat()
    assert rows_of(file, tmp_path) == [{"text": "one"}]
    write(file, as_jsonl([{"text": "two"}]))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert rows_of(file, tmp_path) == [{"text": "two"}]


def test_the_same_contents_are_built_once(tmp_path, monkeypatch):
    file = write(tmp_path / "a.jsonl", as_jsonl(ROWS))
    read(file, tmp_path)
    monkeypatch.setattr(datasets, "load_dataset", None)
    assert rows_of(write(tmp_path / "elsewhere/b.jsonl", as_jsonl(ROWS)), tmp_path) == ROWS


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b"PAR1\0\0", "expected JSON lines, found a parquet file"),
        ("a.csv", b"PK\x03\x04\0\0", "expected csv, found a zip or Excel file"),
        ("a.csv", "text,label\n".encode("utf-16"), "UTF-16"),
        ("a.jsonl", b"\0\1\2", "found binary data"),
        ("a.jsonl", gzip.compress(b"{}"), "found a gzip file"),
        ("a.jsonl.gz", b"{}", "cannot be read: Not a gzipped file"),
        ("a.parquet", "text,label\n", "expected parquet, found text"),
        ("a.arrow", b"PAR1", "expected arrow, found a parquet file"),
        ("a.parquet", "version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("a.jsonl", "text,label\n", "found text, not JSON"),
        ("a.jsonl", "", "the file is empty"),
        ("a.csv", " \n\n", "the file is empty"),
        ("a.csv", "text,label\n", "there are no rows in it"),
        ("a.jsonl", '{"text": "a"}\n\n{"text" "b"}\n', "line 3 is not JSON"),
        ("a.jsonl", '{"text": "a"}\n[1]\n', "line 2 is not a JSON object"),
        ("a.csv", "text,label\ncaf\xe9,1\n".encode("latin-1"), "line 2 is not UTF-8"),
        ("a.csv", "text,label\na,1\nb,2,3\n", "Expected 2 fields in line 3, saw 3"),
        ("a.docx", "text", "unknown kind of file"),
    ],
)
def test_a_file_that_cannot_be_read_is_explained_in_one_line(tmp_path, name, content, said):
    line = complaint(write(tmp_path / name, content), tmp_path)
    assert said in line and name in line


def test_what_is_not_there_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "data/a.jsonl", as_jsonl(ROWS))
    (tmp_path / "empty").mkdir()
    for path in ("b.jsonl", "./b", "data/reviews", "/no/such/place", "data/b.csv"):
        assert f"{path}: no such file or folder" in complaint(path, tmp_path)
    assert "no file matches" in complaint("data/*.csv", tmp_path)
    assert "no data files" in complaint("empty", tmp_path)


def test_mixed_kinds_of_files_are_refused(tmp_path):
    write(tmp_path / "d/a.jsonl", as_jsonl(ROWS))
    write(tmp_path / "d/b.csv", CSV)
    assert "mixes JSON lines and csv files" in complaint(tmp_path / "d", tmp_path)


def test_a_hub_id_that_cannot_be_reached_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    assert "cannot be reached from this machine" in complaint("someone/reviews", tmp_path)


def test_a_hub_data_set_is_loaded_by_its_settings(tmp_path, monkeypatch):
    asked = {}

    def load_dataset(*args, **settings):
        asked.update(settings, args=args)
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    read("someone/reviews", tmp_path, "validation", name="en", revision="v1")
    assert asked["args"] == ("someone/reviews", "en")
    assert (asked["split"], asked["revision"]) == ("validation", "v1")
    assert str(tmp_path) in asked["cache_dir"]


def test_objects_are_fetched_into_the_cache(tmp_path, monkeypatch):
    stored = write(tmp_path / "stored/train.jsonl", as_jsonl(ROWS))

    def fetch_uri(uri, folder, endpoint):
        assert (uri, endpoint) == ("s3://bucket/reviews", None)
        return [Path(shutil.copy(stored, folder)), Path(shutil.copy(stored, folder / "test.jsonl"))]

    monkeypatch.setattr(sources, "fetch_uri", fetch_uri)
    assert rows_of("s3://bucket/reviews", tmp_path) == ROWS


@pytest.mark.parametrize(
    ("uri", "stored", "called"),
    [
        ("s3://bucket/reviews/*.jsonl", ["a.jsonl", "b.jsonl"], "s3://bucket/reviews/"),
        ("s3://bucket/reviews/", ["a.jsonl", "deep/b.jsonl"], "s3://bucket/reviews/"),
        ("s3://bucket/reviews/a.jsonl", ["a.jsonl"], "s3://bucket/reviews/"),
    ],
)
def test_fetched_objects_are_called_by_their_addresses(tmp_path, monkeypatch, uri, stored, called):
    monkeypatch.setattr(
        sources,
        "fetch_uri",
        lambda uri, folder, endpoint: [write(folder / n, as_jsonl(ROWS)) for n in stored],
    )
    asked = {"endpoint": None, "cache": tmp_path / "cache"}
    fetched = sources.files_of(SourceConfig(path=uri), "train", **asked)
    assert list(fetched.values()) == [called + name for name in stored]
    monkeypatch.setattr(sources, "fetch_uri", None)
    assert sources.files_of(SourceConfig(path=uri), "train", **asked, fetch=False) == fetched


def test_objects_that_are_not_there_are_a_mistake_in_the_data(tmp_path, monkeypatch):
    def fetch_uri(uri, folder, endpoint):
        raise ObjectNotFound(uri)

    monkeypatch.setattr(sources, "fetch_uri", fetch_uri)
    assert "s3://bucket/nothing" in complaint("s3://bucket/nothing", tmp_path)


def test_progress_bars_are_as_before_after_reading(tmp_path):
    before = datasets.are_progress_bars_disabled()
    read(write(tmp_path / "a.jsonl", as_jsonl(ROWS)), tmp_path)
    assert datasets.are_progress_bars_disabled() == before
