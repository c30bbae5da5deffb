"""What `unfreeze submit` sends of a job or search file: checked here, and made to run elsewhere."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from unfreeze.cluster.addresses import is_loopback
from unfreeze.cluster.submission.shipment import LocalFiles, Place, Shipment, arranged, with_paths
from unfreeze.jobs.config import StorageConfig
from unfreeze.jobs.errors import ConfigError
from unfreeze.jobs.local_files import local_files, model_files

if TYPE_CHECKING:
    from unfreeze.tuning.search_file import Search

JOB, SEARCH = "job.yaml", "search.yaml"
"""What the settings are called on the cluster. The verb is `train` for the one, `search` for the
other."""

EMBEDDED = "embedded"
_MODEL_SETTINGS = ("model", "model.path")


@dataclass(frozen=True)
class Shipped:
    """A job or search, ready to be sent."""

    name: str
    run: str
    """The run's uri."""
    endpoint: str | None
    """S3 server of the run's store, as in a job file."""
    shipment: Shipment


def shipped(file: str, overrides: Sequence[str], address: str) -> Shipped:
    """A job or search file with its overrides, and the files that it names.

    Raises ConfigError with all mistakes.
    """
    from unfreeze.cli.runs import is_search_file
    from unfreeze.jobs import load_job

    if is_search_file(file):
        from unfreeze.tuning.search_file import load_search

        search = load_search(file, overrides)
        mistakes = [*_storage_mistakes(search.job.storage, address), *_logging_mistakes(search)]
        settings, storage = search.config.to_data(), search.job.storage
        return _shipped(SEARCH, settings, storage, lambda: _files_of_search(search), mistakes)
    job = load_job(file, overrides)
    mistakes = [*_storage_mistakes(job.storage, address)]
    return _shipped(JOB, job.to_data(), job.storage, lambda: local_files(job), mistakes)


def _shipped(
    description: str,
    settings: dict[str, Any],
    storage: StorageConfig,
    find_files: Callable[[], list[LocalFiles]],
    mistakes: list[str],
) -> Shipped:
    named: list[LocalFiles] = []
    try:
        named = find_files()
    except ConfigError as error:
        mistakes = [*mistakes, *error.mistakes]
    if mistakes:
        raise ConfigError(mistakes)
    paths, files = arranged(named, description)
    text = yaml.safe_dump(with_paths(settings, paths), sort_keys=False)
    name = settings["name"]
    run = run_uri(storage, name)
    endpoint = storage.endpoint if run.startswith("s3://") else None
    return Shipped(name, run, endpoint, Shipment(description, text.encode(), files))


def run_uri(storage: StorageConfig, name: str) -> str:
    """Where the run will be in the store, without asking it."""
    uri = storage.uri.removeprefix("file://") if storage.uri.startswith("file:") else storage.uri
    return f"{uri.rstrip('/')}/{name}"


def _storage_mistakes(storage: StorageConfig, address: str) -> Iterator[str]:
    uri, endpoint = storage.uri, storage.endpoint
    if not uri.startswith(("s3://", "file://")) and not Path(uri).is_absolute():
        yield (
            f"storage.uri: {uri}: a folder of this machine, which the cluster does not have; name "
            "s3://bucket/prefix, or the full path (/...) of a folder that all nodes share"
        )
    if uri.startswith("s3://") and endpoint == EMBEDDED and not is_loopback(address):
        yield (
            "storage.endpoint: the embedded server is on this machine's loopback alone; name one "
            "that the nodes of the cluster reach"
        )


def _logging_mistakes(search: "Search") -> Iterator[str]:
    folder = search.config.logging.tensorboard
    if folder and not Path(folder).is_absolute():
        yield (
            f"logging.tensorboard: {folder}: a folder of this machine, which the cluster does not "
            "have; name the full path (/...) of one that its head has, or leave it out"
        )


def _files_of_search(search: "Search") -> list[LocalFiles]:
    """Those of the base job, and model folders that the space has to choose from."""
    mistakes: list[str] = []
    found: list[LocalFiles] = []
    try:
        found += [
            LocalFiles(("job", *each.place), each.path, each.files)
            for each in local_files(search.job)
        ]
    except ConfigError as error:
        mistakes += [f"job.{line}" for line in error.mistakes]
    for place, path in _models_in_space(search):
        try:
            files = model_files(path, place)
        except ConfigError as error:
            mistakes += error.mistakes
        else:
            found += [files] if files else []
    if mistakes:
        raise ConfigError(mistakes)
    return found


def _models_in_space(search: "Search") -> Iterator[tuple[Place, str]]:
    for key, dimension in search.config.space.items():
        named: dict[Place, Sequence[Any]] = {}
        if key in _MODEL_SETTINGS:
            named["choice",] = dimension.choice or ()
        named |= {
            ("when", other): values
            for other, values in (dimension.when or {}).items()
            if other in _MODEL_SETTINGS
        }
        for part, values in named.items():
            for number, value in enumerate(values):
                if isinstance(value, str):
                    yield ("space", key, *part, number), value
