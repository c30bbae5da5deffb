"""Checkpoints: complete or not there, and no byte stored or trusted without need."""

import json
import os
import time
from pathlib import Path

import pytest

from unfreeze.storage import (
    BlobRef,
    CheckpointStore,
    CorruptObject,
    FolderStore,
    Manifest,
    ObjectExists,
    ObjectNotFound,
    ObjectStore,
)


@pytest.fixture
def checkpoints(folder_store: FolderStore) -> CheckpointStore:
    return CheckpointStore(folder_store)


def keys(checkpoints: CheckpointStore, prefix: str = "") -> list[str]:
    return sorted(info.key for info in checkpoints.store.list(prefix))


def blob_keys(checkpoints: CheckpointStore) -> set[str]:
    return {key.removeprefix("blobs/") for key in keys(checkpoints, "blobs/")}


def save(
    checkpoints: CheckpointStore, step: int, *blobs: bytes, metric: float | None = None
) -> Manifest:
    files = {f"{i}.safetensors": checkpoints.put_blob(data).ref for i, data in enumerate(blobs)}
    manifest = Manifest(step, files, metric, {"epoch": step / 10})
    checkpoints.commit(manifest)
    return manifest


def only_ref(manifest: Manifest) -> BlobRef:
    (ref,) = manifest.files.values()
    return ref


def spoil(checkpoints: CheckpointStore, ref: BlobRef) -> None:
    """Other bytes of the same length, as a bad disk would leave them."""
    checkpoints.store.put(f"blobs/{ref.sha256}", b"#" * ref.size_bytes)


def test_what_was_committed_can_be_read(store: ObjectStore, tmp_path: Path) -> None:
    checkpoints = CheckpointStore(store)
    (tmp_path / "in").write_bytes(b"optimizer state")
    files = {
        "head.weights.safetensors": checkpoints.put_blob(b"weights").ref,
        "head.optimizer.safetensors": checkpoints.put_blob(tmp_path / "in").ref,
    }
    manifest = Manifest(120, files, 0.5, {"phase": 1, "history": [1, 2.5, None]})
    assert checkpoints.commit(manifest) == "step-00000120"
    assert checkpoints.read("step-00000120") == manifest
    assert checkpoints.get_blob(files["head.weights.safetensors"]) == b"weights"
    (info,) = checkpoints.list()
    assert (info.id, info.step, info.metric, info.size_bytes) == ("step-00000120", 120, 0.5, 22)
    assert checkpoints.verify("step-00000120") == []
    checkpoints.pull("step-00000120", tmp_path / "out")
    assert (tmp_path / "out" / "head.optimizer.safetensors").read_bytes() == b"optimizer state"
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["step"] == 120
    assert len([*(tmp_path / "out").iterdir()]) == 3


def test_blobs_without_a_manifest_are_no_checkpoint(checkpoints: CheckpointStore) -> None:
    save(checkpoints, 1, b"one")
    checkpoints.put_blob(b"two")  # interrupted here: the manifest of step 2 was never written
    assert [info.step for info in checkpoints.list()] == [1]
    found = checkpoints.newest_sound(pytest.fail)
    assert found and found[0] == "step-00000001"


def test_no_manifest_is_written_while_a_blob_is_missing(checkpoints: CheckpointStore) -> None:
    ref = checkpoints.put_blob(b"gone").ref
    checkpoints.store.delete([f"blobs/{ref.sha256}"])  # another process pruned it
    with pytest.raises(ObjectNotFound, match="put them again"):
        checkpoints.commit(Manifest(1, {"a": ref}))
    assert checkpoints.list() == []
    assert checkpoints.put_blob(b"gone").uploaded
    checkpoints.commit(Manifest(1, {"a": ref}))


def test_equal_bytes_are_uploaded_once_by_anyone(checkpoints: CheckpointStore) -> None:
    assert checkpoints.put_blob(b"frozen").uploaded
    assert not checkpoints.put_blob(b"frozen").uploaded
    assert not CheckpointStore(checkpoints.store).put_blob(b"frozen").uploaded
    assert len(blob_keys(checkpoints)) == 1


def test_a_blob_of_the_wrong_size_is_uploaded_again(checkpoints: CheckpointStore) -> None:
    ref = checkpoints.put_blob(b"whole").ref
    checkpoints.store.put(f"blobs/{ref.sha256}", b"who")
    assert CheckpointStore(checkpoints.store).put_blob(b"whole").uploaded


def test_committing_the_same_files_twice_is_fine(store: ObjectStore) -> None:
    checkpoints = CheckpointStore(store)
    manifest = save(checkpoints, 5, b"x")
    later = Manifest(5, manifest.files, manifest.metric, created="2030-01-01T00:00:00+00:00")
    assert checkpoints.commit(later) == "step-00000005"
    assert checkpoints.read("step-00000005").created == manifest.created


def test_of_two_writers_of_a_step_the_first_wins(store: ObjectStore) -> None:
    first, second = CheckpointStore(store), CheckpointStore(store)
    manifest = save(first, 5, b"mine")
    with pytest.raises(ObjectExists, match="another checkpoint of this step"):
        save(second, 5, b"yours")
    assert second.read("step-00000005") == manifest


@pytest.mark.parametrize("broken", ["manifest", "blob"])
def test_an_unsound_checkpoint_of_the_step_is_replaced(
    broken: str, checkpoints: CheckpointStore
) -> None:
    ref = only_ref(save(checkpoints, 5, b"old"))
    if broken == "blob":
        checkpoints.store.delete([f"blobs/{ref.sha256}"])
    else:
        checkpoints.store.put("checkpoints/step-00000005/manifest.json", b"{")
    manifest = save(checkpoints, 5, b"new")
    assert checkpoints.read("step-00000005") == manifest


