"""Checkpoints while training goes on: snapshot, then upload and commit in the background."""

import queue
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch.distributed as dist

from unfreeze.jobs.companion import Fork
from unfreeze.jobs.errors import CheckpointNotKept
from unfreeze.jobs.metrics import Mode
from unfreeze.jobs.portable import PortableState, block_of_file, weight_files
from unfreeze.jobs.progress import Progress
from unfreeze.storage import (
    BlobRef,
    CheckpointStore,
    CorruptObject,
    Manifest,
    ObjectExists,
    ObjectNotFound,
    StorageError,
)

Tell = Callable[..., None]
Notes = dict[str, bytes]
"""Small files that all ranks take up, by name: METRICS_FILE, and perhaps BEST_STATISTICS_FILE."""

METRICS_FILE = "metrics.jsonl"
BEST_STATISTICS_FILE = "best-statistics.safetensors"
_NOTES = (METRICS_FILE, BEST_STATISTICS_FILE)


class BackgroundWriter:
    """One thread that writes while training goes on, and a process group for it alone.

    A process has one for its life: groups cost threads and sockets, and are not given back.
    """

    def __init__(self) -> None:
        self.group = dist.new_group(backend="gloo")
        self._tasks: queue.Queue[Callable[[], None]] = queue.Queue()
        threading.Thread(target=self._work, name="background-writer", daemon=True).start()

    def do(self, task: Callable[[], None]) -> None:
        """Does it when what was asked for before is done. The task may not raise."""
        self._tasks.put(task)

    def join(self) -> None:
        """Waits until everything is done."""
        self._tasks.join()

    def is_idle(self) -> bool:
        """Whether everything is done."""
        return not self._tasks.unfinished_tasks

    def _work(self) -> None:
        while True:
            task = self._tasks.get()
            try:
                task()
            finally:
                self._tasks.task_done()


class Checkpointer:
    """Writes one checkpoint at a time; a new one waits for the one before it.

    Each rank uploads the blocks that it owns; rank 0 commits when all have succeeded.
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
        writer: BackgroundWriter,
    ) -> None:
        """`settings` are those that a run must share to go on from these checkpoints."""
        self.store, self._tell, self._settings = store, tell, settings
        self._keep = (keep_latest, keep_best, mode)
        self._writer = writer
        self._failure: BaseException | str | None = None

    def save(self, state: PortableState, progress: Progress, notes: Notes) -> None:
        """Begins to write a checkpoint. What goes wrong is told; training goes on."""
        self.wait()
        manifest = self._manifest(state, progress)

        def write() -> None:
            try:
                self._failure = self._upload_and_commit(
                    self.store, state, manifest, notes, self._tell_saved
                )
            except BaseException as error:
                self._failure = error

        self._writer.do(write)

    def publish(self, fork: Fork, state: PortableState, progress: Progress, notes: Notes) -> None:
        """Will write a checkpoint for others, without waiting for the one that is being written.

        What goes wrong is told.
        """
        manifest = self._manifest(state, progress)

        def tell(step: int, size: int, failure: str | None) -> None:
            if failure:
                self._tell("note", text=f"the state of step {step} is not shared: {failure}")
            else:
                fork.published()

        def write() -> None:
            try:
                self._upload_and_commit(fork.store, state, manifest, notes, tell)
            except Exception as error:
                tell(manifest.step, 0, str(error))

        self._writer.do(write)

    def _manifest(self, state: PortableState, progress: Progress) -> Manifest:
        """What is known before the files are: they are named when they are there."""
        data = {
            "progress": progress.to_data(),
            "adam_steps": dict(state.adam_steps),
            "loss_scale": dict(state.loss_scale),
            "settings": self._settings,
        }
        return Manifest(progress.step, {}, progress.metric_here, data)

    def wait(self) -> bool:
        """Waits for the checkpoint that is being written; whether it was kept."""
        self._writer.join()
        if isinstance(self._failure, BaseException):
            raise self._failure
        return self._failure is None

    def _tell_saved(self, step: int, size: int, failure: str | None) -> None:
        self._tell("checkpoint", step=step, uploaded_bytes=size, failure=failure)

    def save_last(self, state: PortableState, progress: Progress, notes: Notes) -> None:
        """Waits until the job's last checkpoint is kept. Raises CheckpointNotKept on all ranks."""
        if self.wait():
            return
        self.save(state, progress, notes)
        if not self.wait():
            raise CheckpointNotKept(
                f"the checkpoint of step {progress.step}, the last of the job, could not be "
                f"written: {self._failure}. Mend the store and run the same command again"
            )

    def _upload_and_commit(
        self,
        store: CheckpointStore,
        state: PortableState,
        manifest: Manifest,
        notes: Notes,
        tell: Callable[[int, int, str | None], None],
    ) -> str | None:
        """What went wrong, the same on all ranks, or None."""
        files, uploaded, failure = _upload(store, state, notes)
        shares: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(shares, (files, uploaded, failure), group=self._writer.group)
        failure = next((share[2] for share in shares if share[2]), None)
        if dist.get_rank() == 0:
            every_file = {name: ref for share in shares for name, ref in share[0].items()}
            if failure is None:
                failure = self._commit(store, replace(manifest, files=every_file))
            tell(manifest.step, sum(share[1] for share in shares), failure)
        outcome = [failure]
        dist.broadcast_object_list(outcome, 0, group=self._writer.group)
        if outcome[0]:
            store.forget()
        return outcome[0]

    def _commit(self, store: CheckpointStore, manifest: Manifest) -> str | None:
        latest, best, mode = self._keep
        try:
            store.commit(manifest)
            store.prune(keep_latest=latest, keep_best=best, mode=mode)
        except ObjectExists as error:
            # Two runs that publish the same point differ in the last digits at most.
            return None if store is not self.store else str(error)
        except StorageError as error:
            return str(error)
        return None


