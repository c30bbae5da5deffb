"""`unfreeze search`, from start to end: check, start lanes, run trials, choose, judge, report."""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml

from unfreeze.cluster import cluster_resources, connect, local_resources
from unfreeze.jobs.config import JobConfig
from unfreeze.jobs.data.checks import GENERAL
from unfreeze.jobs.errors import ConfigError
from unfreeze.jobs.finish import versions
from unfreeze.jobs.identity import changed_settings, flat
from unfreeze.jobs.inputs import Inputs, gather_inputs
from unfreeze.jobs.launch import Show
from unfreeze.jobs.preflight import check_job
from unfreeze.storage import ObjectNotFound, ObjectStore, check_reachable, open_store
from unfreeze.tuning.broker_actor import BrokerHandle
from unfreeze.tuning.files import (
    BEST_JOB,
    FORMAT,
    GENERAL_STATISTICS,
    PREFIXES,
    REPORT,
    RESULT,
    SEARCH,
    STATISTICS,
    TEST_STATISTICS,
    root_of,
)
from unfreeze.tuning.finalists import Finals, pick_trials, read_statistics
from unfreeze.tuning.lanes import Lanes, count_lanes, workers_of_lane
from unfreeze.tuning.launch import SearchResult
from unfreeze.tuning.live import Live
from unfreeze.tuning.loggers import check_loggers
from unfreeze.tuning.proposers import GridProposer, OptunaProposer, Proposer, RandomProposer
from unfreeze.tuning.result import (
    expected_best_entry,
    finalist_entries,
    general_entry,
    optimism_entry,
    saved_entry,
    test_entry,
    trial_entries,
    winner_entry,
)
from unfreeze.tuning.search_file import Search
from unfreeze.tuning.space import extremes, with_settings
from unfreeze.tuning.trials import Forks, Trials, read_trials
from unfreeze.tuning.verdict import verdict

# Settings of a search that may change from one attempt to the next: how it runs, and for how long.
_FREE = ("trials", "lanes", "sharing", "max_failures", "checkpoint_every_s", "logging", "finalists")


def carry_on(search: Search, address: str | None, show: Show) -> SearchResult:
    """See run_search."""
    began = time.monotonic()
    have = local_resources() if address is None else None
    check_job(search.job, have)
    check_loggers(search.config)
    if have:
        count_lanes(search.config.lanes, workers_of_lane(search.job, have), have)
    inputs = gather_inputs(search.job)
    forks = Forks(search, inputs)
    check_choices(search, forks)
    storage = search.job.storage
    store = open_store(storage.uri, endpoint=storage.endpoint)
    check_reachable(store)
    root = root_of(search.job)
    if finished := _finished(root, search):
        return SearchResult(root.uri, finished, was_finished=True)
    for warning in inputs.data.warnings:
        show({"kind": "warning", "text": warning})
    show({"kind": "checked", **inputs.counted})
    with connect(address):
        result = _run(search, inputs, forks, root, show)
    result["seconds"] = time.monotonic() - began
    result["verdict"] = verdict(result)
    write_result(root, result)
    show({"kind": "finished", "result": result, "uri": root.uri})
    return SearchResult(root.uri, result, was_finished=False)


def job_yaml(job: JobConfig) -> bytes:
    """The job as a file that `unfreeze train` runs as it is."""
    return yaml.safe_dump(job.to_data(), sort_keys=False).encode()


def write_result(root: ObjectStore, result: dict[str, Any]) -> None:
    """report.html, then result.json: a search with it is finished."""
    from unfreeze.tuning.report import build_report

    root.put(REPORT, build_report(result).encode())
    root.put(RESULT, json.dumps(result, indent=1).encode())


def check_choices(search: Search, forks: Forks) -> None:
    """Every choice of the space by itself, on the real model. Raises ConfigError."""
    mistakes = []
    for key, dimension in search.space.dimensions.items():
        for value in extremes(dimension):
            settings = search.space.condition_of(key) | {key: value}
            try:
                forks.of(with_settings(search.job, settings))
            except ConfigError as error:
                mistakes += [f"space.{key}: {line}" for line in error.mistakes]
    if mistakes:
        raise ConfigError(list(dict.fromkeys(mistakes)))


def _finished(root: ObjectStore, search: Search) -> dict[str, Any] | None:
    """The result, if there is one and no more trials are asked for. Raises ConfigError."""
    now = _settings_that_matter(search)
    try:
        before = yaml.safe_load(root.get(SEARCH))
    except ObjectNotFound:
        written = yaml.safe_dump({"format": FORMAT, **now}, sort_keys=False)
        root.put(SEARCH, written.encode())
        return None
    if before.pop("format", None) != FORMAT:
        text = "was begun by another version, which left other files; give the search another name"
        raise ConfigError(f"{root.uri} {text}")
    changes = changed_settings(flat(before), flat(now))
    if changes:
        raise ConfigError(
            [
                f"{root.uri} was begun with other settings; set them back, or give the search "
                "another name",
                *(f"  {line}" for line in changes),
            ]
        )
    try:
        result: dict[str, Any] = json.loads(root.get(RESULT))
    except ObjectNotFound:
        return None
    as_before = result["asked"] == _asked(search)
    return result if as_before else None


