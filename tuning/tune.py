"""Ray Tune's side of a search: it asks for trials, watches them, and stops those that lag.

A trial of Tune is a thin one: it passes on what a lane reports. It borrows nothing from the
cluster that a lane could need, so nothing nests and nothing waits for a placement group.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ray import tune
from ray.tune import Callback
from ray.tune.schedulers import ASHAScheduler, MedianStoppingRule, TrialScheduler
from ray.tune.search import Searcher

from unfreeze.cluster import is_verbose
from unfreeze.jobs.metrics import Mode
from unfreeze.tuning.broker_actor import BrokerHandle
from unfreeze.tuning.loggers import loggers
from unfreeze.tuning.search_file import Search
from unfreeze.tuning.trials import Trials, searched_lengths

SINCE_UNFREEZING = "since_unfreezing"
BEST = "best"
_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is the command line's
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # what a search needs to go on is in its own store
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}


def trainable_for(broker: BrokerHandle, metric: str, mode: Mode) -> type[tune.Trainable]:
    """Tune's trial. The class is local, so that it travels by value, the broker's handle in it."""
    actor = broker.actor
    pick = max if mode == "max" else min

    class LaneTrial(tune.Trainable):
        """Passes on what a lane reports."""

        def setup(self, config: dict[str, Any]) -> None:
            self.reset_config(config)

        def reset_config(self, config: dict[str, Any]) -> bool:
            self.trial, self.seen = config["trial"], 0
            self.last: dict[str, Any] = {}
            self.lines: list[dict[str, Any]] = []
            return True

        def step(self) -> dict[str, Any]:
            import ray

            is_over = False
            while not self.lines and not is_over:
                found = actor.news.remote(self.trial, self.seen, 10.0)
                self.lines, is_over = ray.get(found)
                self.seen += len(self.lines)
            if self.lines:
                line = self.lines.pop(0)
                sound = [v for v in (line[metric], self.last.get(BEST)) if v is not None and v == v]
                self.last = {**line, BEST: pick(sound) if sound else None}
                return dict(self.last)
            # A failure is told by the broker: an error would make Tune try the trial again.
            return {metric: float("nan"), SINCE_UNFREEZING: 0.0, **self.last, "done": True}

    return LaneTrial


class _NotRestored:
    """Tune writes down all that it is given, as pickles. A search goes on from its own store."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class TrialSearcher(_NotRestored, Searcher):
    """Proposes what `Trials` proposes."""

    def __init__(self, trials: Trials, broker: BrokerHandle, metric: str, mode: str) -> None:
        super().__init__(metric=metric, mode=mode)
        self._trials, self._broker = trials, broker
        self._ids: dict[str, str] = {}

    def suggest(self, trial_id: str) -> Any:
        trial = self._trials.next()
        if trial is None:
            return Searcher.FINISHED
        self._ids[trial_id] = trial.id
        return {"trial": trial.id, **trial.settings}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Also for trials that the scheduler has stopped."""
        id = self._ids.pop(trial_id)
        outcome = self._broker.ask("outcome", id)
        self._broker.tell("stop", id)
        self._trials.over(id, (result or {}).get(BEST), outcome)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: see _NotRestored."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: see _NotRestored."""


class _Watcher(_NotRestored, Callback):
    """Tune tells it of each turn of its loop."""

    def __init__(self, each_turn: Callable[[], None]) -> None:
        self._each_turn = each_turn

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._each_turn()


def run_trials(
    search: Search,
    trials: Trials,
    broker: BrokerHandle,
    *,
    ahead: int,
    steps_per_epoch: int,
    each_turn: Callable[[], None],
) -> None:
    """Runs all trials. `ahead`: how many may be proposed and not yet over."""
    metric, mode = search.metric, search.mode
    callbacks: list[Any] = [_Watcher(each_turn), *loggers(search.config)]
    with _quiet_settings(), tempfile.TemporaryDirectory(prefix="unfreeze-tune-") as folder:
        tuner = tune.Tuner(
            # A byte of memory: Tune wants something, and CPUs are for the lanes.
            tune.with_resources(trainable_for(broker, metric, mode), {"memory": 1}),
            tune_config=tune.TuneConfig(
                metric=metric,
                mode=mode,
                search_alg=TrialSearcher(trials, broker, metric, mode),
                scheduler=_scheduler(search, steps_per_epoch),
                num_samples=search.trials,
                max_concurrent_trials=ahead,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: str(trial.trial_id),
            ),
            run_config=tune.RunConfig(
                name=search.config.name,
                storage_path=os.path.abspath(search.config.logging.tensorboard or folder),
                # For the processes of Tune's trials; lanes and what they do are the broker's.
                failure_config=tune.FailureConfig(max_failures=3),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=callbacks,
                verbose=int(is_verbose()),
            ),
        )
        tuner.fit()


def _scheduler(search: Search, steps_per_epoch: int) -> TrialScheduler | None:
    """None: every trial runs its length. Rungs count epochs since unfreezing."""
    config = search.config.scheduler
    longest = longest_since_unfreezing(search, steps_per_epoch)
    grace = min(config.grace.steps(steps_per_epoch) / steps_per_epoch, longest)
    if config.kind == "asha":
        return ASHAScheduler(
            time_attr=SINCE_UNFREEZING,
            grace_period=grace,  # type: ignore[arg-type]  # fractions are fine
            max_t=longest,  # type: ignore[arg-type]
            reduction_factor=config.reduction_factor,
            stop_last_trials=False,  # they end by themselves, and some are longer than others
        )
    if config.kind == "median":
        return MedianStoppingRule(time_attr=SINCE_UNFREEZING, grace_period=grace)
    return None


def longest_since_unfreezing(search: Search, steps_per_epoch: int) -> float:
    """The most epochs that any trial trains after it was unfrozen; rungs go up to it."""
    searched = searched_lengths(search.space, search.job)
    heads, others = 0, 0
    for index, phase in enumerate(search.job.phases):
        spans = searched.get(index, {phase.longest})
        longest = max(span.steps(steps_per_epoch) for span in spans)
        if phase.train == ("head",) and f"phases.{index}.train" not in search.space.dimensions:
            heads += longest
        else:
            others += longest
    # A trial that trains nothing but its head is counted from its start.
    return max(1, others or heads) / steps_per_epoch


@contextmanager
def _quiet_settings() -> Iterator[None]:
    before = {key: os.environ.get(key) for key in _SETTINGS}
    os.environ.update(_SETTINGS)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