def _upload(
    store: CheckpointStore, state: PortableState, notes: Notes
) -> tuple[dict[str, BlobRef], int, str | None]:
    """This rank's files, the bytes that the store did not have, and what went wrong."""
    files: dict[str, BlobRef] = {}
    uploaded = 0
    contents = [state.files_of(block) for block in state.mine]
    if dist.get_rank() == 0:
        contents.append(notes)
    try:
        for content in contents:
            for name, data in content.items():
                put = store.put_blob(data)
                files[name] = put.ref
                uploaded += put.ref.size_bytes if put.uploaded else 0
    except StorageError as error:
        return files, uploaded, str(error)
    return files, uploaded, None


def resume(
    store: CheckpointStore, state: PortableState, tell: Tell
) -> tuple[Progress, Notes] | None:
    """Takes up the newest sound checkpoint; None if there is none. A collective call.

    A checkpoint whose bytes are not what its manifest says is set aside, and the one before it is
    taken. Returns the progress and what was noted so far.
    """
    while True:
        found: list[Any] = [None]
        if dist.get_rank() == 0:
            found[0] = store.newest_sound(lambda text: tell("note", text=text))
        dist.broadcast_object_list(found, 0)
        if found[0] is None:
            return None
        identity, manifest = found[0]
        names = [name for name in manifest.files if name not in _NOTES]
        notes, corrupt = _take_up(store, state, manifest, names)
        if not corrupt:
            progress = Progress.from_data(manifest.progress["progress"])
            state.adam_steps.update(manifest.progress["adam_steps"])
            state.loss_scale = manifest.progress["loss_scale"]
            return progress, notes
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
) -> tuple[Notes, list[BlobRef]]:
    """Each rank fetches its own blocks, all fetch the notes; the damaged blobs of all ranks."""
    corrupt: list[BlobRef] = []
    notes: Notes = {}
    mine = [name for name in names if state.owner(block_of_file(name)) == dist.get_rank()]
    for name in [*mine, *(name for name in _NOTES if name in manifest.files)]:
        ref = manifest.files[name]
        try:
            data = store.get_blob(ref)
            if name in _NOTES:
                notes[name] = data
            else:
                state.take_file(name, data)
        except (CorruptObject, ObjectNotFound):
            corrupt.append(ref)
    every: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(every, corrupt)
    return notes, [ref for refs in every for ref in refs]
