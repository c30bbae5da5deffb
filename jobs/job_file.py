"""job.yaml and dotted overrides -> JobConfig, with every mistake in one answer."""

import json
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from unfreeze.jobs.config import JobConfig
from unfreeze.jobs.errors import ConfigError
from unfreeze.jobs.nearest import did_you_mean
from unfreeze.jobs.tasks import TASKS, mistakes_about, usual_phases


def load_job(path: str | Path, overrides: Sequence[str] = ()) -> JobConfig:
    """The job in the file, with `dotted.key=value` overrides. Raises ConfigError."""
    path = Path(path)
    settings = {"name": path.stem, **read_yaml(path)}
    return parse_job(settings, overrides)


def parse_job(settings: dict[str, Any], overrides: Sequence[str] = ()) -> JobConfig:
    """The job in plain data. Raises ConfigError with all mistakes."""
    if not isinstance(settings, dict):
        raise ConfigError(f"expected settings (key: value), got {type(settings).__name__}")
    in_phases = [override for override in overrides if override.startswith("phases.")]
    settings, mistakes = apply_overrides(
        settings, [override for override in overrides if override not in in_phases]
    )
    mistakes += _write_out_phases(settings)
    settings, more = apply_overrides(settings, in_phases)
    mistakes += more
    mistakes += mistakes_about(
        settings.get("task"),
        _part(settings, "data").get("columns"),
        _part(settings, "training").get("metric"),
    )
    try:
        job = JobConfig.model_validate(settings)
    except ValidationError as error:
        mistakes += mistake_lines(error, JobConfig)
    if mistakes:
        raise ConfigError(sorted(set(mistakes), key=mistakes.index))
    return job


def _part(settings: dict[str, Any], name: str) -> dict[str, Any]:
    part = settings.get(name)
    return part if isinstance(part, dict) else {}


def read_yaml(path: Path) -> dict[str, Any]:
    """A mapping from a YAML file. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as text: {error}") from error
    try:
        value = yaml.safe_load(text)
        json.dumps(value, default=str)  # raises ValueError if it contains itself
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: expected settings (key: value), got {type(value).__name__}")
    return value


def apply_overrides(
    settings: dict[str, Any], overrides: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """A copy of `settings` with `a.b.0.c=value` put in, and what could not be."""
    result = deepcopy(settings)
    mistakes = []
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key:
            mistakes.append(f"{override}: expected key=value")
            continue
        try:
            _put(result, key.split("."), yaml.safe_load(value))
        except (LookupError, TypeError, ValueError):
            mistakes.append(f"{key}: there is nothing at this place to set")
        except yaml.YAMLError:
            mistakes.append(f"{key}: {value!r} is not YAML")
    return result, mistakes


def _put(place: Any, keys: list[str], value: Any) -> None:
    *parents, last = keys
    for key in parents:
        if isinstance(place, list):
            place = place[int(key)]
        else:
            if not isinstance(place, dict):
                raise TypeError(key)
            if isinstance(place.get(key), str):  # a short form such as `model: path`
                place[key] = {_SHORT_FORMS[key]: place[key]}
            place = place.setdefault(key, {})
    if isinstance(place, list):
        place[int(last)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise TypeError(last)


# What config.py calls the alternatives of a setting; no names that people write.
_TAGS = ("<number>", "<range>", "<source>", "<length>", "<plateau>", "<auto>", "[key]")

_SHORT_FORMS = {
    "model": "path",
    "task": "name",
    "train": "path",
    "validation": "path",
    "test": "path",
    "general": "path",
    "storage": "uri",
    "deepspeed": "config",
    "scheduler": "kind",
}


def _write_out_phases(settings: dict[str, Any]) -> list[str]:
    """Fills in the phases; `freeze_epochs: N` is short for N epochs of the head first."""
    freeze_epochs = settings.pop("freeze_epochs", None)
    if freeze_epochs is not None and "phases" in settings:
        return ["give either phases or freeze_epochs, not both"]
    if settings.get("phases") is None:
        first, *rest = usual_phases(settings.get("task"))
        if freeze_epochs is not None:
            first = first | {"for": f"{freeze_epochs}ep"}
        settings["phases"] = [first, *rest]
    return []


def mistake_lines(error: ValidationError, top: type[BaseModel]) -> list[str]:
    """One line for each mistake in a file of the settings `top`, with "did you mean"."""
    return [_line(e, top) for e in error.errors() if _stands_alone(e, error)]


def _stands_alone(error: Any, all_errors: ValidationError) -> bool:
    """False for a list called too short because pydantic counts only what is right in it."""
    place = error["loc"]
    return error["type"] != "too_short" or not any(
        other["loc"][: len(place)] == place and len(other["loc"]) > len(place)
        for other in all_errors.errors()
    )


def _line(error: Any, top: type[BaseModel]) -> str:
    place = error["loc"]
    if error["type"] == "extra_forbidden":
        *parents, name = place
        known = _known_names(parents, top)
        hint = did_you_mean(str(name), sorted(known))
        return f"{'.'.join([*_as_written(parents), str(name)])}: no such setting; {hint}"
    where = ".".join(_as_written(place))
    if error["type"] == "missing":
        return f"{where}: missing"
    message = error["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    given = error["input"]
    if isinstance(given, str | int | float | bool) and repr(given) not in message:
        message += f", got {given!r}"
    return f"{where}: {message}" if where else message


def _as_written(place: Sequence[Any]) -> list[str]:
    """The keys of pydantic's place that stand in the file; it adds which alternative it took."""
    return [str(key) for key in place if key not in _TAGS and key not in TASKS]


def _known_names(keys: Sequence[Any], top: type[BaseModel]) -> list[str]:
    """Names of the settings in the part of the file that `keys` lead to."""
    model: type[BaseModel] | None = top
    own_name = False  # the key is a name that the user made up, such as one in a search space
    for key in keys:
        if key in _TAGS:
            continue
        if key in TASKS:
            model = TASKS[key][0]
            continue
        if model is None or isinstance(key, int) or own_name:
            own_name = False
            continue
        fields = {f.alias or name: f for name, f in model.model_fields.items()}
        annotation = fields[key].annotation if key in fields else None
        model, own_name = _model_in(annotation), get_origin(annotation) is dict
    if model is None:
        return []
    names = [field.alias or name for name, field in model.model_fields.items()]
    return [*names, "freeze_epochs"] if model is JobConfig else names


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The settings class somewhere inside a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(part) for part in get_args(annotation))
    return next((model for model in found if model), None)


def job_schema() -> dict[str, Any]:
    """JSON schema of a job file, short forms included."""
    schema = JobConfig.model_json_schema(by_alias=True)
    schema["required"] = [name for name in schema["required"] if name not in ("name", "phases")]
    schema["properties"]["freeze_epochs"] = {
        "type": "number",
        "minimum": 0,
        "description": "Short for this many epochs of the head before everything is trained.",
    }
    parts = schema["$defs"]
    for properties in (schema["properties"], parts["DataConfig"]["properties"]):
        for name in _SHORT_FORMS.keys() & properties.keys():
            long = properties[name]
            kept = {key: long.pop(key) for key in ("description", "default") if key in long}
            short = {"enum": list(TASKS)} if name == "task" else {"type": "string"}
            properties[name] = {"anyOf": [long, short], **kept}
    train = parts["PhaseConfig"]["properties"]["train"]
    patterns = {key: train.pop(key) for key in ("type", "items", "minItems") if key in train}
    train["anyOf"] = [patterns, {"type": "string"}]
    return schema
