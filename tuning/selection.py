"""Which finalist wins: the most frozen one that is as good as the best, give or take its error."""

from collections.abc import Sequence
from dataclasses import dataclass

from unfreeze.jobs.estimate import Estimate
from unfreeze.jobs.metrics import Mode


@dataclass(frozen=True, kw_only=True, slots=True)
class Finalist:
    """A configuration that was trained again with several seeds."""

    trial: str
    """The trial whose settings these are."""
    name: str
    """What people call it, such as "trial 3"."""
    frozen_share: float
    """Mean over training steps of the fraction of parameters that are frozen."""
    estimate: Estimate
    """Of the validation metric."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Who won, and why."""

    winner: str
    best: str
    """The trial with the best mean. It need not win."""
    within_one_se: tuple[str, ...]
    """Trials whose mean is within one standard error of the best, the best among them; the most
    frozen first."""
    reason: str
    """In one English sentence."""


def choose(finalists: Sequence[Finalist], mode: Mode) -> Choice:
    """The most frozen finalist whose mean is within one standard error of the best mean.

    The one-standard-error rule of Breiman et al. (CART, 1984): among configurations that the
    data cannot tell apart, take the simplest; here that is the one with the largest frozen share.
    The standard error is that of the best finalist's own mean, as Breiman has it, not that of the
    (paired, often smaller) difference. Of equally frozen ones the better mean wins, then the one
    that comes first. A finalist whose mean is not a number cannot win.

    Raises ValueError if no finalist has a mean that is a number.
    """
    sign = 1 if mode == "max" else -1
    able = [one for one in finalists if one.estimate.mean == one.estimate.mean]
    if not able:
        raise ValueError("no finalist has a validation metric")
    best = max(able, key=lambda one: (sign * one.estimate.mean, one.frozen_share))
    near = [
        one
        for one in able
        if one is best or sign * (best.estimate.mean - one.estimate.mean) <= best.estimate.se
    ]
    near.sort(key=lambda one: (-one.frozen_share, -sign * one.estimate.mean))
    return Choice(
        winner=near[0].trial,
        best=best.trial,
        within_one_se=tuple(one.trial for one in near),
        reason=_reason(near[0], best, alone=len(able) == 1, others=len(near) - 1),
    )


def _reason(winner: Finalist, best: Finalist, *, alone: bool, others: int) -> str:
    mean, se = f"{best.estimate.mean:#.4g}", f"{best.estimate.se:.2g}"
    if alone:
        return f"It is the only finalist; its mean is {mean}."
    if winner is not best:
        return (
            f"It is the most frozen ({winner.frozen_share:.0%} against {best.frozen_share:.0%} of "
            f"the parameters) within one standard error ({se}) of the best, {best.name}: "
            f"{winner.estimate.mean:#.4g} against {mean}."
        )
    if others:
        return (
            f"It has the best mean ({mean}), and nothing within one standard error ({se}) of it "
            "is more frozen."
        )
    return f"It has the best mean ({mean}), and nothing is within one standard error ({se}) of it."
