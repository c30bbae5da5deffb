"""What `unfreeze submit` runs on the cluster: a verb, with its log kept in the run's store.

    python -m unfreeze.cli.submitted job.yaml HANDLE

The verb runs in a process of its own, so that the log is whole even if that is killed or aborts.
The exit code is the verb's, but `LOST` if it lost its cluster; 128 and the signal if it was killed.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unfreeze.storage import ObjectStore
    from unfreeze.storage.log_chunks import LogWriter

VERB_OF = {"job.yaml": "train", "search.yaml": "search"}

# Ray kills whoever has not ended 3 s after it was asked to (RAY_JOB_STOP_WAIT_TIME_S). The verb is
# asked at the same moment; what it holds on the cluster ends with it, however it ends.
_LET_IT_END_S = 1.2
_LAST_WORDS_S, _LAST_CHUNK_S = 0.2, 1.2
_LAST_WORDS_OF_ALL_S, _LAST_CHUNK_OF_ALL_S = 2.0, 60.0


class _Ended(BaseException):
    """Somebody asked this process to end."""


def main() -> None:
    """The two processes: one for the verb, one that keeps its log."""
    match sys.argv[1:]:
        case ["--verb", file]:
            _run_verb(file)
        case [file, handle]:
            with _own_shipment():
                sys.exit(_keep_log(file, handle))
        case _:
            sys.exit(f"usage: python -m {__spec__.name} job.yaml|search.yaml HANDLE")


@contextmanager
def _own_shipment() -> Iterator[None]:
    """Runs in a copy of the folder that Ray has unpacked, of links: it takes no room.

    Nodes of one host share a folder, and each of them unpacks the shipment anew where it lies (Ray
    2.60, working_dir.py: overwrite=True), under the feet of those who run there.
    """
    unpacked = os.getcwd()
    with tempfile.TemporaryDirectory(
        prefix="unfreeze-", dir=Path(unpacked).parent, ignore_cleanup_errors=True
    ) as name:
        shutil.copytree(unpacked, name, copy_function=os.link, dirs_exist_ok=True)
        os.chdir(name)
        try:
            yield
        finally:
            os.chdir(unpacked if Path(unpacked).is_dir() else "/")


def _run_verb(file: str) -> None:
    from unfreeze.cli.main import main as run
    from unfreeze.cluster.own_ray import address_of_own_ray

    name, address = _settings(file)["name"], address_of_own_ray()
    os.environ["RAY_ADDRESS"] = address
    # With an override a verb speaks of the run by its uri: the file's name says nothing elsewhere.
    sys.argv = ["unfreeze", VERB_OF[file], file, f"name={name}", "--address", address]
    try:
        run()
    except SystemExit as left:
        from unfreeze.cluster import ClusterLost, ClusterUnreachable
        from unfreeze.cluster.submission.following import LOST

        if isinstance(left.__context__, ClusterLost | ClusterUnreachable):
            sys.exit(LOST)
        raise


def _keep_log(file: str, handle: str) -> int:
    from unfreeze.storage.log_chunks import LogWriter

    writer = LogWriter(lambda: _log_in_store(file, handle))
    verb = subprocess.Popen(
        [sys.executable, "-m", "unfreeze.cli.submitted", "--verb", file],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert verb.stdout is not None
    copying = threading.Thread(target=_copy, args=(verb.stdout, writer), daemon=True)
    copying.start()
    try:
        signal.signal(signal.SIGTERM, _end)
        code = verb.wait()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what is left takes no time, or is lost
        words_s, chunk_s = _LAST_WORDS_OF_ALL_S, _LAST_CHUNK_OF_ALL_S
    except _Ended:
        code, words_s, chunk_s = 128 + signal.SIGTERM, _LAST_WORDS_S, _LAST_CHUNK_S
        _wait_and_kill(verb)
    copying.join(words_s)  # what the verb has started may hold the pipe open
    if not writer.close(chunk_s):
        print(f"the end of this log is not in the store: {writer.failure}", flush=True)
    return code if code >= 0 else 128 - code


def _copy(pipe: IO[bytes], writer: "LogWriter") -> None:
    """To our own output, which Ray keeps on this node, and to the store."""
    while data := os.read(pipe.fileno(), 65536):
        os.write(sys.stdout.fileno(), data)
        writer.write(data)


def _wait_and_kill(verb: subprocess.Popen[bytes]) -> None:
    verb.terminate()
    try:
        verb.wait(_LET_IT_END_S)
    except subprocess.TimeoutExpired:
        verb.kill()
        verb.wait()


def _end(signal_number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
    raise _Ended


def _log_in_store(file: str, handle: str) -> "ObjectStore":
    from unfreeze.storage import open_store
    from unfreeze.storage.log_chunks import LOGS

    settings = _settings(file)
    storage = settings.get("job", settings)["storage"]
    store = open_store(storage["uri"], endpoint=storage.get("endpoint"))
    return store.under(f"{settings['name']}/{LOGS}/{handle}")


def _settings(file: str) -> dict[str, Any]:
    """As `submit` wrote them: all of them, and right."""
    import yaml

    settings: dict[str, Any] = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    return settings


if __name__ == "__main__":
    main()
