"""search.yaml and dotted overrides -> Search, with every mistake in one answer."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from unfreeze.jobs import ConfigError, JobConfig, parse_job
from unfreeze.jobs.job_file import apply_overrides, job_schema, mistake_lines, read_yaml
from unfreeze.jobs.metrics import Mode
from unfreeze.jobs.nearest import nearest
from unfreeze.jobs.tasks import open_task
from unfreeze.tuning.config import KINDS, Dimension, SearchConfig
from unfreeze.tuning.space import Space, extremes, reasons_against_grid, with_settings

DEFAULT_TRIALS = 24
MOST_GRID_POINTS = 10_000
"""A grid of more points is taken for a mistake unless `trials` says how many to try."""

_SAME_ROWS = "trials must be judged on the same rows"
_NOT_LEARNED = "it is not part of what is learned, so it is the same for all trials"
_NEVER_SEARCHED = {
    "name": "the search names its trials",
    "task": "trials must be judged by the same task",
    "data": _SAME_ROWS,
    "scale": _NOT_LEARNED,
    "checkpoints": _NOT_LEARNED,
    "storage": _NOT_LEARNED,
    "training": "name one setting under it, such as training.batch_size",
    "training.seed": "seeds are never searched; finalists are run with several (finalists.seeds)",
    "training.metric": "trials must be compared by the same metric; set metric for all of them",
    "freeze_epochs": "search phases.0.for instead",
}
_CUTS_EXAMPLES = ("data.max_length", "model", "model.path", "model.revision")
"""For tasks whose examples are cut out of the stream of all rows."""


@dataclass(frozen=True)
class Search:
    """A search whose settings were found to be possible."""

    config: SearchConfig
    """As written; `job` holds the settings of the base job."""
    job: JobConfig
    """The base job: named after the search, judged by its metric. It is the default trial."""
    space: Space

    @property
    def metric(self) -> str:
        """Validation metric that trials are compared by, such as "accuracy"."""
        return self.job.metric

    @property
    def mode(self) -> Mode:
        """Whether more of the metric is better."""
        return self.job.mode

    @property
    def trials(self) -> int:
        """How many trials to draw at most; for a grid, no more than it has."""
        if self.config.searcher != "grid":
            return self.config.trials or DEFAULT_TRIALS
        return sum(1 for _ in islice(self.space.grid(), self.config.trials))


def load_search(path: str | Path, overrides: Sequence[str] = ()) -> Search:
    """The search in the file, with `dotted.key=value` overrides. Raises ConfigError.

    `job.training.batch_size=8` sets something in the base job,
    `space.phases.0.for.choice=[1ep]` something in the space, `space.phases.0.for=` leaves it out.
    """
    path = Path(path)
    return parse_search({"name": path.stem, **read_yaml(path)}, overrides, path.parent)


def parse_search(
    settings: dict[str, Any], overrides: Sequence[str] = (), folder: Path | None = None
) -> Search:
    """The search in plain data. Raises ConfigError with all mistakes.

    A path of a job file is looked up in `folder` first, then in the working directory.
    """
    if not isinstance(settings, dict):
        raise ConfigError(f"expected settings (key: value), got {type(settings).__name__}")
    of_job = [o for o in overrides if o.startswith("job.")]
    of_space = [o for o in overrides if o.startswith("space.")]
    others = [o for o in overrides if o not in of_job and o not in of_space]
    settings, mistakes = apply_overrides(settings, others)
    mistakes += _override_space(settings, of_space)

    job, more = _base_job(settings, [o.removeprefix("job.") for o in of_job], folder)
    mistakes += more
    config = None
    try:
        # What is wrong with the job has its own lines already.
        config = SearchConfig.model_validate(settings | {"job": job.to_data() if job else {}})
    except ValidationError as error:
        mistakes += mistake_lines(error, SearchConfig)
    if job is not None:
        mistakes += _disagreeing_mode(settings.get("mode"), job)
    space, more = _space(settings.get("space"), job, settings.get("searcher"))
    mistakes += more
    if config and space and not mistakes:
        mistakes += _endless_grid(config, space)
    if mistakes or config is None or job is None or space is None:
        raise ConfigError(sorted(set(mistakes), key=mistakes.index))
    job = job.model_copy(update={"name": config.name})
    return Search(config.model_copy(update={"job": job.to_data()}), job, space)


def _override_space(settings: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """Puts `space.dotted.key[.kind]=value` into the space: its keys have dots of their own."""
    mistakes = []
    space = settings.setdefault("space", {}) if overrides else None
    for override in overrides:
        name, equals, text = override.removeprefix("space.").partition("=")
        key, _, part = name.rpartition(".")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            mistakes.append(f"space.{name}: {text!r} is not YAML")
            continue
        if not equals or not name:
            mistakes.append(f"{override}: expected key=value")
        elif not isinstance(space, dict):
            mistakes.append(f"space.{name}: there is nothing at this place to set")
        elif part not in Dimension.model_fields and (key not in space or isinstance(value, dict)):
            space[name] = value
            if value is None:
                del space[name]
        else:
            old = space.get(key)
            kept = dict(old) if isinstance(old, dict) else {}
            if part in KINDS:  # a dimension has one kind, so the new one replaces the old
                kept = {k: v for k, v in kept.items() if k not in KINDS}
            space[key] = kept | {part: value}
    return mistakes


def _base_job(
    settings: Mapping[str, Any], overrides: Sequence[str], folder: Path | None
) -> tuple[JobConfig | None, list[str]]:
    """The base job, judged by the search's metric, and what is wrong with it."""
    given = settings.get("job")
    metric = settings.get("metric")
    if given is None:
        return None, ["job: missing"]
    if isinstance(given, str):
        try:
            given = read_yaml(_job_file(given, folder))
        except ConfigError as error:
            return None, [f"job: {line}" for line in error.mistakes]
    if not isinstance(given, dict):
        kind = type(given).__name__
        return None, [f"job: expected the path of a job file or its settings, got {kind}"]
    if isinstance(metric, str):
        metric = metric.removeprefix("validation/")
        overrides = [*overrides, f"training.metric={json.dumps(metric)}"]
    try:
        # The search gives the name, after its own was found to be right.
        return parse_job(given | {"name": "search"}, [*overrides, "name=search"]), []
    except ConfigError as error:
        return None, [_line_of_job(line, metric) for line in error.mistakes]


