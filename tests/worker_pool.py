"""Training processes that stay: each test hands them a function, so none pays for their start.

The functions live in worker_tasks.py, which the processes import by name.
"""

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


class RemoteError(Exception):
    """A function failed in a worker; the text is its traceback."""


class WorkerPool:
    """`world` processes with a gloo process group between them."""

    def __init__(self, world: int) -> None:
        self.world = world
        spawn = multiprocessing.get_context("spawn")
        port = _free_port()
        self._pipes: list[Connection] = []
        self._processes = []
        for rank in range(world):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(
                target=_serve, args=(theirs, rank, world, port), daemon=True, name=f"rank-{rank}"
            )
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def run(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        """Calls the function in all processes; what each gave back, by rank.

        Raises RemoteError when it raised in any of them; on all ranks alike, else they hang.
        """
        for pipe in self._pipes:
            pipe.send((function, args))
        answers = [pipe.recv() for pipe in self._pipes]
        for ok, value in answers:
            if not ok:
                raise RemoteError(value)
        return [value for _, value in answers]

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(10)
            if process.is_alive():
                process.kill()


def _serve(pipe: Connection, rank: int, world: int, port: int) -> None:
    os.environ.update(
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(world),
        TOKENIZERS_PARALLELISM="false",
    )
    import warnings

    import torch
    import torch.distributed as dist

    warnings.simplefilter("ignore")  # torch 2.13 warns at every collective call
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    while True:
        try:
            function, args = pipe.recv()
        except EOFError:
            break
        try:
            pipe.send((True, function(*args)))
        except BaseException:
            pipe.send((False, traceback.format_exc()))
    dist.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
