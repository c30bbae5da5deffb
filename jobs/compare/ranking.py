"""The order of candidates, what cannot be told apart, and which one to take. Pure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from unfreeze.jobs.compare.facts import Facts
from unfreeze.jobs.compare.frozen import Costs
from unfreeze.jobs.estimate import Estimate, apart, difference, estimate
from unfreeze.jobs.metrics import TRAITS, Floats, Metric


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A candidate and how it did on the training rows."""

    name: str
    statistics: Floats
    """[units, k]."""
    judged_by: str
    """Equal for candidates whose units are the same rows."""
    facts: Facts
    costs: Costs
    training_bytes: int
    """Memory of one worker that trains all of it in fp32, an estimate."""
    was_kept: bool
    """Nothing was computed: an earlier run had."""


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """A candidate at its place."""

    judged: Judged
    score: Estimate
    behind: Estimate | None
    """The metric less that of the best; None for the best itself."""
    is_worse: bool
    """It can be told apart from the best."""

    def to_data(self) -> dict[str, Any]:
        judged, behind = self.judged, self.behind
        return {
            "model": judged.name,
            "score": self.score.mean,
            "interval": list(self.score.interval),
            "behind": None if behind is None else behind.mean,
            "behind_interval": None if behind is None else list(behind.interval),
            "told_apart_from_best": self.is_worse,
            **asdict(judged.facts),
            **asdict(judged.costs),
            "training_bytes": judged.training_bytes,
            "was_kept": judged.was_kept,
        }


def rank(metric: Metric, candidates: Sequence[Judged]) -> list[Ranked]:
    """Best first. Each is compared with the best: row by row where both were judged by the same
    rows. Intervals are of 95 %, over rows."""
    scores = {c.name: estimate(metric, c.statistics[None], seed=0) for c in candidates}
    sign = 1 if metric.mode == "max" else -1

    def place(candidate: Judged) -> tuple[bool, float, int]:
        mean = scores[candidate.name].mean
        return mean != mean, -sign * mean, candidate.facts.parameters  # what is not known, last

    best, *others = sorted(candidates, key=place)
    found = [Ranked(judged=best, score=scores[best.name], behind=None, is_worse=False)]
    for other in others:
        behind = _difference(metric, other, best, scores)
        end = behind.interval[1] if sign > 0 else -behind.interval[0]
        is_worse = bool(end < 0)
        found.append(
            Ranked(judged=other, score=scores[other.name], behind=behind, is_worse=is_worse)
        )
    return found


def _difference(metric: Metric, a: Judged, b: Judged, scores: dict[str, Estimate]) -> Estimate:
    if a.judged_by == b.judged_by:
        return difference(metric, a.statistics[None], b.statistics[None], seed=0)
    return apart(scores[a.name], scores[b.name], is_share=metric.is_share)


def advice(metric: str, ranked: Sequence[Ranked]) -> str:
    """Which model to take and why, in a sentence."""
    best, *others = ranked
    title = TRAITS[metric].title or metric.replace("_", " ")
    most = "highest" if TRAITS[metric].mode == "max" else "lowest"
    sentence = f"Take {best.judged.name}: it has the {most} {title}, {best.score.mean:.4f}"
    if not others:
        return f"{sentence}, and it is alone."
    smaller = [r for r in others if not r.is_worse and _size(r) < _size(best)]
    if smaller:
        least = min(smaller, key=_size)
        share = _size(least) / _size(best)
        return (
            f"{sentence}; but these rows do not tell it apart from {least.judged.name} "
            f"({least.score.mean:.4f}), which has {share:.0%} of its parameters."
        )
    if equal := [r.judged.name for r in others if not r.is_worse]:
        return f"{sentence}; these rows do not tell it apart from {', '.join(equal)}."
    return f"{sentence}, and all others are worse beyond what these rows leave to chance."


def _size(ranked: Ranked) -> int:
    return ranked.judged.facts.parameters
