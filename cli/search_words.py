"""Trials and results of a search, in words (pure)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from unfreeze.cli.words import count, duration

MOST_SHOWN = 10
_GROUPS = ("phases.", "training.")


def short(key: str) -> str:
    """phases.1.learning_rate -> "1.learning_rate": what tables have room for."""
    for group in _GROUPS:
        key = key.removeprefix(group)
    return key


def value(setting: Any) -> str:
    """A value of a setting; "-" where the job leaves it to its default."""
    if setting is None:
        return "-"
    if isinstance(setting, float):
        return f"{setting:.4g}"
    return setting if isinstance(setting, str) else json.dumps(setting)


def settings(found: Mapping[str, Any], *, full: bool = False) -> str:
    """0.for=2ep 1.learning_rate=3e-05; with `full`, the keys as they are written in files."""
    return " ".join(f"{key if full else short(key)}={value(v)}" for key, v in found.items())


def number(metric: float | None) -> str:
    """0.8123; "-" if there is none."""
    return "-" if metric is None else f"{metric:.4f}"


def signed(difference: float | None) -> str:
    """+0.0123; "-" if there is none."""
    return "-" if difference is None else f"{difference:+.4f}"


def interval(bounds: Sequence[float], *, sign: bool = False) -> str:
    """[0.7990, 0.8430]"""
    write = signed if sign else number
    return f"[{write(bounds[0])}, {write(bounds[1])}]"


def trial(which: Mapping[str, Any]) -> str:
    """trial 3, seed 2: a trial, or a finalist's run."""
    name = f"trial {which['number']}"
    return f"{name}, seed {which['seed']}" if which.get("seed") is not None else name


def shared(steps_run: int, steps_shared: int) -> str:
    """30 of 120 steps (25%): those that did not have to be run."""
    total = steps_run + steps_shared
    return f"{count(steps_shared)} of {count(total)} steps ({steps_shared / max(total, 1):.0%})"


def end_of_trial(message: Mapping[str, Any], metric: str) -> str:
    """One line about a trial that is over: its settings, how far it came, why it ended."""
    parts = [f"trial {message['number']} {message['state']}  {settings(message['settings'])}"]
    if message["metric"] is not None:
        reached = f"{metric} {number(message['metric'])}"
        if message["epoch"] is not None:
            reached += f" at epoch {message['epoch']:.2f}, gap {signed(message['gap'])}"
        parts.append(reached)
    parts.append(message["why"])
    if cost := message["cost"]:
        parts.append(_started_from(cost))
    return "  ".join(part for part in parts if part)


def _started_from(cost: Mapping[str, Any]) -> str:
    words = duration(cost["seconds"])
    if not cost["steps_shared"]:
        return words
    return f"{words}, began with {shared(cost['steps_run'], cost['steps_shared'])} of other trials"


def shown_lines(data: Mapping[str, Any]) -> list[str]:
    """A finished search in the terminal: trials, finalists, and what came of them."""
    trials, metric, lanes = data["trials"], data["metric"], data["lanes"]
    searched = f"{data['searcher']}, {data['scheduler']}, {lanes['count']} lanes"
    return [
        f"{how_many(trials)}; {searched}, {duration(data['seconds'])}",
        *(_shown_trial(trial, metric) for trial in _best_first(trials, data["mode"])[:MOST_SHOWN]),
        *_more(len(trials)),
        *(_shown_finalist(finalist, metric) for finalist in data["finalists"]),
        *result_lines(data),
    ]


def _best_first(trials: Sequence[Mapping[str, Any]], mode: str) -> list[Mapping[str, Any]]:
    sign = -1 if mode == "max" else 1
    known = [trial for trial in trials if trial["best"]]
    return sorted(known, key=lambda trial: sign * trial["best"]["metric"]) + [
        trial for trial in trials if not trial["best"]
    ]


def _more(trials: int) -> list[str]:
    return [f"... and {count(trials - MOST_SHOWN)} more"] if trials > MOST_SHOWN else []


def _shown_trial(trial: Mapping[str, Any], metric: str) -> str:
    best = trial["best"]
    reached = f"{metric} {number(best['metric'])}, gap {signed(trial['gap'])}" if best else "-"
    default = " (default)" * trial["is_default"]
    words = settings(trial["settings"])
    return f"trial {trial['number']}{default}  {words}  {reached}  {trial['why']}"


def _shown_finalist(finalist: Mapping[str, Any], metric: str) -> str:
    mark = " (winner)" * finalist["is_winner"]
    seeds = f"mean of {len(finalist['seeds'])} seeds"
    found = f"{metric} {number(finalist['mean'])} {interval(finalist['interval'])}"
    return f"finalist {finalist['number']}{mark}  {found}, {seeds}"


def how_many(trials: Sequence[Mapping[str, Any]]) -> str:
    """12 trials: 8 finished, 4 stopped."""
    states = [t["state"] for t in trials]
    counts = {state: states.count(state) for state in ("finished", "stopped", "failed")}
    each = ", ".join(f"{count(n)} {state}" for state, n in counts.items() if n)
    return f"{count(len(trials))} trials: {each}"