def _job_file(given: str, folder: Path | None) -> Path:
    """Where the job file is. Raises ConfigError."""
    places = [Path(given)] if folder is None else [folder / given, Path(given)]
    found = next((place for place in places if place.is_file()), None)
    if found:
        return found
    there = {file.name for place in places for file in place.parent.glob("*.yaml")}
    near = nearest(Path(given).name, sorted(there))
    hint = f"; did you mean {Path(given).parent / near}?" if near else ""
    raise ConfigError(f"{given}: no such file{hint}")


def _line_of_job(line: str, metric: str | None) -> str:
    where, _, problem = line.partition(": ")
    if where == "training.metric" and metric is not None:
        return f"metric: {problem}"
    return f"job: {line}" if " " in where else f"job.{line}"


def _disagreeing_mode(mode: Any, job: JobConfig) -> list[str]:
    right = job.mode
    if mode not in ("max", "min") or mode == right:
        return []
    better = "higher" if right == "max" else "lower"
    return [f"mode: {job.metric} is better when {better}, so {right}, got {mode!r}"]


def _endless_grid(config: SearchConfig, space: Space) -> list[str]:
    if config.searcher != "grid" or config.trials is not None:
        return []
    if sum(1 for _ in islice(space.grid(), MOST_GRID_POINTS + 1)) <= MOST_GRID_POINTS:
        return []
    return [f"trials: the grid has more than {MOST_GRID_POINTS} points; say how many to try"]


def _space(data: Any, job: JobConfig | None, searcher: Any) -> tuple[Space | None, list[str]]:
    """The space, and what is wrong with it. The form of its dimensions is SearchConfig's."""
    dimensions: dict[str, Dimension] = {}
    for key, dimension in data.items() if isinstance(data, dict) else ():
        try:
            dimensions[str(key)] = Dimension.model_validate(dimension)
        except ValidationError:
            continue  # SearchConfig has said so; the others can be tried all the same
    complete = isinstance(data, dict) and len(dimensions) == len(data)
    space, mistakes = None, []
    try:
        space = Space(dimensions)
    except ConfigError as error:
        # A condition on a dimension that was left out above is no mistake of its own.
        mistakes += error.mistakes if complete else []
    for key, dimension in dimensions.items():
        if searcher == "grid":
            mistakes += reasons_against_grid(key, dimension)
        if reason := _reason_against(key, job):
            mistakes.append(f"space.{key}: {reason}")
        elif job and (space or not dimension.when):
            condition = space.condition_of(key) if space else {}
            mistakes += _what_the_job_refuses(key, dimension, condition, job)
    return space, mistakes


def _reason_against(key: str, job: JobConfig | None) -> str | None:
    """Why the setting cannot be searched; None if it can."""
    if key in _CUTS_EXAMPLES and job and open_task(job.task).pack(job.data.max_length or 1):
        return "it decides where examples are cut out of the text; " + _SAME_ROWS
    if key == "data.max_length":
        return None
    if key in _NEVER_SEARCHED:
        return _NEVER_SEARCHED[key]
    first = key.partition(".")[0]
    return _NEVER_SEARCHED.get(first) if first != "training" else None


def _what_the_job_refuses(
    key: str, dimension: Dimension, condition: Mapping[str, Any], job: JobConfig
) -> Iterator[str]:
    """Tries each choice, and both ends of numbers, where the dimension is active."""
    try:
        with_settings(job, condition)
    except ConfigError:
        return  # said of the condition's own dimension
    for value in extremes(dimension):
        try:
            with_settings(job, {**condition, key: value})
        except ConfigError as error:
            for line in error.mistakes:
                yield f"space.{line}" if line.startswith(key) else f"space.{key}: {line}"


def search_schema() -> dict[str, Any]:
    """JSON schema of a search file, short forms included."""
    schema = SearchConfig.model_json_schema(by_alias=True)
    schema["required"].remove("name")
    job = job_schema()
    schema["$defs"] |= job.pop("$defs")
    schema["$defs"]["JobConfig"] = job
    properties = schema["properties"]
    properties["job"] = {
        "anyOf": [{"type": "string"}, {"$ref": "#/$defs/JobConfig"}],
        "description": properties["job"]["description"],
    }
    scheduler = properties["scheduler"]
    kept = {name: scheduler.pop(name) for name in ("description", "default") if name in scheduler}
    kind = schema["$defs"]["SchedulerConfig"]["properties"]["kind"]
    properties["scheduler"] = {"anyOf": [scheduler, {"enum": kind["enum"]}], **kept}
    properties["space"]["minProperties"] = 1
    return schema
