"""Training processes that stay: each test hands them a function, so none pays for their start.

The functions live in worker_tasks.py, which the processes import by name.
"""

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any


class RemoteError(Exception):
    """A function failed in a worker; the text is its traceback."""


class WorkerPool:
    """`world` processes with a gloo process group between them."""

    def __init__(self, world: int) -> None:
        self.world = world
        self._start()

    def _start(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        port = _free_port()
        self._pipes: list[Connection] = []
        self._processes = []
        for rank in range(self.world):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(
                target=_serve, args=(theirs, rank, self.world, port), daemon=True
            )
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def run(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        """Calls the function in all processes; what each gave back, by rank.

        Raises RemoteError when it raised in any of them. If the others then wait for it in vain,
        all are ended and started again.
        """
        for pipe in self._pipes:
            pipe.send((function, args))
        answers: dict[Connection, Any] = {}
        patience_s = None
        while len(answers) < self.world:
            ready = wait([p for p in self._pipes if p not in answers], patience_s)
            if not ready:
                break
            for pipe in ready:
                assert isinstance(pipe, Connection)
                answers[pipe] = pipe.recv()
                if not answers[pipe][0]:
                    patience_s = 15.0
        if len(answers) < self.world:
            self.close(patience_s=0)
            self._start()
        for ok, value in answers.values():
            if not ok:
                raise RemoteError(value)
        return [answers[pipe][1] for pipe in self._pipes]

    def close(self, patience_s: float = 10) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(patience_s)
            if process.is_alive():
                process.kill()
                process.join()


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
