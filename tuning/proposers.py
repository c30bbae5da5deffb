"""Which settings a search tries next: every combination, at random, or what went well (TPE)."""

import math
from collections.abc import Mapping
from typing import Any, Literal, Protocol

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from unfreeze.jobs.metrics import Mode
from unfreeze.tuning.space import Space, settings_key

State = Literal["finished", "stopped", "failed"]

EQUAL_DRAWS = 1000
"""After so many draws in a row that were drawn before, a random search has seen its space."""
REPEATED_ASKS = 20
"""So often Optuna is asked again when it repeats what was tried."""


class Proposer(Protocol):
    """Decides what is tried next. Two proposers that were told the same propose the same."""

    def known(self, settings: Mapping[str, Any]) -> None:
        """Takes note of settings that were tried before, so that they are not proposed."""

    def propose(self) -> dict[str, Any] | None:
        """The next settings; None if there is nothing more to try."""

    def tell(self, settings: Mapping[str, Any], value: float | None, state: State) -> None:
        """What became of them: the best value of the metric so far, and how the trial ended."""


class GridProposer:
    """Every combination once, in the order of `Space.grid`. Raises ConfigError as that does."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._points = space.grid()
        self._known: set[str] = set()

    def known(self, settings: Mapping[str, Any]) -> None:
        self._known.add(settings_key(self._space.active(settings)))

    def propose(self) -> dict[str, Any] | None:
        return next((p for p in self._points if settings_key(p) not in self._known), None)

    def tell(self, settings: Mapping[str, Any], value: float | None, state: State) -> None:
        """A grid learns nothing."""


class RandomProposer:
    """Independent draws. Draw i depends on nothing but (seed, i)."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._seed = seed
        self._draws = 0
        self._drawn: set[str] = set()
        self._known: set[str] = set()

    def known(self, settings: Mapping[str, Any]) -> None:
        self._known.add(settings_key(self._space.active(settings)))

    def propose(self) -> dict[str, Any] | None:
        equal = 0
        while equal < EQUAL_DRAWS:
            numbers = np.random.SeedSequence([self._seed, self._draws])
            settings = self._space.draw(_Dice(np.random.default_rng(numbers)))
            self._draws += 1
            key = settings_key(settings)
            equal = equal + 1 if key in self._drawn else 0
            if key not in self._drawn | self._known:
                self._drawn.add(key)
                return settings
            # After a restart all known settings are drawn once more: no sign of a small space.
            self._drawn.add(key)
        return None

    def tell(self, settings: Mapping[str, Any], value: float | None, state: State) -> None:
        """Draws at random learn nothing."""


class OptunaProposer:
    """Optuna's tree-structured Parzen estimator (Bergstra et al., 2011), in memory."""

    def __init__(self, space: Space, seed: int, mode: Mode) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = space
        self._study = optuna.create_study(
            sampler=optuna.samplers.TPESampler(seed=seed),
            direction="maximize" if mode == "max" else "minimize",
        )
        self._running: dict[str, optuna.Trial] = {}
        self._known: set[str] = set()

    def known(self, settings: Mapping[str, Any]) -> None:
        self._known.add(settings_key(self._space.active(settings)))

    def propose(self) -> dict[str, Any] | None:
        for attempt in range(REPEATED_ASKS + 1):
            trial = self._study.ask()
            settings = self._space.draw(_Suggestions(trial))
            key = settings_key(settings)
            if key not in self._known or attempt == REPEATED_ASKS:
                break
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        self._known.add(key)
        if key in self._running:  # proposed twice at once: Optuna is told of one of them
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            self._running[key] = trial
        return settings

    def tell(self, settings: Mapping[str, Any], value: float | None, state: State) -> None:
        """What is outside the space, such as the job's own settings may be, is ignored."""
        active = self._space.active(settings)
        if value is None or not math.isfinite(value):
            value, state = None, "failed" if state == "finished" else state
        trial = self._running.pop(settings_key(active), None)
        if trial is None:
            self._add(active, value, state)
            return
        if state == "stopped" and value is not None:
            trial.report(value, step=1)
        self._study.tell(trial, value if state == "finished" else None, _STATES[state])

    def _add(self, settings: Mapping[str, Any], value: float | None, state: State) -> None:
        """A trial that Optuna was not asked for: of an earlier session, or the default."""
        replay = _Replay(self._space, settings)
        try:
            self._space.draw(replay)
        except _OutsideTheSpace:
            return
        self._study.add_trial(
            optuna.trial.create_trial(
                state=_STATES[state],
                value=None if state == "failed" else value,
                intermediate_values={1: value} if state == "stopped" and value is not None else {},
                params=replay.params,
                distributions=replay.distributions,
            )
        )


_STATES: dict[State, optuna.trial.TrialState] = {
    "finished": optuna.trial.TrialState.COMPLETE,
    "stopped": optuna.trial.TrialState.PRUNED,
    "failed": optuna.trial.TrialState.FAIL,
}


class _Dice:
    """Chooses at random."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator

    def choice(self, key: str, n: int) -> int:
        return int(self._generator.integers(n))

    def uniform(self, key: str, low: float, high: float, *, log: bool) -> float:
        if not log:
            return float(self._generator.uniform(low, high))
        drawn = math.exp(self._generator.uniform(math.log(low), math.log(high)))
        return min(max(drawn, low), high)  # exp(log(low)) may be below low in the last digit

    def randint(self, key: str, low: int, high: int) -> int:
        return int(self._generator.integers(low, high))


class _Suggestions:
    """Lets an Optuna trial choose."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial

    def choice(self, key: str, n: int) -> int:
        return int(self._trial.suggest_categorical(key, range(n)))

    def uniform(self, key: str, low: float, high: float, *, log: bool) -> float:
        return self._trial.suggest_float(key, low, high, log=log)

    def randint(self, key: str, low: int, high: int) -> int:
        return self._trial.suggest_int(key, low, high - 1)


class _OutsideTheSpace(Exception):
    """Settings that the space cannot give."""


class _Replay:
    """Chooses what settings have, and notes it in Optuna's terms."""

    def __init__(self, space: Space, settings: Mapping[str, Any]) -> None:
        self._space = space
        self._settings = settings
        self.params: dict[str, Any] = {}
        self.distributions: dict[str, BaseDistribution] = {}

    def _note(self, key: str, distribution: BaseDistribution) -> float:
        """Raises _OutsideTheSpace."""
        place = self._space.place_of(key, self._settings[key]) if key in self._settings else None
        if place is None:
            raise _OutsideTheSpace
        self.params[key], self.distributions[key] = place, distribution
        return place

    def choice(self, key: str, n: int) -> int:
        return int(self._note(key, CategoricalDistribution(range(n))))

    def uniform(self, key: str, low: float, high: float, *, log: bool) -> float:
        return self._note(key, FloatDistribution(low, high, log=log))

    def randint(self, key: str, low: int, high: int) -> int:
        return int(self._note(key, IntDistribution(low, high - 1)))
