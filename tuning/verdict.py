"""What a search found out, in plain sentences that claim no more than the data (pure)."""

import math
import statistics
from collections.abc import Callable, Sequence

from unfreeze.jobs.page import SPACE, apart, duration, finite, is_share, percent, score, title
from unfreeze.jobs.verdict import number
from unfreeze.tuning.grouping import (
    Comparison,
    Data,
    Range,
    best_metric,
    blocks_frozen,
    compare,
    epochs_frozen,
    grouped,
    range_text,
)


def verdict(result: Data) -> list[str]:
    """Three to six sentences on a search; `result` is result.json, with or without `verdict`.

    Is the winner better than the default, did a longer or a deeper freeze help, when did
    overfitting set in, how much too good did the best trial look, and what did sharing save.
    """
    found = [
        _winner_against_default(result),
        _did_it_help(result, epochs_frozen, "freeze length", _epochs),
        _did_it_help(result, blocks_frozen, "freeze depth", _blocks),
        _overfitting(result),
        _optimism(result),
        _saved(result),
    ]
    return [sentence.replace(SPACE, " ") for sentence in found if sentence]


def between(low: float, high: float, metric: str) -> str:
    """The ends of an interval of a difference: +0.4 to +3.3 points."""
    return f"{apart(low, metric).removesuffix(f'{SPACE}points')} to {apart(high, metric)}"


