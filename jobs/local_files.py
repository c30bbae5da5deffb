"""Which files of this machine a job reads: what goes with it to where it runs.

Hub ids and s3:// uris are read there.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from unfreeze.cluster.submission.shipment import LocalFiles, Place
from unfreeze.jobs.config import JobConfig, SourceConfig
from unfreeze.jobs.errors import ConfigError, DataError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")

# Weights that are not read: of other libraries, or torch's own beside safetensors.
_OTHER_WEIGHTS = (".bin", ".ckpt", ".gguf", ".h5", ".msgpack", ".onnx", ".ot", ".pt", ".pth")


def local_files(job: JobConfig) -> list[LocalFiles]:
    """What the settings of a job name here, a part for each. Raises ConfigError with all that is
    missing."""
    found: list[LocalFiles | None] = []
    mistakes: list[str] = []
    try:
        found.append(model_files(job.model.path, ("model", "path")))
    except ConfigError as error:
        mistakes += error.mistakes
    for split, source in _sources(job):
        try:
            found.append(_data_files(split, source))
        except DataError as error:
            mistakes += error.mistakes
    config = job.deepspeed.get("config")
    if isinstance(config, str):
        if not Path(config).is_file():
            mistakes.append(f"deepspeed: {config}: no such file")
        found.append(LocalFiles(("deepspeed", "config"), config, (Path(config),)))
    if mistakes:
        raise ConfigError(mistakes)
    return [each for each in found if each]


def model_files(path: str, place: Place) -> LocalFiles | None:
    """A model folder; None if it is a hub id or an s3:// uri. Raises ConfigError."""
    folder = Path(path).expanduser()
    # `a/b` is a misspelled path, and no hub id, if there is a folder `a`.
    near = "/" in path and Path(path.partition("/")[0]).is_dir()
    is_hub_id = not folder.exists() and not near and _HUB_ID.fullmatch(path)
    if path.startswith("s3://") or is_hub_id:
        return None
    if not folder.is_dir():
        setting = ".".join(map(str, place[: 2 if place[0] == "space" else 1]))
        raise ConfigError(f"{setting}: {path}: no such folder")
    inside = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    seen = [file for file in inside if not _is_hidden(file.relative_to(folder))]
    if any(file.parent == folder and file.suffix == ".safetensors" for file in seen):
        seen = [file for file in seen if file.suffix not in _OTHER_WEIGHTS]
    else:
        seen = [
            file
            for file in seen
            if file.suffix not in _OTHER_WEIGHTS or file.match("pytorch_model*.bin")
        ]
    return LocalFiles(place, path, tuple(seen))


def _is_hidden(inside: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in inside.parts)


def _sources(job: JobConfig) -> Iterator[tuple[str, SourceConfig]]:
    data = job.data
    for split in ("train", "validation", "test", "general"):
        source = getattr(data, split)
        if isinstance(source, SourceConfig):
            yield split, source


def _data_files(split: str, source: SourceConfig) -> LocalFiles | None:
    from unfreeze.jobs.data.sources import files_of  # `datasets` takes a second to import

    if source.path.startswith("s3://"):
        return None
    files = files_of(source, split, endpoint=None, cache=Path())  # the cache is for s3:// only
    if files is None:
        return None
    return LocalFiles(("data", split, "path"), source.path, tuple(files))
