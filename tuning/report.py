"""The report page of a search: one HTML file that needs no network.

Pure: the same result gives the same page, byte for byte. This file and `charts.py` decide what is
shown; how it looks, charts included, is in `report.html.j2`.
"""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from unfreeze.jobs.page import SPACE, apart, duration, finite, percent, render, score, title
from unfreeze.tuning.axes import setting_text
from unfreeze.tuning.charts import charts_of, winner_id
from unfreeze.tuning.config import KINDS
from unfreeze.tuning.grouping import Data, best_metric, blocks_frozen, epochs_frozen
from unfreeze.tuning.verdict import between, plural

MAX_COLUMNS = 6  # settings with a column of their own in the table of trials
GENERAL_SIDES = ("before", "default", "winner")
STATES = ("finished", "stopped", "failed")


def build_report(result: Data) -> str:
    """The page; `result` is result.json of a search."""
    charts = charts_of(result)
    return render(
        Path(__file__).with_name("report.html.j2"),
        result=result,
        metric=result["metric"],
        states=_states(result["trials"]),
        cards=_cards(result),
        dimensions=[_dimension(key, dim) for key, dim in result["space"].items()],
        finalists=[_finalist(finalist, result["metric"]) for finalist in result["finalists"]],
        general=_general(result),
        keys=_columns(result),
        rows=[_row(trial, result) for trial in result["trials"]],
        budget=_budget_sentence(charts["budget"], result["metric"]),
        saved=_saved_sentence(result),
        picked=_picked_sentence(result),
        settings=yaml.safe_dump(dict(result["job"]), sort_keys=False, allow_unicode=True),
        numbers=charts,
    )


def _states(trials: Sequence[Data]) -> str:
    found = Counter(trial["state"] for trial in trials)
    return ", ".join(f"{found[state]:,} {state}" for state in STATES if found[state])


def interval_text(ends: Sequence[Any] | None, metric: str) -> str:
    """79.1 % to 82.0 %."""
    known = [score(end, metric) for x in ends or () if (end := finite(x)) is not None]
    return " to ".join(known) if len(known) == 2 else "not known"


# The numbers on top


def _cards(result: Data) -> list[dict[str, str]]:
    """`title`, `value` and `note` of each."""
    trials, saved = result["trials"], result.get("saved") or {}
    share = finite(saved.get("share")) or 0.0
    seconds = finite(result.get("seconds"))
    left = [
        {
            "title": "Trials",
            "value": f"{len(trials):,}",
            "note": _states(trials) + (f"; {duration(seconds)} in all" if seconds else ""),
        },
        {
            "title": "Work saved",
            "value": percent(share),
            "note": f"of the steps; about {duration(finite(saved.get('seconds')) or 0)}",
        },
    ]
    return [*(_test_cards(result) if result.get("test") else _validation_cards(result)), *left]


def _test_cards(result: Data) -> list[dict[str, str]]:
    metric, test = result["metric"], result["test"]
    default, difference = test.get("default"), test.get("difference")
    ends = [finite(end) for end in (difference or {}).get("interval") or ()]
    known = len(ends) == 2 and None not in ends
    touches = test.get("touches", 1)
    return [
        {
            "title": f"Winner, test {title(metric)}",
            "value": score(finite(test["winner"]["metric"]), metric),
            "note": f"95 % interval: {interval_text(test['winner'].get('interval'), metric)}, "
            f"{test['rows']:,} rows, looked at {_times(touches)}",
        },
        {
            "title": "Default, test",
            "value": score(finite(default["metric"]), metric) if default else "not known",
            "note": f"95 % interval: {interval_text(default.get('interval'), metric)}"
            if default
            else "the default did not finish with every seed",
        },
        {
            "title": "Winner minus default",
            "value": apart(finite(difference["metric"]), metric) if difference else "not known",
            "note": f"95 % interval: {between(ends[0], ends[1], metric)}"  # type: ignore[arg-type]
            if known
            else "",
        },
    ]


def _validation_cards(result: Data) -> list[dict[str, str]]:
    metric, optimism = result["metric"], result.get("optimism") or {}
    winner = next((f for f in result["finalists"] if f["is_winner"]), None)
    default = next((f for f in result["finalists"] if f["is_default"]), None)
    return [
        {
            "title": f"Validation {title(metric)}, corrected",
            "value": score(finite(optimism.get("corrected")), metric),
            "note": f"95 % interval: {interval_text(optimism.get('interval'), metric)}; there is "
            "no test split, so this is the best trial's, less what picking it made it look better",
        },
        *(
            {
                "title": f"{side}, validation",
                "value": score(finite(f["mean"]), metric) if f else "not known",
                "note": f"{plural(len(f['seeds']), 'seed')}, 95 % interval: "
                f"{interval_text(f.get('interval'), metric)}"
                if f
                else "no run with other seeds",
            }
            for side, f in (("Winner", winner), ("Default", default))
        ),
    ]


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number:,} times"


# Sentences


def _budget_sentence(budget: Data, metric: str) -> str:
    values = [value for value in budget["value"] if value is not None]
    if not values:
        return "No trial has a metric."
    enough = budget["enough"]
    if enough is None:
        return "More trials gained nothing over one."
    return (
        f"One trial drawn at random has {score(values[0], metric)} to be expected, all "
        f"{len(values):,} have {score(values[-1], metric)}: {plural(enough, 'trial')} would have "
        "been enough for 95 % of that gain."
    )


