"""What goes to the cluster with a job: names, paths, sizes, contents."""

import os
from pathlib import Path

import pytest
from ray._private.ray_constants import GRPC_CPP_MAX_MESSAGE_SIZE

from unfreeze.cluster import SubmissionRefused
from unfreeze.cluster.submission.shipment import (
    MOST_BYTES,
    LocalFiles,
    Shipment,
    arranged,
    check_size,
    with_paths,
)

TRAIN, TEST = ("data", "train", "path"), ("data", "test", "path")


def named(place: tuple[str, ...], path: str, *files: str) -> LocalFiles:
    return LocalFiles(place, path, tuple(map(Path, files or (path,))))


@pytest.mark.parametrize(
    ("path", "files", "new_path", "new_files"),
    [
        ("data/train.jsonl", [], "data/train.jsonl", ["data/train.jsonl"]),
        ("./train.jsonl", ["train.jsonl"], "./train.jsonl", ["train.jsonl"]),
        ("data", ["data/a.csv", "data/b.csv"], "data", ["data/a.csv", "data/b.csv"]),
        ("data/*.csv", ["data/a.csv"], "data/*.csv", ["data/a.csv"]),
        ("data/**/*.csv", ["data/x/a.csv"], "data/**/*.csv", ["data/x/a.csv"]),
        ("/srv/a.csv", [], "files/a.csv", ["files/a.csv"]),
        ("/srv/d", ["/srv/d/a.csv", "/srv/d/b/c"], "files/d", ["files/d/a.csv", "files/d/b/c"]),
        ("/srv/d/*/x[12].csv", ["/srv/d/q/x1.csv"], "files/d/*/x[12].csv", ["files/d/q/x1.csv"]),
        ("/srv/a[1].csv", ["/srv/a[1].csv"], "files/a[1].csv", ["files/a[1].csv"]),
        ("../a.csv", [], "files/a.csv", ["files/a.csv"]),
        ("data/../../a.csv", [], "files/a.csv", ["files/a.csv"]),
        ("*.csv", ["a.csv"], "files/here/*.csv", ["files/here/a.csv"]),
        (".", ["config.json"], "files/here", ["files/here/config.json"]),
        ("job.yaml", [], "files/job.yaml", ["files/job.yaml"]),
        ("files/a.csv", [], "files/a.csv", ["files/a.csv"]),
    ],
)  # fmt: skip
def test_paths_below_here_keep_their_names_and_others_get_one(
    path: str, files: list[str], new_path: str, new_files: list[str]
) -> None:
    paths, shipped = arranged([named(TRAIN, path, *files)], "job.yaml")
    assert paths == {TRAIN: new_path}
    assert list(shipped) == new_files
    assert list(shipped.values()) == list(map(Path, files or [path]))


def test_files_of_one_name_do_not_clash_and_one_file_goes_once() -> None:
    third = ("data", "general", "path")
    paths, files = arranged(
        [
            named(TRAIN, "/a/rows.csv"),
            named(TEST, "/b/rows.csv"),
            named(third, "/a/rows.csv"),
            named(("deepspeed", "config"), "files/rows.csv"),
        ],
        "job.yaml",
    )
    assert paths[TRAIN] == paths[third] == "files/rows.csv"
    assert paths[TEST] == "files/2/rows.csv"
    assert paths[("deepspeed", "config")] == "files/3/rows.csv"
    assert {name: str(file) for name, file in files.items()} == {
        "files/rows.csv": "/a/rows.csv",
        "files/2/rows.csv": "/b/rows.csv",
        "files/3/rows.csv": "files/rows.csv",
    }


def test_a_home_folder_is_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    paths, files = arranged([named(TRAIN, "~/a.csv", "/home/someone/a.csv")], "job.yaml")
    assert paths == {TRAIN: "files/a.csv"}
    assert list(files) == ["files/a.csv"]


def test_settings_are_rewritten_in_a_copy() -> None:
    settings = {"data": {"train": {"path": "/a"}}, "space": {"model": {"choice": ["/m", "hub/id"]}}}
    new = with_paths(settings, {TRAIN: "files/a", ("space", "model", "choice", 0): "files/m"})
    assert new == {
        "data": {"train": {"path": "files/a"}},
        "space": {"model": {"choice": ["files/m", "hub/id"]}},
    }
    assert settings["data"] == {"train": {"path": "/a"}}


def test_the_limit_is_rays() -> None:
    assert MOST_BYTES == GRPC_CPP_MAX_MESSAGE_SIZE


def test_what_ray_would_not_take_is_refused_with_the_largest_named() -> None:
    mib = 2**20
    sizes = {"job.yaml": 300, "small": mib, "c": 200 * mib, "a": 9 * mib, "b": 302 * mib}
    with pytest.raises(SubmissionRefused) as error:
        check_size(sizes)
    assert "512.0 MiB together, and Ray takes at most 512.0 MiB" in str(error.value)
    assert "b (302.0 MiB), c (200.0 MiB), a (9.0 MiB)" in str(error.value)
    assert "s3://" in str(error.value)
    check_size({**sizes, "a": 0})


@pytest.fixture
def shipment(tmp_path: Path) -> Shipment:
    (tmp_path / "rows.csv").write_text("text,label\n")
    (tmp_path / "link.csv").symlink_to("rows.csv")
    files = {"data/rows.csv": tmp_path / "rows.csv", "files/link.csv": tmp_path / "link.csv"}
    return Shipment("job.yaml", b"name: x\n", files)


def test_the_folder_holds_the_settings_and_whole_files(shipment: Shipment, tmp_path: Path) -> None:
    folder = tmp_path / "shipment"
    shipment.write(folder)
    found = {str(f.relative_to(folder)): f.stat() for f in folder.rglob("*") if not f.is_dir()}
    assert {name: state.st_size for name, state in found.items()} == shipment.sizes
    assert set(found) == {"job.yaml", "data/rows.csv", "files/link.csv"}
    assert not (folder / "files/link.csv").is_symlink()
    assert found["data/rows.csv"].st_ino == os.stat(tmp_path / "rows.csv").st_ino, "copied"


def test_the_hash_changes_with_contents_names_settings_and_code(shipment: Shipment) -> None:
    first = shipment.content_hash("0.1.0+a")
    assert first == shipment.content_hash("0.1.0+a")
    hashes = {
        first,
        shipment.content_hash("0.1.0+b"),
        Shipment("job.yaml", b"name: y\n", shipment.files).content_hash("0.1.0+a"),
        Shipment("job.yaml", b"name: x\n", {}).content_hash("0.1.0+a"),
    }
    shipment.files["data/rows.csv"].write_text("text,label\na,b\n")
    hashes.add(shipment.content_hash("0.1.0+a"))
    assert len(hashes) == 5
