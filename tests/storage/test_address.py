"""From a uri to a store, and from an s3:// uri to files."""

import logging
from pathlib import Path

import pytest

from unfreeze.storage import (
    BucketNotFound,
    InvalidUri,
    ObjectNotFound,
    check_reachable,
    fetch_uri,
    open_store,
)
from unfreeze.storage.s3 import S3Client, S3Store


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_path_opens_a_folder(form: str, tmp_path: Path) -> None:
    store = open_store(form.format(tmp_path / "with space"))
    store.put("a/b", b"x")
    assert (tmp_path / "with space" / "a" / "b").read_bytes() == b"x"
    assert open_store(store.uri).get("a/b") == b"x"


def test_a_folder_needs_no_endpoint_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        open_store(str(tmp_path), endpoint="embedded")
    assert "is not used" in caplog.text


@pytest.mark.parametrize(
    ("uri", "endpoint"),
    [
        ("", None),
        ("gs://bucket", None),
        ("file://relative", None),
        ("s3://", None),
        ("s3://a", None),
        ("s3://bucket/../other", None),
        ("s3://bucket//twice", None),
        ("s3://bucket", "localhost:9000"),
        ("s3://bucket", "ftp://host"),
    ],
)
def test_an_address_that_cannot_be_one_is_refused(uri: str, endpoint: str | None) -> None:
    with pytest.raises(InvalidUri):
        open_store(uri, endpoint=endpoint)


def test_keys_in_an_endpoint_are_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidUri) as caught:
        open_store("s3://bucket", endpoint="http://me:hunter2@host")
    assert "hunter2" not in str(caught.value)


def test_the_embedded_endpoint_makes_the_bucket(s3_client: S3Client) -> None:
    store = open_store("s3://made-for-us/some/prefix/", endpoint="embedded")
    check_reachable(store)
    store.put("key", b"x")
    assert store.uri == "s3://made-for-us/some/prefix"
    assert S3Store("made-for-us", client=s3_client).get("some/prefix/key") == b"x"


def test_a_missing_bucket_is_named_with_what_to_do(s3_client: S3Client) -> None:
    with pytest.raises(BucketNotFound, match=r"s3://not-there: .*create it or check its name"):
        check_reachable(S3Store("not-there", client=s3_client))


def test_an_object_is_fetched_under_its_name(s3_store: S3Store, tmp_path: Path) -> None:
    s3_store.put("data/train.jsonl", b"rows")
    s3_store.put("data/train.jsonl.old", b"no")
    got = fetch_uri(f"{s3_store.uri}/data/train.jsonl", tmp_path, "embedded")
    assert got == [tmp_path / "train.jsonl"]
    assert got[0].read_bytes() == b"rows"


def test_a_folder_is_fetched_with_its_tree(s3_store: S3Store, tmp_path: Path) -> None:
    for key in ["model/config.json", "model/deep/weights", "model-2/config.json"]:
        s3_store.put(key, key.encode())
    got = fetch_uri(f"{s3_store.uri}/model/", tmp_path, "embedded")
    assert sorted(got) == [tmp_path / "config.json", tmp_path / "deep" / "weights"]
    assert (tmp_path / "deep" / "weights").read_bytes() == b"model/deep/weights"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("rows/*.jsonl", ["a.jsonl", "b.jsonl"]),
        ("rows/[b-z].*", ["b.jsonl", "c.csv"]),
        ("rows/**/*.jsonl", ["a.jsonl", "b.jsonl", "old/d.jsonl"]),
        ("ro?s/*/d.jsonl", ["rows/old/d.jsonl"]),
    ],
)
def test_objects_that_match_a_pattern_are_fetched(
    s3_store: S3Store, tmp_path: Path, pattern: str, expected: list[str]
) -> None:
    for key in ("a.jsonl", "b.jsonl", "c.csv", "old/d.jsonl"):
        s3_store.put(f"rows/{key}", b"x")
    s3_store.put("a.jsonl", b"no")
    got = fetch_uri(f"{s3_store.uri}/{pattern}", tmp_path, "embedded")
    assert sorted(file.relative_to(tmp_path).as_posix() for file in got) == expected


def test_a_pattern_that_nothing_matches_is_an_error(s3_store: S3Store, tmp_path: Path) -> None:
    s3_store.put("rows/a.csv", b"x")
    with pytest.raises(ObjectNotFound, match="no object matches"):
        fetch_uri(f"{s3_store.uri}/rows/*.jsonl", tmp_path, "embedded")


def test_nothing_there_is_an_error(s3_store: S3Store, tmp_path: Path) -> None:
    with pytest.raises(ObjectNotFound, match="missing"):
        fetch_uri(f"{s3_store.uri}/missing", tmp_path, "embedded")


def test_only_s3_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(InvalidUri, match="only s3://"):
        fetch_uri("https://host/file", tmp_path)