def _saved_sentence(result: Data) -> str:
    saved = result.get("saved") or {}
    run, shared = int(saved.get("steps_run", 0)), int(saved.get("steps_shared", 0))
    if not shared:
        why = "sharing saved nothing" if result.get("sharing", True) else "sharing was off"
        return f"All {plural(run, 'step')} were run: {why}."
    return (
        f"Of {plural(run + shared, 'step')}, {run:,} were run and {shared:,} "
        f"({percent(shared / (run + shared))}) were taken over from trials that begin alike, at "
        f"{plural(int(saved.get('prefixes', 0)), 'fork point')}: about "
        f"{duration(finite(saved.get('seconds')) or 0)} saved."
    )


def _picked_sentence(result: Data) -> str:
    found, metric = result.get("optimism") or {}, result["metric"]
    optimism = finite(found.get("optimism"))
    if optimism is None:
        return "How much too good the best trial looks is not known."
    return (
        f"The best of many looks better than it is, here by "
        f"{apart(optimism, metric).removeprefix('+')}; the "
        f"corrected value is what the same way of picking has on rows that it did not pick on "
        f"({found.get('resamples', 0):,} resamples)."
    )


# Tables


def _dimension(key: str, dimension: Data) -> dict[str, str]:
    kind = next(kind for kind in KINDS if dimension.get(kind) is not None)
    texts = [setting_text(value) for value in dimension[kind]]
    unit = dimension.get("unit") or ""
    if kind == "choice":
        said = ", ".join(texts)
    else:
        said = f"{' to '.join(f'{text}{unit}' for text in texts)}, {kind}"
    conditions = (dimension.get("when") or {}).items()
    when = " and ".join(
        f"{other} is {' or '.join(setting_text(value) for value in values)}"
        for other, values in conditions
    )
    return {"key": key, "values": said, "when": when}


def _columns(result: Data) -> list[str]:
    """Settings that get a column of their own; if there are too many, they share one."""
    keys = list(result["space"])
    return keys if len(keys) <= MAX_COLUMNS else []


def _pairs(settings: Data) -> list[tuple[str, str]]:
    return [(key, setting_text(value)) for key, value in settings.items()]


def _finalist(finalist: Data, metric: str) -> dict[str, Any]:
    marks = [
        word
        for word, is_so in (
            ("winner", finalist["is_winner"]),
            ("default", finalist["is_default"]),
            ("within one standard error", finalist["within_one_se"]),
        )
        if is_so
    ]
    se = finite(finalist.get("se"))
    return {
        "number": finalist["number"],
        "marks": marks,
        "pairs": _pairs(finalist["settings"]),
        "mean": score(finite(finalist.get("mean")), metric),
        "se": "not known" if se is None else apart(se, metric).removeprefix("+"),
        "interval": interval_text(finalist.get("interval"), metric),
        "seeds": len(finalist["seeds"]),
        "frozen": percent(finalist["frozen_share"]),
    }


def _general(result: Data) -> list[dict[str, str]]:
    """A row for each metric of the general rows: before anything was trained, and after."""
    general = result.get("general")
    if not general:
        return []
    sides = {side: (general.get(side) or {}).get("scores", {}) for side in GENERAL_SIDES}
    return [
        {"metric": title(name)}
        | {side: score(finite(scores.get(name)), name) for side, scores in sides.items()}
        for name in sides["winner"]
    ]


def _row(trial: Data, result: Data) -> dict[str, Any]:
    """Each number is a pair: what to sort by, and what to show."""
    metric, cost = result["metric"], trial.get("cost") or {}
    best, gap = best_metric(trial), finite(trial.get("gap"))
    epochs, depth = epochs_frozen(trial), blocks_frozen(trial)
    ran = [x for v in trial["validations"][-1:] if (x := finite(v.get("epoch"))) is not None]
    seconds = finite(cost.get("seconds"))
    shared = (trial.get("shared") or {}).get("from_step")
    return {
        "number": trial["number"],
        "is_default": trial["is_default"],
        "is_winner": trial["id"] == winner_id(result),
        "state": trial["state"],
        "why": str(trial["why"]).removeprefix(trial["state"]).strip(),
        "pairs": _pairs(trial["settings"]),
        "settings": {
            key: (_sort_key(trial["settings"][key]), setting_text(trial["settings"][key]))
            for key in result["space"]
            if key in trial["settings"]
        },
        "numbers": [
            ("frozen", epochs, "" if epochs is None else f"{epochs:.3g}"),
            ("depth", depth, "" if depth is None else f"{depth:g}"),
            ("best", best, "" if best is None else score(best, metric)),
            ("gap", gap, "" if gap is None else apart(gap, metric).split(SPACE)[0]),
            ("epochs", ran[0] if ran else None, f"{ran[0]:.3g}" if ran else ""),
            ("time", seconds, "" if seconds is None else duration(seconds)),
            ("shared", shared, "" if shared is None else f"{shared:,}"),
        ],
    }


def _sort_key(value: Any) -> Any:
    """Numbers by size, lengths such as 2ep too; what is neither by its text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return setting_text(value)
    text = str(value).removesuffix("ep").removesuffix("st")
    try:
        number = float(text)
    except ValueError:
        return str(value)
    return number if math.isfinite(number) else str(value)