def test_a_corrupt_blob_is_found_named_and_can_be_replaced(
    checkpoints: CheckpointStore, tmp_path: Path
) -> None:
    ref = only_ref(save(checkpoints, 7, b"weights"))
    spoil(checkpoints, ref)
    with pytest.raises(CorruptObject, match=ref.sha256):
        checkpoints.get_blob(ref)
    with pytest.raises(CorruptObject):
        checkpoints.pull("step-00000007", tmp_path / "out")
    assert not [*(tmp_path / "out").iterdir()]
    (problem,) = checkpoints.verify("step-00000007")
    assert problem.startswith("0.safetensors: ")
    checkpoints.discard("step-00000007", [ref])
    assert keys(checkpoints) == []
    save(checkpoints, 7, b"weights")  # the same name, and it is uploaded
    assert checkpoints.verify("step-00000007") == []


def test_unsound_checkpoints_are_skipped_and_reported(checkpoints: CheckpointStore) -> None:
    save(checkpoints, 1, b"one")
    missing, short = save(checkpoints, 2, b"two"), save(checkpoints, 3, b"three")
    save(checkpoints, 4, b"four")
    checkpoints.store.delete([f"blobs/{only_ref(missing).sha256}"])
    checkpoints.store.put(f"blobs/{only_ref(short).sha256}", b"thr")
    checkpoints.store.put("checkpoints/step-00000004/manifest.json", b"\xff not JSON")
    said: list[str] = []
    found = checkpoints.newest_sound(said.append)
    assert found and found[0] == "step-00000001"
    assert [line.split()[1] for line in said] == [
        "step-00000004",
        "step-00000003",
        "step-00000002",
    ]
    assert "0.safetensors" in said[1]


def test_nothing_sound_is_none(checkpoints: CheckpointStore) -> None:
    assert checkpoints.newest_sound(pytest.fail) is None


def test_pruning_keeps_what_kept_checkpoints_share(store: ObjectStore) -> None:
    checkpoints = CheckpointStore(store)
    save(checkpoints, 1, b"frozen", b"one", metric=0.1)
    save(checkpoints, 2, b"frozen", b"two", metric=0.9)
    newest = save(checkpoints, 3, b"frozen", b"three", metric=0.5)
    assert checkpoints.prune(1, 1, "max") == ["step-00000001"]
    assert [info.step for info in checkpoints.list()] == [3, 2]
    assert len(blob_keys(checkpoints)) == 3
    assert checkpoints.prune(1, 0, "max") == ["step-00000002"]
    assert blob_keys(checkpoints) == {ref.sha256 for ref in newest.blobs}
    assert checkpoints.prune(1, 0, "max") == []
    assert checkpoints.verify("step-00000003") == []


def test_pruning_spares_the_protected_and_uploads_in_flight(checkpoints: CheckpointStore) -> None:
    for step in (1, 2, 3):
        save(checkpoints, step, b"%d" % step)
    in_flight = checkpoints.put_blob(b"of step 4").ref
    assert checkpoints.prune(1, 0, "max", protect={"step-00000001"}) == ["step-00000002"]
    assert in_flight.sha256 in blob_keys(checkpoints)
    assert len(blob_keys(checkpoints)) == 3


def test_a_pruned_blob_that_comes_back_is_uploaded_again(checkpoints: CheckpointStore) -> None:
    save(checkpoints, 1, b"zeros")
    save(checkpoints, 2, b"other")
    checkpoints.prune(1, 0, "max")
    assert checkpoints.put_blob(b"zeros").uploaded


def test_pruning_leaves_all_blobs_if_a_manifest_is_unreadable(
    checkpoints: CheckpointStore,
) -> None:
    for step in (1, 2):
        save(checkpoints, step, b"%d" % step)
    checkpoints.store.put("checkpoints/step-00000009/manifest.json", b'{"format": 2}')
    assert checkpoints.prune(1, 0, "max") == ["step-00000001"]
    assert len(blob_keys(checkpoints)) == 2
    with pytest.raises(CorruptObject, match="step-00000009"):
        checkpoints.sweep(0)
    assert len(blob_keys(checkpoints)) == 2


def test_a_sweep_takes_old_orphans_only(
    checkpoints: CheckpointStore, folder_store: FolderStore
) -> None:
    manifest = save(checkpoints, 1, b"named")
    old, young = checkpoints.put_blob(b"old").ref, checkpoints.put_blob(b"young").ref
    for ref in (old, only_ref(manifest)):
        long_ago = time.time() - 7200
        os.utime(folder_store.root / "blobs" / ref.sha256, (long_ago, long_ago))
    assert checkpoints.sweep(older_than_s=3600) == 1
    assert blob_keys(checkpoints) == {young.sha256, only_ref(manifest).sha256}
    assert checkpoints.put_blob(b"old").uploaded


def test_foreign_objects_are_left_alone(checkpoints: CheckpointStore) -> None:
    foreign = ["blobs/README", "checkpoints/notes.txt", "checkpoints/step-x/manifest.json"]
    for key in foreign:
        checkpoints.store.put(key, b"")
    save(checkpoints, 1, b"one")
    save(checkpoints, 2, b"two")
    checkpoints.prune(1, 0, "max")
    assert [info.step for info in checkpoints.list()] == [2]
    assert set(foreign) <= set(keys(checkpoints))