def _settings_that_matter(search: Search) -> dict[str, Any]:
    data = {k: v for k, v in search.config.to_data().items() if k not in _FREE}
    job = search.job.to_data()
    return json.loads(json.dumps({**data, "job": {k: job[k] for k in job if k != "scale"}}))  # type: ignore[no-any-return]


def _asked(search: Search) -> dict[str, Any]:
    """How much was asked for; asking for more goes on with a finished search."""
    return {"trials": search.trials, "finalists": search.config.finalists.model_dump()}


def _run(
    search: Search, inputs: Inputs, forks: Forks, root: ObjectStore, show: Show
) -> dict[str, Any]:
    from unfreeze.tuning.tune import run_trials

    with _started(search, root) as (broker, lanes):
        trials = Trials(search, forks, root, _proposer(search), broker)
        live = Live(search, broker, lanes, trials, show)
        run_trials(
            search,
            trials,
            broker,
            # A searcher that learns is asked as late as possible. The others lose nothing by
            # being ahead, and a lane then finds a trial that waits for no prefix.
            ahead=lanes.most + (1 if search.config.searcher == "optuna" else lanes.most + 2),
            steps_per_epoch=inputs.steps_per_epoch,
            each_turn=live.look,
        )
        live.wait_for_lanes()
        finals = Finals(search, trials, forks, root, broker)
        return _decide(search, inputs, trials, finals, live, root) | {
            "lanes": {
                "count": lanes.most,
                "workers": lanes.workers.count,
                "restarts": broker.ask("snapshot")["restarts"],
            }
        }


def _proposer(search: Search) -> Proposer:
    space, seed = search.space, search.config.seed
    if search.config.searcher == "grid":
        return GridProposer(space)
    if search.config.searcher == "optuna":
        return OptunaProposer(space, seed, search.mode)
    return RandomProposer(space, seed)


def _decide(
    search: Search, inputs: Inputs, trials: Trials, finals: Finals, live: Live, root: ObjectStore
) -> dict[str, Any]:
    """The finalists, the winner and its judgement: all of result.json that follows from them."""
    # Of an earlier session there may be more, if it was asked for more.
    written = {trial.id: record for trial, record in read_trials(root) if record}
    records = {id: written[id] for id in trials.all if id in written}
    top = search.config.finalists.top
    splits, metrics = inputs.data.splits, inputs.task.metrics
    metric = next(each for each in metrics if each.name == search.metric)
    picked = pick_trials(records, trials.all, top, search.mode)
    live.begin("finalists", [order.id for trial in picked for order in finals.orders(trial)])
    contenders = finals.run(picked, metric, live.wait_for)
    choice = finals.choose(contenders)
    winner = next(c for c in contenders if c.trial.id == choice.winner)
    default = next((c for c in contenders if c.trial.is_default), None)
    live.begin("judging", [])
    touches = finals.judge(winner, default, live.wait_for)
    root.put(BEST_JOB, job_yaml(finals.job_of_winner(winner)))
    test = general = None
    if "test" in splits:
        sides = finals.sides(winner, default, TEST_STATISTICS)
        test = test_entry(metric, *sides, metrics, touches)
    if GENERAL in splits:
        sides = finals.sides(winner, default, GENERAL_STATISTICS)
        general = general_entry(metric, finals.before(winner), *sides, metrics)
    finished = [id for id, r in records.items() if r["state"] == "finished" and r["best"]]
    statistics = (read_statistics(root, trials.all[id].place, STATISTICS) for id in finished)
    result = {
        "name": search.config.name,
        "kind": "search",
        "status": "finished",
        "asked": _asked(search),
        "metric": search.metric,
        "mode": search.mode,
        "space": search.config.to_data()["space"],
        "searcher": search.config.searcher,
        "scheduler": search.config.scheduler.kind,
        "sharing": search.config.sharing,
        "trials": trial_entries(trials.all, records),
        "finalists": finalist_entries(contenders, choice, search.mode),
        "winner": winner_entry(winner, choice, search),
        "test": test,
        "general": general,
        "optimism": optimism_entry(metric, statistics),
        "expected_best": expected_best_entry(records, search),
        "saved": saved_entry(records, len(known_prefixes(root))),
        "rows": {name: split.units for name, split in splits.items()},
        "unit_name": inputs.task.unit_name,
        "job": search.job.to_data(),
        "versions": versions(),
    }
    return result


@contextmanager
def _started(search: Search, root: ObjectStore) -> Iterator[tuple[BrokerHandle, Lanes]]:
    """Broker and lanes, which end with the block."""
    have = cluster_resources()
    workers = workers_of_lane(search.job, have)
    count_lanes(search.config.lanes, workers, have)
    broker = BrokerHandle.start(
        max_failures=search.config.max_failures, known_prefixes=known_prefixes(root)
    )
    with tempfile.TemporaryDirectory(prefix="unfreeze-ray-") as folder:
        lanes = Lanes(
            broker,
            workers,
            wanted=search.config.lanes,
            folder=folder,
            every_s=search.config.checkpoint_every_s,
        )
        try:
            yield broker, lanes
        except BaseException:  # nobody waits for trials after Ctrl-C
            lanes.end(patience_s=0)
            raise
        lanes.end()


def known_prefixes(root: ObjectStore) -> list[str]:
    """Keys of the fork points that are in the store."""
    keys = [info.key.split("/") for info in root.list(f"{PREFIXES}/")]
    return sorted({parts[1] for parts in keys if parts[-1] == "manifest.json"})
