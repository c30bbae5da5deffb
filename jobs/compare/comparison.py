"""Candidates in, a ranking out: one forward pass for each, and nothing is fine-tuned."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from unfreeze.jobs.compare.candidate import Candidate, open_candidate
from unfreeze.jobs.compare.judging import REPEATS, check_comparable, judge, metric_of
from unfreeze.jobs.compare.linear import FOLDS
from unfreeze.jobs.compare.ranking import Judged, Ranked, advice, rank
from unfreeze.jobs.config import JobConfig
from unfreeze.jobs.data.dataset import read_sources
from unfreeze.jobs.errors import DataError, JobError, ModelError
from unfreeze.jobs.inputs import cache_folder
from unfreeze.storage import StorageError

MOST_ROWS = 2000
"""Training rows that candidates are judged by, unless somebody wants more."""

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What came of it."""

    metric: str
    method: str
    """How it was measured, in words."""
    ranked: list[Ranked]
    """Best first."""
    failures: dict[str, str]
    """Candidates that could not be used, and why."""

    @property
    def advice(self) -> str:
        """Which model to take and why, in a sentence."""
        return advice(self.metric, self.ranked)

    def to_data(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "metric": self.metric,
            "method": self.method,
            "ranked": [ranked.to_data() for ranked in self.ranked],
            "failures": self.failures,
            "advice": self.advice,
        }


def compare_models(
    job: JobConfig,
    names: Sequence[str],
    *,
    most_rows: int = MOST_ROWS,
    tell: Tell = lambda text: None,
) -> Comparison:
    """Ranks pretrained models for the job's training rows; other rows are not looked at.

    `names`: folders, hub ids or uris; the job's own model takes part if it is among them. One that
    cannot be used is told of, and the others go on. Raises UserMistake if the task cannot be
    compared, the data are wrong, or no model is left.
    """
    check_comparable(job)
    cache = cache_folder()
    read_sources(job, cache / "data")  # what is wrong with them is said before a model is fetched
    judged: list[Judged] = []
    failures: dict[str, str] = {}
    candidate: Candidate | None = None
    for name in dict.fromkeys(names):
        try:
            opened = open_candidate(job, name, most_rows=most_rows, cache=cache)
            judged.append(judge(opened, cache))
        except DataError:  # it is wrong with the rows, whatever the model
            raise
        except (JobError, StorageError) as error:
            failures[name] = str(error).splitlines()[0].removeprefix(f"model: {name}: ")
            tell(f"{name}: {failures[name]}")
            continue
        candidate, costs = opened, judged[-1].costs
        known = "known from an earlier run" if judged[-1].was_kept else "one forward pass"
        tell(f"{name}: {known}, {costs.milliseconds:.1f} ms per example")
    if candidate is None:
        raise ModelError([f"model: {name}: {reason}" for name, reason in failures.items()])
    metric = metric_of(candidate)  # the same for all
    return Comparison(
        metric=metric.name,
        method=_method(candidate),
        ranked=rank(metric, judged),
        failures=failures,
    )


def _method(candidate: Candidate) -> str:
    rows = f"{len(candidate.units):,} of {candidate.split.units:,} training rows"
    if candidate.probe is None:
        return f"the pretrained models as they are, on {rows}"
    return (
        f"a linear model on frozen features, {FOLDS}-fold cross-validation, {REPEATS} times, "
        f"on {rows}"
    )
