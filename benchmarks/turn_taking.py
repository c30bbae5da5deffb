"""Groups of training processes that take turns: one computes while the others wait for its end."""

import multiprocessing
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from resource import RUSAGE_SELF, getrusage
from typing import Any

PATIENCE = 300.0
"""Seconds that a group may take to start, or for one turn."""


class ProcessError(Exception):
    """A training process failed or died; the text says why."""


@dataclass(frozen=True)
class Turn:
    """What one process measured in one turn."""

    seconds: float
    """Wall time from a barrier before the first step to a barrier after the last one."""
    cpu_seconds: float
    """CPU time of the process, all its threads."""


class TurnTaker:
    """A process's view: it calls `begin` before its first step, `after_step` after each."""

    def __init__(self, pipe: Connection, turns: Sequence[int]) -> None:
        """`turns`: how many steps each turn has."""
        self._pipe = pipe
        self._ends = {sum(turns[: i + 1]) for i in range(len(turns))}
        self._steps = 0
        self._began = (0.0, 0.0)

    def begin(self) -> None:
        self._pipe.send(("ready", None))
        self._wait_for_turn()

    def after_step(self) -> None:
        """Ends the turn at its last step, and waits for the next one."""
        self._steps += 1
        if self._steps not in self._ends:
            return
        _barrier()
        wall, cpu = self._began
        self._pipe.send(("turn", Turn(time.perf_counter() - wall, _cpu_seconds() - cpu)))
        if self._steps < max(self._ends):
            self._wait_for_turn()

    def _wait_for_turn(self) -> None:
        self._pipe.recv()  # EOFError if the parent is gone: then this process ends, too
        _barrier()
        self._began = time.perf_counter(), _cpu_seconds()


Task = Callable[..., Any]
"""What a process does: gets a TurnTaker and the group's arguments, gives something back."""


class ProcessGroup:
    """Processes with a gloo process group between them, one thread each, on the CPU."""

    def __init__(self, task: Task, turns: Sequence[int], *args: Any, world: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        port = _free_port()
        self._pipes: list[Connection] = []
        self._processes = []
        for rank in range(world):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(
                target=_serve, args=(theirs, rank, world, port, task, turns, args), daemon=True
            )
            self._processes.append(process)
            self._pipes.append(ours)
            process.start()
            theirs.close()

    def wait_until_ready(self) -> None:
        """Waits for `begin` in all processes."""
        self._collect("ready")

    def take_turn(self) -> list[Turn]:
        """One turn, by rank."""
        for rank, pipe in enumerate(self._pipes):
            try:
                pipe.send("go")
            except BrokenPipeError:
                raise ProcessError(f"rank {rank} died before its turn") from None
        turns: list[Turn] = self._collect("turn")
        return turns

    def results(self) -> list[Any]:
        """What the task gave back, by rank, when all turns are taken."""
        found = self._collect("result")
        for process in self._processes:
            process.join(10)
        return found

    def close(self) -> None:
        """Ends the processes, whatever they do."""
        started = [process for process in self._processes if process.pid is not None]
        for process in started:
            process.kill()
        for process in started:
            process.join()
        for pipe in self._pipes:
            pipe.close()

    def _collect(self, kind: str) -> list[Any]:
        answers: dict[int, Any] = {}
        deadline = time.monotonic() + PATIENCE
        while len(answers) < len(self._pipes):
            missing = [pipe for i, pipe in enumerate(self._pipes) if i not in answers]
            ready = wait(missing, max(0.0, deadline - time.monotonic()))
            if not ready:
                raise ProcessError(f"no {kind!r} within {PATIENCE:.0f} s")
            for rank in (i for i, pipe in enumerate(self._pipes) if pipe in ready):
                try:
                    got, value = self._pipes[rank].recv()
                except (EOFError, ConnectionResetError):
                    raise ProcessError(f"rank {rank} died before its {kind!r}") from None
                if got != kind:
                    raise ProcessError(f"rank {rank}: expected {kind!r}, got {got!r}\n{value}")
                answers[rank] = value
        return [answers[rank] for rank in sorted(answers)]


def _serve(
    pipe: Connection, rank: int, world: int, port: int, task: Task, turns: Sequence[int], args: Any
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    os.environ.update(
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(world),
        LOCAL_WORLD_SIZE=str(world),
        OMP_NUM_THREADS="1",
        TOKENIZERS_PARALLELISM="false",
        DS_ACCELERATOR="cpu",
        CUDA_VISIBLE_DEVICES="",
    )
    import warnings

    import torch
    import torch.distributed as dist

    warnings.simplefilter("ignore")  # torch 2.13 warns at every collective call
    torch.set_num_threads(1)
    try:
        dist.init_process_group("gloo")
        pipe.send(("result", task(TurnTaker(pipe, turns), *args)))
        dist.destroy_process_group()
    except EOFError:
        pass  # the parent is gone
    except Exception:
        with suppress(BrokenPipeError):
            pipe.send(("error", traceback.format_exc()))


def _barrier() -> None:
    import torch.distributed as dist

    dist.barrier()


def _cpu_seconds() -> float:
    used = getrusage(RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