def plural(number: int, noun: str) -> str:
    """1 trial, 1,000 trials."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _epochs(ends: Range) -> str:
    return f"{range_text(ends)} {'epoch' if ends == (1, 1) else 'epochs'}"


def _blocks(ends: Range) -> str:
    return f"{range_text(ends)} {'block' if ends == (1, 1) else 'blocks'}"


def _size(value: float, metric: str) -> str:
    """How large a difference is, without its sign."""
    return apart(abs(value), metric).removeprefix("+")


# The winner


def _winner_against_default(result: Data) -> str:
    finalists, winner = result["finalists"], result.get("winner")
    default = next((f for f in finalists if f["is_default"]), None)
    if not winner:
        return "There is no winner: no trial finished with every seed."
    if default and default["trial"] == winner["trial"]:
        if len(finalists) < 2:
            return "The default settings won, but there was nothing to compare them with."
        return "The default settings won: the search gives no reason to leave them."
    test = result.get("test")
    if test and test.get("default") and test.get("difference"):
        return _on_test_rows(result, test)
    chosen = next((f for f in finalists if f["is_winner"]), None)
    if not default or not chosen:
        return (
            "Whether the winner is better than the default cannot be said: the default did not "
            "finish with every seed."
        )
    return _on_validation_rows(result, chosen, default)


def _on_test_rows(result: Data, test: Data) -> str:
    metric = result["metric"]
    low, high = (finite(end) for end in test["difference"]["interval"])
    sides = (
        f"{score(test['winner']['metric'], metric)} against "
        f"{score(test['default']['metric'], metric)} {title(metric)} on the test rows"
    )
    if low is None or high is None:
        return f"The winner has {sides}; how certain that is, is not known."
    change = (
        f"a difference of {apart(finite(test['difference']['metric']), metric)} "
        f"(95 % interval {between(low, high, metric)}"
    )
    if low <= 0 <= high:
        return f"The winner and the default cannot be told apart: {sides}, {change}, 0 among it)."
    side = "better" if (low > 0) == (result["mode"] == "max") else "worse"
    return f"The winner is {side} than the default: {sides}, {change})."


def _on_validation_rows(result: Data, chosen: Data, default: Data) -> str:
    metric, sign = result["metric"], 1 if result["mode"] == "max" else -1
    sides = (
        f"{score(chosen['mean'], metric)} against {score(default['mean'], metric)} {title(metric)} "
        "on the validation rows, which also chose the winner"
    )
    a, b = (
        [end for x in f.get("interval") or () if (end := finite(x)) is not None]
        for f in (chosen, default)
    )
    if len(a) != 2 or len(b) != 2:
        return f"The winner has {sides}; how certain that is, is not known."
    if a[0] <= b[1] and b[0] <= a[1]:
        return (
            f"The winner and the default cannot be told apart: {sides}, and their 95 % intervals "
            "overlap."
        )
    side = "better" if sign * (chosen["mean"] - default["mean"]) > 0 else "worse"
    return (
        f"The winner looks {side} than the default: {sides}, and their 95 % intervals do not "
        "overlap."
    )


# Freezing


def _did_it_help(
    result: Data,
    value: Callable[[Data], float | None],
    what: str,
    name: Callable[[Range], str],
) -> str | None:
    """By the trials that ran their length. None if they do not differ in `what`."""
    metric, sign = result["metric"], 1 if result["mode"] == "max" else -1
    finished = [t for t in result["trials"] if t["state"] == "finished"]
    groups = grouped([t for t in finished if best_metric(t) is not None], value, into=3)
    if len(groups) < 2:
        return None
    names = [name(ends) for ends, _ in groups]
    scores = [[m for t in some if (m := best_metric(t)) is not None] for _, some in groups]
    means = [statistics.fmean(some) for some in scores]
    listed = ", ".join(
        f"{one} {score(mean, metric)} (best {score(_best(some, sign), metric)}, "
        f"{plural(len(some), 'trial')})"
        for one, mean, some in zip(names, means, scores, strict=True)
    )
    top = max(range(len(means)), key=lambda i: sign * means[i])
    other = top or len(means) - 1  # against the least frozen: the best, or else the most frozen
    found = compare(scores, 0, other)
    side = "better" if sign * found.difference > 0 else "worse"
    went = f"{names[other]} went with a {side} {title(metric)} than {names[0]}"
    rows = _row_margin(result, means[0], means[other])
    said = _how_certain(found, went, f"{names[other]} and {names[0]}", metric, rows)
    return f"Mean {title(metric)} of the finished trials by {what}: {listed}; {said}."


def _best(values: Sequence[float], sign: int) -> float:
    return max(values, key=lambda value: sign * value)


def _row_margin(result: Data, *means: float) -> float | None:
    """Half the 95 % interval of a difference of two shares, as if each had rows of its own. All
    trials share their rows, so the spread of trials does not hold the luck of the rows."""
    rows = (result.get("rows") or {}).get("validation")
    if not rows or not is_share(result["metric"]):
        return None
    return 1.96 * math.sqrt(sum(max(0.0, mean * (1 - mean)) for mean in means) / rows)


def _how_certain(
    found: Comparison, went: str, both: str, metric: str, row_margin: float | None
) -> str:
    """`went` is only said if the luck of the trials would hardly do it."""
    if found.spread is None or found.margin is None:
        return f"there are too few trials to tell {both} apart"
    size, spread = _size(found.difference, metric), _size(found.spread, metric)
    if abs(found.difference) <= found.margin:
        return (
            f"{both} cannot be told apart: they differ by {size}, trials of one group by {spread}"
        )
    if abs(found.difference) <= found.spread:
        return f"{went} by {size}, a tendency only, as trials of one group differ by {spread}"
    if row_margin is not None and abs(found.difference) <= row_margin:
        return (
            f"{went} by {size}, a tendency only, as so few validation rows leave up to "
            f"{_size(row_margin, metric)} to chance"
        )
    return f"{went} by {size}, which is more than trials of one group differ by ({spread})"


# Overfitting


def _overfitting(result: Data) -> str:
    """A best before the last validation, in most trials, is taken for overfitting; in a few it
    may be noise. A trial that ends as good as its best does not count."""
    metric = result["metric"]
    ends = [
        (trial, last)
        for trial in result["trials"]
        if best_metric(trial) is not None
        and len(trial["validations"]) > 1
        and (last := number(trial["validations"][-1], "validation", metric)) is not None
    ]
    if not ends:
        return "When overfitting set in cannot be said: no trial has two validations and a metric."
    early = [trial for trial, last in ends if last != best_metric(trial)]
    said = (
        f"In {len(early):,} of {plural(len(ends), 'trial')} the best validation came before the "
        "last one"
    )
    where = [_unfrozen_at_best(t) for t in early]
    if found := [epochs for epochs in where if epochs is not None]:
        typical = statistics.median(found)
        said += f", typically {f'{typical:.2g} epochs after' if typical else 'before'} unfreezing"
    if 2 * len(early) > len(ends):
        said += ", which points to overfitting from there on"
    return f"{said}{_gaps(result)}."


def _unfrozen_at_best(trial: Data) -> float | None:
    lines = (v for v in trial["validations"] if v["step"] == trial["best"]["step"])
    return next((finite(line.get("since_unfreezing")) for line in lines), None)


def _gaps(result: Data) -> str:
    known = [
        (ends, statistics.median(gaps))
        for ends, some in grouped(result["trials"], epochs_frozen, into=3)
        if (gaps := [gap for t in some if (gap := finite(t.get("gap"))) is not None])
    ]
    if not known:
        return ""
    metric = result["metric"]
    (first, small), (last, large) = known[0], known[-1]
    said = (
        f"; the median gap between training and validation {title(metric)} at the best was "
        f"{apart(small, metric)} after a freeze of {_epochs(first)}"
    )
    return said if len(known) < 2 else f"{said} and {apart(large, metric)} after {_epochs(last)}"


# What picking and sharing did


def _optimism(result: Data) -> str | None:
    found, metric = result.get("optimism") or {}, result["metric"]
    apparent, corrected = finite(found.get("apparent")), finite(found.get("corrected"))
    if apparent is None or corrected is None:
        return None
    finished = [t for t in result["trials"] if t["state"] == "finished"]
    picked = sum(best_metric(t) is not None for t in finished)
    said = f"The best validation {title(metric)}, {score(apparent, metric)},"
    too_good = (apparent - corrected) * (1 if result["mode"] == "max" else -1)
    if picked < 2:
        return f"{said} was not picked among others, so it is not too good for that reason."
    if too_good <= 0:
        return f"{said} does not look too good for having been picked among {picked:,} trials."
    return (
        f"{said} looks {_size(too_good, metric)} too good for having been picked among {picked:,} "
        f"trials: on rows that did not pick it, {score(corrected, metric)} is to be expected."
    )


def _saved(result: Data) -> str:
    saved = result.get("saved") or {}
    run, shared = int(saved.get("steps_run", 0)), int(saved.get("steps_shared", 0))
    if not result.get("sharing", True):
        return f"Sharing was off: all {plural(run, 'step')} were run."
    if not shared:
        return f"Sharing saved nothing: all {plural(run, 'step')} were run."
    return (
        f"Sharing saved {shared:,} of {plural(run + shared, 'step')} "
        f"({percent(shared / (run + shared))}), about {duration(saved['seconds'])} of work."
    )
