"""Checkpoints in a store: blobs first, the manifest last. A loader trusts only manifests.

checkpoints/step-00000120/manifest.json     what it consists of; written once, never changed
blobs/<sha256>                              the bytes, shared by all checkpoints that have them
"""

import hashlib
import re
import tempfile
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from unfreeze.storage.atomic import atomic_file, sha256_of
from unfreeze.storage.errors import CorruptObject, ObjectExists, ObjectNotFound
from unfreeze.storage.manifest import BlobRef, Manifest, parse_manifest
from unfreeze.storage.retention import CheckpointInfo, Mode, to_keep
from unfreeze.storage.store import ObjectStore

Lines = list[str]  # aliases, because `list` is a method below
Infos = list[CheckpointInfo]

_MANIFEST_KEY = re.compile(r"checkpoints/(step-\d{8,})/manifest\.json")


@dataclass(frozen=True, slots=True)
class PutBlob:
    """What became of a blob that was put."""

    ref: BlobRef
    uploaded: bool
    """False if the store had it already."""


def checkpoint_id(step: int) -> str:
    return f"step-{step:08d}"


class CheckpointStore:
    """The checkpoints of one run.

    Several processes may put blobs at once; one of them commits and prunes. After a commit raised
    ObjectNotFound every one of them calls `forget` and puts its blobs again.
    """

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self._known: set[BlobRef] = set()

    # -- writing

    def put_blob(self, data: bytes | Path) -> PutBlob:
        """Store bytes, or a file, under their hash, unless they are there already."""
        size = len(data) if isinstance(data, bytes) else data.stat().st_size
        ref = BlobRef(sha256_of(data), size)
        if ref in self._known:
            return PutBlob(ref, uploaded=False)
        key = _blob_key(ref)
        there = any(i.key == key and i.size_bytes == size for i in self.store.list(key))
        if not there:
            self.store.put(key, data)
        self._known.add(ref)
        return PutBlob(ref, uploaded=not there)

    def forget(self) -> None:
        """Ask the store again for each blob, rather than rely on what was there before."""
        self._known.clear()

    def commit(self, manifest: Manifest) -> str:
        """Make the checkpoint complete, in one conditional put; returns its id.

        An equal one is fine, and an unsound one of the same step is replaced. Raises ObjectExists
        if there is a sound one with other files, ObjectNotFound if blobs are missing.
        """
        id = checkpoint_id(manifest.step)
        if missing := manifest.blobs - self._stored_blobs():
            self.forget()
            raise ObjectNotFound(f"{id}: {len(missing)} of its blobs are gone; put them again")
        data = manifest.to_json()
        try:
            self.store.put(_manifest_key(id), data, if_absent=True)
        except ObjectExists:
            there = self._read_sound(id, self._stored_blobs())
            if isinstance(there, Manifest):
                if there.files == manifest.files:
                    return id
                raise ObjectExists(
                    f"{id}: {self.store.uri} has another checkpoint of this step; "
                    "use another run name, or discard that checkpoint"
                ) from None
            self.discard(id)
            self.store.put(_manifest_key(id), data, if_absent=True)
        return id

    def discard(self, id: str, corrupt: Iterable[BlobRef] = ()) -> None:
        """Remove a checkpoint, and then the blobs that were found corrupt.

        A corrupt blob has the right name: left there, it would be taken for the good one.
        """
        self.store.delete([_manifest_key(id)])
        self._delete_blobs(corrupt)

    # -- reading

    def list(self) -> Infos:
        """All checkpoints with a readable manifest, newest step first."""
        return _infos(self._manifests()[0])

    def read(self, id: str) -> Manifest:
        """Raises ObjectNotFound, or CorruptObject if it is no manifest of this checkpoint."""
        key = _manifest_key(id)
        manifest = parse_manifest(self.store.get(key), f"{self.store.uri}/{key}")
        if checkpoint_id(manifest.step) != id:
            raise CorruptObject(f"{id}: its manifest is of step {manifest.step}; discard it")
        return manifest

    def newest_sound(self, notify: Callable[[str], None]) -> tuple[str, Manifest] | None:
        """The newest checkpoint that is whole, by a listing: no blob is read.

        Newer ones that are not whole are skipped, with a line to `notify` each.
        """
        stored = self._stored_blobs()
        for id in self._ids():
            found = self._read_sound(id, stored)
            if isinstance(found, Manifest):
                return id, found
            notify(f"checkpoint {id} is skipped: {found}")
        return None

    def get_blob(self, ref: BlobRef) -> bytes:
        """Raises ObjectNotFound, or CorruptObject if the bytes do not match the hash."""
        data = self.store.get(_blob_key(ref))
        if hashlib.sha256(data).hexdigest() != ref.sha256:
            raise _corrupt(ref)
        return data

    def fetch_blob(self, ref: BlobRef, file: Path) -> None:
        """Like `get_blob`, to a file, which appears only if its hash is right."""
        with tempfile.TemporaryDirectory(dir=_made(file.parent), prefix=".fetch-") as folder:
            arrived = Path(folder, ref.sha256)
            self.store.fetch(_blob_key(ref), arrived)
            if sha256_of(arrived) != ref.sha256:
                raise _corrupt(ref)
            arrived.replace(file)

    def verify(self, id: str) -> Lines:
        """Download and hash all of a checkpoint; a line for each problem, none if it is sound."""
        try:
            manifest = self.read(id)
        except (ObjectNotFound, CorruptObject) as error:
            return [str(error)]
        problems = []
        with tempfile.TemporaryDirectory() as folder:
            for name, ref in sorted(manifest.files.items()):
                try:
                    self.fetch_blob(ref, Path(folder, "blob"))
                except (ObjectNotFound, CorruptObject) as error:
                    problems.append(f"{name}: {error}")
        return problems

    def pull(self, id: str, folder: Path) -> Manifest:
        """Download manifest.json and all files under their readable names, hashes verified."""
        manifest = self.read(id)
        for name, ref in manifest.files.items():
            self.fetch_blob(ref, folder / name)
        with atomic_file(folder / "manifest.json") as file:
            file.write(manifest.to_json())
        return manifest

    # -- retention

    def prune(
        self, keep_latest: int, keep_best: int, mode: Mode, protect: Collection[str] = ()
    ) -> Lines:
        """Remove what `to_keep` does not keep and `protect` does not name; returns their ids.

        Blobs go only if a removed manifest named them and no other does: a blob that no manifest
        names yet may belong to a checkpoint that is being written.
        """
        manifests, _ = self._manifests()
        keep = to_keep(_infos(manifests), keep_latest, keep_best, mode) | set(protect)
        removed = {id: manifest for id, manifest in manifests.items() if id not in keep}
        if not removed:
            return []
        self.store.delete(_manifest_key(id) for id in removed)
        # Read again: another writer may have committed since.
        left, unreadable = self._manifests()
        if not unreadable:  # else nobody knows which blobs those need; `sweep` says so
            self._delete_blobs(_blobs_of(removed.values()) - _blobs_of(left.values()))
        return [*removed]

    def sweep(self, older_than_s: float = 3600) -> int:
        """Remove blobs that no manifest names and that are older than any upload in flight.

        Returns how many. Raises CorruptObject, and removes nothing, if a manifest is unreadable:
        its blobs cannot be told from orphans.
        """
        before = time.time() - older_than_s
        # Listed before the manifests are read, so that a commit in between is seen.
        old = [i for i in self.store.list("blobs/") if i.modified.timestamp() < before]
        manifests, unreadable = self._manifests()
        if unreadable:
            raise CorruptObject(f"{', '.join(unreadable)}: unreadable; discard them, then sweep")
        named = {_blob_key(ref) for ref in _blobs_of(manifests.values())}
        orphans = [info.key for info in old if info.key not in named]
        self.store.delete(orphans)
        self.forget()
        return len(orphans)

    # -- inside

    def _ids(self) -> Lines:
        """Of all manifests, newest step first."""
        keys = (_MANIFEST_KEY.fullmatch(info.key) for info in self.store.list("checkpoints/"))
        ids = [found.group(1) for found in keys if found]
        return sorted(ids, key=lambda id: int(id.removeprefix("step-")), reverse=True)

    def _manifests(self) -> tuple[dict[str, Manifest], Lines]:
        """All manifests by id, newest first, and the ids of those that cannot be read."""
        readable, unreadable = {}, []
        for id in self._ids():
            try:
                readable[id] = self.read(id)
            except ObjectNotFound:
                continue  # removed since it was listed
            except CorruptObject:
                unreadable.append(id)
        return readable, unreadable

    def _read_sound(self, id: str, stored: set[BlobRef]) -> Manifest | str:
        """The manifest if all its blobs are in `stored`, else what is wrong with it."""
        try:
            manifest = self.read(id)
        except (ObjectNotFound, CorruptObject) as error:
            return str(error)
        bad = sorted(name for name, ref in manifest.files.items() if ref not in stored)
        return f"missing or of the wrong size: {', '.join(bad)}" if bad else manifest

    def _stored_blobs(self) -> set[BlobRef]:
        """What the store holds, by name and size; foreign names are left out."""
        named = ((i.key.removeprefix("blobs/"), i.size_bytes) for i in self.store.list("blobs/"))
        return {BlobRef(name, size) for name, size in named if re.fullmatch("[0-9a-f]{64}", name)}

    def _delete_blobs(self, refs: Iterable[BlobRef]) -> None:
        gone = set(refs)
        self._known -= gone
        self.store.delete(_blob_key(ref) for ref in gone)


def _infos(manifests: dict[str, Manifest]) -> Infos:
    return [
        CheckpointInfo(id, m.step, m.metric, m.created, m.size_bytes) for id, m in manifests.items()
    ]


def _blobs_of(manifests: Iterable[Manifest]) -> set[BlobRef]:
    return {ref for manifest in manifests for ref in manifest.blobs}


def _blob_key(ref: BlobRef) -> str:
    return f"blobs/{ref.sha256}"


def _manifest_key(id: str) -> str:
    return f"checkpoints/{id}/manifest.json"


def _corrupt(ref: BlobRef) -> CorruptObject:
    return CorruptObject(
        f"blobs/{ref.sha256}: its bytes have another hash; discard the checkpoints that name it"
    )


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
