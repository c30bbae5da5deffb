"""What only a folder can get wrong."""

import errno
from pathlib import Path

import pytest

from unfreeze.storage import FolderStore, InvalidUri, StorageError, StoreRefused, StoreUnavailable
from unfreeze.storage import folder as folder_module


def test_a_link_that_leads_out_is_not_followed(folder_store: FolderStore, tmp_path: Path) -> None:
    folder_store.put("inside", b"")
    (folder_store.root / "link").symlink_to(tmp_path)
    with pytest.raises(InvalidUri, match="leads out"):
        folder_store.put("link/outside", b"")
    assert not (tmp_path / "outside").exists()


def test_unfinished_files_are_no_objects(folder_store: FolderStore) -> None:
    folder_store.put("key", b"x")
    (folder_store.root / ".partial-1234").write_bytes(b"killed while writing")
    assert [info.key for info in folder_store.list()] == ["key"]
    with pytest.raises(InvalidUri, match="unfinished"):
        folder_store.get(".partial-1234")


def test_a_put_that_fails_leaves_nothing(folder_store: FolderStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        folder_store.put("key", tmp_path / "missing")
    with pytest.raises(StorageError):
        folder_store.put("k" * 300, b"longer than a file name may be")
    assert not [*folder_store.list()]


def test_an_object_cannot_lie_below_another(folder_store: FolderStore) -> None:
    folder_store.put("a", b"")
    with pytest.raises(StorageError):
        folder_store.put("a/b", b"")
    folder_store.delete(["a/b"])
    assert folder_store.get("a") == b""


def test_deleting_leaves_no_empty_folders(folder_store: FolderStore) -> None:
    folder_store.put("a/b/c", b"")
    folder_store.delete(["a/b/c"])
    assert [*folder_store.root.iterdir()] == []


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.EACCES, StoreRefused),
        (errno.EROFS, StoreRefused),
        (errno.ESTALE, StoreUnavailable),
        (errno.EIO, StoreUnavailable),
        (errno.ENOENT, StoreUnavailable),  # a delete beside us took the empty folder
        (errno.ENOSPC, StorageError),
    ],
)
def test_what_the_system_says_is_translated(
    number: int, expected: type, folder_store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, "as the system says")

    monkeypatch.setattr(folder_module, "atomic_file", fail)
    with pytest.raises(StorageError) as caught:
        folder_store.put("key", b"")
    assert caught.type is expected
