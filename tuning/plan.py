"""What a search would do, without doing it: trials, rungs, lanes, and what trials share."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from unfreeze.cluster import Resources, Workers
from unfreeze.jobs.errors import UserMistake
from unfreeze.jobs.inputs import Inputs, gather_inputs
from unfreeze.jobs.phases import plan_phases
from unfreeze.tuning.config import Dimension
from unfreeze.tuning.lanes import count_lanes, workers_of_lane
from unfreeze.tuning.prefixes import AT_PLATEAU, ForkPoint
from unfreeze.tuning.proposers import GridProposer, RandomProposer
from unfreeze.tuning.search_file import Search
from unfreeze.tuning.space import with_settings
from unfreeze.tuning.trials import Forks
from unfreeze.tuning.tune import longest_since_unfreezing

MOST_PLANNED = 500
"""So many trials are looked at one by one."""


@dataclass(frozen=True)
class PlannedTrial:
    """The steps of a trial, and where others can go on from it."""

    steps_of_phases: tuple[int, ...]
    """Of each phase of the job, at most."""
    forks: tuple[ForkPoint, ...] = ()

    @property
    def steps(self) -> int:
        """All of them, at most."""
        return sum(self.steps_of_phases)

    def steps_at(self, fork: ForkPoint) -> int:
        """The steps that have been taken at a fork point, at most."""
        before = sum(self.steps_of_phases[: fork.phase])
        in_phase = fork.step_in_phase
        return before + (self.steps_of_phases[fork.phase] if in_phase == AT_PLATEAU else in_phase)


@dataclass(frozen=True)
class SharedPlace:
    """A place that several trials come to with the same weights."""

    phase: int
    step_in_phase: int
    """Steps of the phase that have been taken, or AT_PLATEAU."""
    trials: int
    """How many trials come to it with others."""
    states: int
    """How many different weights they have there: what is computed once each."""


@dataclass(frozen=True)
class SearchPlan:
    """What is known of a search before it runs."""

    name: str
    metric: str
    mode: str
    searcher: str
    trials: int
    space: dict[str, str]
    """Each dimension in words."""
    scheduler: str
    rungs: tuple[float, ...]
    """Epochs since unfreezing at which asha stops trials."""
    reduction_factor: int
    grace_epochs: float
    """No trial is stopped before this."""
    lanes: int
    workers: Workers
    """Of one lane."""
    sharing: bool
    steps_per_epoch: int
    planned: int
    """How many trials were looked at: all, or the first MOST_PLANNED."""
    steps: int
    """Of the planned trials, at most; none of them is stopped early."""
    steps_shared: int
    """Those of them that are not computed again."""
    shared_places: tuple[SharedPlace, ...]
    finalists: int
    """The best trials; the default comes on top if it is not among them."""
    seeds: int
    rows: dict[str, int]
    warnings: tuple[str, ...]

    def to_data(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def plan_search(search: Search, have: Resources) -> SearchPlan:
    """Reads the data and the model's configuration, and draws the trials. Raises UserMistake.

    Optuna's trials depend on what the earlier ones reach; random draws stand for them.
    """
    workers = workers_of_lane(search.job, have)
    lanes = count_lanes(search.config.lanes, workers, have)
    inputs = gather_inputs(search.job)
    per_epoch = inputs.steps_per_epoch
    scheduler, final = search.config.scheduler, search.config.finalists
    longest = longest_since_unfreezing(search, per_epoch)
    grace = min(scheduler.grace.steps(per_epoch) / per_epoch, longest)
    factor = scheduler.reduction_factor
    planned, mistakes = plan_trials(search, inputs)
    return SearchPlan(
        name=search.config.name,
        metric=search.metric,
        mode=search.mode,
        searcher=search.config.searcher,
        trials=search.trials,
        space={key: dimension_words(d) for key, d in search.space.dimensions.items()},
        scheduler=scheduler.kind,
        rungs=tuple(rungs(grace, longest, factor)) if scheduler.kind == "asha" else (),
        reduction_factor=factor,
        grace_epochs=grace,
        lanes=lanes,
        workers=workers,
        sharing=search.config.sharing,
        steps_per_epoch=per_epoch,
        planned=len(planned),
        steps=sum(trial.steps for trial in planned),
        steps_shared=shared_steps(planned),
        shared_places=tuple(shared_places(planned)),
        finalists=final.top,
        seeds=final.seeds,
        rows={name: split.units for name, split in inputs.data.splits.items()},
        warnings=(*inputs.data.warnings, *mistakes),
    )


def plan_trials(search: Search, inputs: Inputs) -> tuple[list[PlannedTrial], list[str]]:
    """The trials in the order of proposal, and why some of them cannot be run."""
    forks = Forks(search, inputs)
    planned, mistakes = [], []
    for number, settings in enumerate(_proposals(search)):
        try:
            job = with_settings(search.job, settings) if number else search.job
            per_epoch = -(-len(inputs.data.splits["train"]) // job.training.batch_size)
            phases = plan_phases(job, inputs.model_plan.names, per_epoch)
            steps = tuple(phase.max_steps for phase in phases)
            planned.append(PlannedTrial(steps, forks.of(job)))
        except UserMistake as error:
            mistakes += [f"trial {number} cannot be run: {line}" for line in error.mistakes]
    return planned, mistakes


def _proposals(search: Search) -> Iterator[dict[str, Any]]:
    """The first settings that are tried, those of the default at the top."""
    default = search.space.settings_of_default(search.job.to_data())
    yield default
    proposer: GridProposer | RandomProposer = RandomProposer(search.space, search.config.seed)
    if search.config.searcher == "grid":
        proposer = GridProposer(search.space)
    proposer.known(default)
    draws = iter(proposer.propose, None)
    yield from islice(draws, min(search.trials, MOST_PLANNED) - 1)


def rungs(grace: float, longest: float, factor: int) -> list[float]:
    """Epochs since unfreezing at which asha stops trials: each `factor` times the one before.

    Li et al. (2020), "A System for Massively Parallel Hyperparameter Tuning"; as Ray Tune's.
    """
    if grace <= 0:
        return []
    number = int(math.log(longest / grace) / math.log(factor) + 1)
    return [grace * factor**k for k in range(number)]


def shared_steps(trials: Sequence[PlannedTrial]) -> int:
    """Steps that need not be taken if each trial goes on from its longest known beginning."""
    known: set[str] = set()
    shared = 0
    for trial in trials:
        shared += max((trial.steps_at(f) for f in trial.forks if f.key in known), default=0)
        known |= {fork.key for fork in trial.forks}
    return shared


def shared_places(trials: Sequence[PlannedTrial]) -> list[SharedPlace]:
    """Where trials come together, in the order of phases and steps."""
    found: dict[tuple[int, int], Counter[str]] = {}
    for trial in trials:
        for fork in trial.forks:
            keys = found.setdefault((fork.phase, fork.step_in_phase), Counter())
            keys[fork.key] += 1
    places = []
    for (phase, step), keys in sorted(found.items()):
        counts = [n for n in keys.values() if n > 1]
        if counts:
            places.append(SharedPlace(phase, step, trials=sum(counts), states=len(counts)))
    return places


def dimension_words(dimension: Dimension) -> str:
    """What a setting may be: "one of 0ep, 1ep", "1e-05 to 0.0001, its logarithm uniform"."""
    if dimension.choice is not None:
        words = f"one of {_listed(dimension.choice, ', ')}"
    else:
        low, high = dimension.bounds
        if dimension.randint is not None:
            words = f"a whole number, {low:g} to {high - 1:g}"
        elif dimension.uniform is not None:
            words = f"{low:g} to {high:g}, uniform"
        else:
            words = f"{low:g} to {high:g}, its logarithm uniform"
        words += {"ep": ", in epochs", "st": ", in steps", None: ""}[dimension.unit]
    conditions = [
        f"{other} is {_listed(values, ' or ')}" for other, values in (dimension.when or {}).items()
    ]
    return words + f"; only when {' and '.join(conditions)}" * bool(conditions)


def _listed(values: Sequence[Any], between: str) -> str:
    texts = (value if isinstance(value, str) else json.dumps(value) for value in values)
    return between.join(texts)
