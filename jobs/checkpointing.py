"""Checkpoints while training goes on: snapshot, then upload and commit in the background."""

import threading
from collections.abc import Callable
from typing import Any

import torch.distributed as dist

from unfreeze.jobs.config import Mode
from unfreeze.jobs.errors import CheckpointNotKept
from unfreeze.jobs.portable import PortableState, block_of_file, weight_files
from unfreeze.jobs.progress import Progress
from unfreeze.storage import (
    BlobRef,
    CheckpointStore,
    CorruptObject,
    Manifest,
    ObjectNotFound,
    StorageError,
)

Tell = Callable[..., None]
METRICS_FILE = "metrics.jsonl"


class Checkpointer:
    """Writes one checkpoint at a time; a new one waits for the one before it.

    Each rank uploads the blocks that it owns; rank 0 commits when all have succeeded. The thread
    that does it has a process group of its own, so it does not meddle with training's.
    """

    def __init__(
        self,
        store: CheckpointStore,
        *,
        keep_latest: int,
        keep_best: int,
        mode: Mode,
        settings: dict[str, Any],
        tell: Tell,
    ) -> None:
        """`settings` are those that a run must share to go on from these checkpoints."""
        self.store, self._tell, self._settings = store, tell, settings
        self._keep = (keep_latest, keep_best, mode)
        self._group = dist.new_group(backend="gloo")
        self._thread: threading.Thread | None = None
        self._failure: BaseException | str | None = None

    def save(self, state: PortableState, progress: Progress, metrics: bytes) -> None:
        """Begins to write a checkpoint. What goes wrong is told; training goes on."""
        self.wait()
        manifest_data = {
            "progress": progress.to_data(),
            "adam_steps": state.adam_steps,
            "loss_scale": state.loss_scale,
            "settings": self._settings,
        }
        step, metric = progress.step, progress.metric_here
        self._thread = threading.Thread(
            target=self._write,
            args=(state, manifest_data, step, metric, metrics),
            name=f"checkpoint-{step}",
            daemon=True,
        )
        self._thread.start()

    def wait(self) -> bool:
        """Waits for the checkpoint that is being written; whether it was kept."""
        if self._thread is None:
            return True
        self._thread.join()
        self._thread = None
        if isinstance(self._failure, BaseException):
            raise self._failure
        return self._failure is None

    def save_last(self, state: PortableState, progress: Progress, metrics: bytes) -> None:
        """Waits until the job's last checkpoint is kept. Raises CheckpointNotKept on all ranks."""
        if self.wait():
            return
        self.save(state, progress, metrics)
        if not self.wait():
            raise CheckpointNotKept(
                f"the checkpoint of step {progress.step}, the last of the job, could not be "
                f"written: {self._failure}. Mend the store and run the same command again"
            )

    def _write(
        self,
        state: PortableState,
        data: dict[str, Any],
        step: int,
        metric: float | None,
        metrics: bytes,
    ) -> None:
        try:
            self._failure = self._upload_and_commit(state, data, step, metric, metrics)
        except BaseException as error:
            self._failure = error

    def _upload_and_commit(
        self,
        state: PortableState,
        data: dict[str, Any],
        step: int,
        metric: float | None,
        metrics: bytes,
    ) -> str | None:
        """What went wrong, the same on all ranks, or None."""
        files, uploaded, failure = self._upload(state, metrics)
        shares: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(shares, (files, uploaded, failure), group=self._group)
        failure = next((share[2] for share in shares if share[2]), None)
        if dist.get_rank() == 0:
            every_file = {name: ref for share in shares for name, ref in share[0].items()}
            if failure is None:
                failure = self._commit(Manifest(step, every_file, metric, data))
            size = sum(share[1] for share in shares)
            self._tell("checkpoint", step=step, uploaded_bytes=size, failure=failure)
        outcome = [failure]
        dist.broadcast_object_list(outcome, 0, group=self._group)
        if outcome[0]:
            self.store.forget()
        return outcome[0]

    def _upload(
        self, state: PortableState, metrics: bytes
    ) -> tuple[dict[str, BlobRef], int, str | None]:
        files: dict[str, BlobRef] = {}
        uploaded = 0
        contents = [state.files_of(block) for block in state.mine]
        if dist.get_rank() == 0:
            contents.append({METRICS_FILE: metrics})
        try:
            for content in contents:
                for name, data in content.items():
                    put = self.store.put_blob(data)
                    files[name] = put.ref
                    uploaded += put.ref.size_bytes if put.uploaded else 0
        except StorageError as error:
            return files, uploaded, str(error)
        return files, uploaded, None

    def _commit(self, manifest: Manifest) -> str | None:
        latest, best, mode = self._keep
        try:
            self.store.commit(manifest)
            self.store.prune(keep_latest=latest, keep_best=best, mode=mode)
        except StorageError as error:
            return str(error)
        return None


def resume(
    store: CheckpointStore, state: PortableState, tell: Tell
) -> tuple[Progress, bytes] | None:
    """Takes up the newest sound checkpoint; None if there is none. A collective call.

    A checkpoint whose bytes are not what its manifest says is set aside, and the one before it is
    taken. Returns the progress and the metrics so far.
    """
    while True:
        found: list[Any] = [None]
        if dist.get_rank() == 0:
            found[0] = store.newest_sound(lambda text: tell("note", text=text))
        dist.broadcast_object_list(found, 0)
        if found[0] is None:
            return None
        identity, manifest = found[0]
        names = [name for name in manifest.files if name != METRICS_FILE]
        metrics, corrupt = _take_up(store, state, manifest, names)
        if not corrupt:
            progress = Progress.from_data(manifest.progress["progress"])
            state.adam_steps.update(manifest.progress["adam_steps"])
            state.loss_scale = manifest.progress["loss_scale"]
            return progress, metrics
        if dist.get_rank() == 0:
            tell("note", text=f"checkpoint {identity} is damaged and was set aside")
            store.discard(identity, corrupt)
        state.mine.clear()


def take_up_weights(store: CheckpointStore, state: PortableState, manifest: Manifest) -> None:
    """Takes up the weights of a checkpoint, without the moments. Raises CorruptObject."""
    _, corrupt = _take_up(store, state, manifest, weight_files(manifest.files))
    if corrupt:
        raise CorruptObject(f"the checkpoint of step {manifest.step} is damaged; run verify on it")
    state.adam_steps.update(manifest.progress["adam_steps"])


def _take_up(
    store: CheckpointStore, state: PortableState, manifest: Manifest, names: list[str]
) -> tuple[bytes, list[BlobRef]]:
    """Each rank fetches its own blocks, all fetch the metrics; the damaged blobs of all ranks."""
    corrupt: list[BlobRef] = []
    metrics = b""
    mine = [name for name in names if state.owner(block_of_file(name)) == dist.get_rank()]
    for name in [*mine, METRICS_FILE]:
        ref = manifest.files[name]
        try:
            data = store.get_blob(ref)
            if name == METRICS_FILE:
                metrics = data
            else:
                state.take_file(name, data)
        except (CorruptObject, ObjectNotFound):
            corrupt.append(ref)
    every: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(every, corrupt)
    return metrics, [ref for refs in every for ref in refs]
