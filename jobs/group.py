"""A worker group of Ray Train that can be ended at any time: the trainer runs in an actor.

`fit()` waits inside Ray's own code. In a thread of the driver it would go on waiting after
`ray.shutdown()`, in memory that is gone: the process aborts. An actor can be killed, and what it
owns in the cluster (Train's controller, and so the workers) ends with it. Ray is imported late: it
reads its token settings when it is imported, and `connect` sets them.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from unfreeze.cluster import Workers, is_verbose, worker_settings
from unfreeze.cluster.placement import beside_the_driver

if TYPE_CHECKING:
    from unfreeze.cluster.mailbox import Sender

# How often Train asks its workers whether they live, and whether they are done. By default every
# 2 s, which each restart, and each end of a lane, waits for.
_BY_DEFAULT = {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5"}
# Our workers hear of nodes that drain themselves, and leave when they have a checkpoint
# (jobs/notices.py); Ray's watcher would have the controller wait for the deadline.
_ALWAYS = {"RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}


class WorkerGroup:
    """Workers that run one function until it returns; those that die are started again."""

    def __init__(
        self,
        function: Callable[[dict[str, Any]], None],
        config: dict[str, Any],
        workers: Workers,
        *,
        name: str,
        folder: str,
        most_waits: int = -1,
        failures_to: "Sender | None" = None,
    ) -> None:
        """`folder` is for Train's own notes.

        `most_waits`: how often Ray may wait for room in vain (a minute each time) before the group
        gives up; -1: for ever. `failures_to` is told of failed workers before they are started
        again; those that failed for good are not (jobs/callbacks.py). None: they always are.
        """
        import ray

        settings = {key: value for key, value in os.environ.items() if key.startswith("RAY_TRAIN")}
        actor: Any = ray.remote(
            num_cpus=0,
            scheduling_strategy=beside_the_driver(),
            runtime_env={"env_vars": _BY_DEFAULT | settings | _ALWAYS},
        )(_Trainer)
        self._trainer = actor.remote()
        self._end = self._trainer.fit.remote(
            function, config, workers, name, folder, most_waits, failures_to
        )

    def has_ended(self) -> bool:
        """Whether the function has returned on all ranks, or the group has given up."""
        import ray

        return bool(ray.wait([self._end], timeout=0)[0])

    def failure(self) -> str | None:
        """Why the group has given up; None if the function returned. Waits for the end."""
        import ray

        try:
            failure: str | None = ray.get(self._end)
        except ray.exceptions.RayError as error:
            return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
        return failure

    def end(self) -> None:
        """Ends the group at once, wherever it is. Where Ray is gone, the group is too."""
        import ray

        with suppress(ray.exceptions.RayError):
            ray.kill(self._trainer)


class _Trainer:
    """Waits for Ray Train."""

    def fit(
        self,
        function: Callable[[dict[str, Any]], None],
        config: dict[str, Any],
        workers: Workers,
        name: str,
        folder: str,
        most_waits: int,
        failures_to: "Sender | None",
    ) -> str | None:
        from ray.train import ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer
        from ray.train.v2.api.config import FailureConfig, LoggingConfig, RunConfig

        from unfreeze.jobs.callbacks import FailureTeller, NodeInterface, SigtermListener

        callbacks: list[Any] = [SigtermListener(), NodeInterface()]
        if failures_to:
            callbacks.append(FailureTeller(failures_to))
        resources = {"CPU": workers.cpus} | ({"GPU": workers.gpus} if workers.gpus else {})
        trainer = TorchTrainer(
            function,
            train_loop_config=config,
            torch_config=TorchConfig(backend="nccl" if workers.gpus else "gloo"),
            scaling_config=ScalingConfig(
                num_workers=workers.count,
                use_gpu=bool(workers.gpus),
                resources_per_worker=resources,
            ),
            run_config=RunConfig(  # type: ignore[arg-type]  # Train V2's, typed as V1's
                name=name,
                storage_path=folder,
                failure_config=FailureConfig(max_failures=-1, controller_failure_limit=most_waits),
                callbacks=callbacks,
                logging_config=LoggingConfig(log_level="INFO" if is_verbose() else "ERROR"),
                worker_runtime_env={"env_vars": worker_settings()},
            ),
        )
        try:
            trainer.fit()
        except Exception as error:
            return _cause(error)
        return None


def _cause(error: BaseException) -> str:
    failures = getattr(error, "worker_failures", None) or {}
    for rank, failure in sorted(failures.items()):
        lines = [line for line in str(failure).strip().splitlines() if line.strip()]
        return f"rank {rank}: {lines[-1] if lines else type(failure).__name__}"
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