def result_lines(data: Mapping[str, Any]) -> list[str]:
    """What came of a search: the winner, how good it is, what was saved, the verdict."""
    winner, saved, metric = data["winner"], data["saved"], data["metric"]
    steps = shared(saved["steps_run"], saved["steps_shared"])
    prefixes = f"{count(saved['prefixes'])} shared beginning(s)"
    not_run = f"{steps} not run again, about {duration(saved['seconds'])}; {prefixes}"
    return [
        f"winner      trial {winner['number']}  {settings(winner['settings'], full=True)}",
        f"            {winner['reason']}",
        *(_test_lines(data["test"], metric) if data["test"] else [_validation_line(data)]),
        f"saved       {not_run}" if data["sharing"] else "saved       nothing: sharing is off",
        *data["verdict"],
    ]


def _test_lines(test: Mapping[str, Any], metric: str) -> list[str]:
    times = "once" if test["touches"] == 1 else f"{test['touches']} times, for as many winners"
    rows = f"{count(test['rows'])} rows, looked at {times}"

    def side(name: str) -> str:
        found = test[name]
        return f"{name:8} {metric} {number(found['metric'])} {interval(found['interval'])}"

    lines = [f"test        {side('winner')}  ({rows})"]
    if test["default"] is None:
        return [*lines, "            default  failed, so there is nothing to compare with"]
    gain = test["difference"]
    between = f"{signed(gain['metric'])} {interval(gain['interval'], sign=True)}"
    return [*lines, f"            {side('default')}", f"            difference {between}"]


def _validation_line(data: Mapping[str, Any]) -> str:
    found, metric = data["optimism"], data["metric"]
    return (
        f"validation  {metric} {number(found['corrected'])} {interval(found['interval'])}  "
        f"({number(found['apparent'])} before the correction for choosing the best of "
        f"{count(len(data['trials']))}; there are no test rows)"
    )


def place_lines(uri: str, run: str) -> list[str]:
    """Where the files of a finished search are. `run`: what other verbs call it by."""
    lines = [f"model       {uri}/model", f"report      {uri}/report.html"]
    if uri.startswith("s3://"):
        lines.append(f"            unfreeze report {run} --output report.html  fetches it")
    lines.append(f"best job    {uri}/best_job.yaml")
    if "://" not in uri:
        lines.append(f"            unfreeze train {uri}/best_job.yaml  trains it again")
    return lines


def plan_lines(plan: Mapping[str, Any]) -> list[str]:
    """What a search would do. `plan`: the data of tuning/plan.py's SearchPlan."""
    aim = "highest" if plan["mode"] == "max" else "lowest"
    wide = max(map(len, plan["space"]))
    workers = plan["workers"]
    each = f"{workers['count']} worker(s) with {workers['cpus']:g} CPU(s)"
    if workers["gpus"]:
        each += f" and {workers['gpus']:g} GPU(s)"
    most = plan["finalists"] * plan["seeds"]
    rows = ", ".join(f"{count(n)} {name}" for name, n in plan["rows"].items())
    return [
        f"{plan['name']}: {count(plan['trials'])} trials; the {aim} {plan['metric']} is the best",
        f"the job as it is, then {_DRAWS[plan['searcher']]}",
        *(f"  {key:{wide}}  {words}" for key, words in plan["space"].items()),
        f"scheduler  {_scheduler_words(plan)}",
        f"lanes      {plan['lanes']} on this machine, each of {each}",
        f"steps      {_steps_words(plan)}",
        *(f"           {_place_words(place)}" for place in plan["shared_places"]),
        f"finalists  the best {plan['finalists']}, and the default if it is none of them, with "
        f"{plan['seeds']} other seeds each: {most} to {most + plan['seeds']} runs more",
        f"rows       {rows}; {count(plan['steps_per_epoch'])} steps per epoch",
    ]


_DRAWS = {
    "random": "random draws from",
    "grid": "every combination of",
    "optuna": "what goes well (TPE) from",
}


def _scheduler_words(plan: Mapping[str, Any]) -> str:
    kind, after = plan["scheduler"], f"{plan['grace_epochs']:.3g} epochs since unfreezing"
    if kind == "none":
        return "none: every trial runs its length"
    if kind == "median":
        return f"median: trials below the median of the others are stopped, after {after}"
    rungs = ", ".join(f"{rung:.3g}" for rung in plan["rungs"])
    return (
        f"asha: after {rungs} epochs since unfreezing, the best 1 in {plan['reduction_factor']} "
        "of the trials go on"
    )


def _steps_words(plan: Mapping[str, Any]) -> str:
    steps = f"{count(plan['steps'])} at most in "
    few = plan["planned"] < plan["trials"]
    steps += f"the first {count(plan['planned'])} trials" if few else "all trials"
    if not plan["sharing"]:
        return f"{steps}; sharing is off"
    if not plan["steps_shared"]:
        return f"{steps}; no two trials begin alike"
    about = "about " * (plan["searcher"] == "optuna")
    share = plan["steps_shared"] / plan["steps"]
    return f"{steps}, {about}{count(plan['steps_shared'])} ({share:.0%}) of them not run again"


def _place_words(place: Mapping[str, Any]) -> str:
    step = place["step_in_phase"]
    where = f"after {count(step)} steps" if step >= 0 else "at its plateau"
    states = place["states"]
    times = "one beginning" if states == 1 else f"{count(states)} beginnings"
    return f"phase {place['phase']} {where}: {count(place['trials'])} trials share {times}"
