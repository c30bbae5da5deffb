"""Did the job overfit, and from where on? Judged from its validations alone, and said in words."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from unfreeze.jobs.metrics import Mode

Record = Mapping[str, Any]

# A validation loss within this share of its minimum counts as back at it: the noise between two
# passes that differ by a few steps is of this size.
TOLERANCE = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Overfitting:
    """How far training and validation rows came apart. Every gap is positive where the training
    rows do better; numbers are None where the metrics do not give them."""

    best_step: int | None
    """Step of the best validation, by the job's metric."""
    gap_loss_best: float | None
    """Validation loss minus training loss at `best_step`."""
    gap_loss_end: float | None
    gap_metric_best: float | None
    """How much better the training rows score, at `best_step`."""
    gap_metric_end: float | None
    set_in_step: int | None
    """The lowest validation loss, if it was never reached again while the training loss fell."""
    generalisation_loss: float | None
    """100 * (last / lowest - 1) of the validation loss (Prechelt 1998)."""
    words: str
    """The verdict, in one to three sentences."""

    def to_data(self) -> dict[str, Any]:
        return asdict(self)


def overfitting(
    metrics: Iterable[Record],
    mode: Mode = "max",
    *,
    metric: str = "accuracy",
    phases: Sequence[str] = (),
) -> Overfitting:
    """The verdict on a job's metrics. `metric` and `mode` say what its best checkpoint was chosen
    by; `phases` names the phases, for the words."""
    rows = [row for row in records(metrics, "validation") if _loss(row, "validation") is not None]
    if not rows:
        words = "Too few validations to tell whether the model overfitted: there was none."
        return Overfitting(
            best_step=None,
            gap_loss_best=None,
            gap_loss_end=None,
            gap_metric_best=None,
            gap_metric_end=None,
            set_in_step=None,
            generalisation_loss=None,
            words=words,
        )
    best, last = _best(rows, metric, mode), rows[-1]
    lowest = min(reversed(rows), key=_validation_loss)  # the last of several equal ones
    floor = _validation_loss(lowest)
    rose = _validation_loss(last) - floor > TOLERANCE * abs(floor)
    fell = _train_change(lowest, last)
    set_in = lowest if rose and fell is not None and fell < 0 else None
    return Overfitting(
        best_step=int(best["step"]),
        gap_loss_best=gap(best, "loss", "min"),
        gap_loss_end=gap(last, "loss", "min"),
        gap_metric_best=gap(best, metric, mode),
        gap_metric_end=gap(last, metric, mode),
        set_in_step=None if set_in is None else int(set_in["step"]),
        generalisation_loss=100 * (_validation_loss(last) / floor - 1) if floor > 0 else None,
        words=_words(rows, lowest, best, metric, phases),
    )


def records(metrics: Iterable[Record], kind: str) -> list[Record]:
    """The records of one kind by step. A resumed job repeats steps: the later record counts."""
    by_step = {int(row["step"]): row for row in metrics if row["kind"] == kind}
    return [by_step[step] for step in sorted(by_step)]


def gap(row: Record, metric: str, mode: Mode) -> float | None:
    """How much better the training rows do than the validation rows."""
    train, validation = number(row, "train", metric), number(row, "validation", metric)
    if train is None or validation is None:
        return None
    return train - validation if mode == "max" else validation - train


def number(row: Record, split: str, metric: str) -> float | None:
    """`row[split][metric]` if it is there and finite."""
    value = (row.get(split) or {}).get(metric)
    return float(value) if value is not None and math.isfinite(value) else None


def phase_title(index: int, phases: Sequence[str]) -> str:
    """`phase 1 (all)`, or `phase 1` where the name is not known."""
    return f"phase {index} ({phases[index]})" if 0 <= index < len(phases) else f"phase {index}"


def _loss(row: Record, split: str) -> float | None:
    return number(row, split, "loss")


def _validation_loss(row: Record) -> float:
    loss = _loss(row, "validation")
    assert loss is not None, "rows without one were left out"
    return loss


def _train_change(before: Record, after: Record) -> float | None:
    first, second = _loss(before, "train"), _loss(after, "train")
    return None if first is None or second is None else second - first


def _best(rows: Sequence[Record], metric: str, mode: Mode) -> Record:
    """The last that the job marked as its best so far; where none is, the best by value."""
    if marked := [row for row in rows if row.get("best")]:
        return marked[-1]
    sign = 1 if mode == "max" else -1
    scored = [row for row in rows if number(row, "validation", metric) is not None]
    if not scored:
        return min(rows, key=_validation_loss)
    return max(scored, key=lambda row: sign * (number(row, "validation", metric) or 0.0))


def _words(
    rows: Sequence[Record],
    lowest: Record,
    best: Record,
    metric: str,
    phases: Sequence[str],
) -> str:
    last = rows[-1]
    if len(rows) < 2:
        return (
            "Too few validations to tell whether the model overfitted: there was one, at step "
            f"{last['step']:,}.{_gap_words(last)}"
        )
    floor, end = _validation_loss(lowest), _validation_loss(last)
    change = _train_change(lowest, last)
    if lowest is last:
        start = f"No overfitting: validation loss was lowest at the end ({end:.3g})."
        return f"{start}{_gap_words(last)}"
    if end - floor <= TOLERANCE * abs(floor):
        return (
            f"No overfitting: validation loss ended at {end:.3g}, within {TOLERANCE:.0%} of its "
            f"lowest ({floor:.3g} at step {lowest['step']:,}).{_gap_words(last)}"
        )
    rise = f"validation loss rose from {floor:.3g} to {end:.3g}"
    if change is None:
        return f"From step {lowest['step']:,} on, {rise}; the training loss is not known."
    first, second = _loss(lowest, "train"), _loss(last, "train")
    if change >= 0:
        return (
            f"No overfitting, but {rise} after step {lowest['step']:,} and training loss did not "
            f"fall either ({first:.3g} to {second:.3g}): the learning rate may be too high."
        )
    after = rows[rows.index(lowest) + 1]  # the rise belongs to the phase that came next
    return (
        f"Overfitting set in after step {lowest['step']:,}{_epoch(lowest)}, in "
        f"{phase_title(int(after['phase']), phases)}: {rise} while training loss fell from "
        f"{first:.3g} to {second:.3g}. {_kept(best, lowest, metric)}"
    )


def _epoch(row: Record) -> str:
    return f" (epoch {float(row['epoch']):.3g})" if row.get("epoch") is not None else ""


def _kept(best: Record, lowest: Record, metric: str) -> str:
    kept = f"The checkpoint of step {best['step']:,} was kept"
    if int(best["step"]) > int(lowest["step"]):
        return f"{kept}: {metric} was still best there."
    return f"{kept}."


def _gap_words(row: Record) -> str:
    found = gap(row, "loss", "min")
    if found is None:
        return ""
    side = "above" if found >= 0 else "below"
    return f" The last validation loss lies {abs(found):.2g} {side} that of the training rows."
