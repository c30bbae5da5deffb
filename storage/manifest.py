"""What a checkpoint consists of, as JSON. A manifest comes from storage: it is not trusted."""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from unfreeze.storage.errors import CorruptObject, InvalidUri
from unfreeze.storage.store import check_key

FORMAT_VERSION = 1


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class BlobRef:
    """Bytes named by their own hash: equal blobs are stored once."""

    sha256: str
    """64 lowercase hex digits."""

    size_bytes: int

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"sha256 must be 64 lowercase hex digits, got {self.sha256!r}")
        if self.size_bytes < 0:
            raise ValueError(f"size_bytes must be 0 or more, got {self.size_bytes}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """One checkpoint. It is complete when its manifest is stored, and not before."""

    step: int
    """Optimizer updates done; there is one checkpoint per step."""

    files: dict[str, BlobRef]
    """By readable name, such as "head.weights.safetensors"."""

    metric: float | None = None
    """What retention compares; None or NaN is never among the best."""

    progress: dict[str, Any] = field(default_factory=dict)
    """JSON that the training loop reads back; opaque here."""

    created: str = field(default_factory=_now)
    """ISO time, UTC."""

    def __post_init__(self) -> None:
        if self.step < 0:
            raise ValueError(f"step must be 0 or more, got {self.step}")
        for name in self.files:
            # `pull` makes files of these names, beside the manifest's own.
            if check_key(name) == "manifest.json":
                raise ValueError("files must not be called manifest.json")

    @property
    def blobs(self) -> set[BlobRef]:
        return set(self.files.values())

    @property
    def size_bytes(self) -> int:
        """Of the distinct blobs: what the store holds for it, if nothing else shares them."""
        return sum(blob.size_bytes for blob in self.blobs)

    def to_json(self) -> bytes:
        files = {
            name: {"sha256": blob.sha256, "size_bytes": blob.size_bytes}
            for name, blob in sorted(self.files.items())
        }
        fields = {
            "format": FORMAT_VERSION,
            "step": self.step,
            "created": self.created,
            "metric": self.metric,
            "files": files,
            "progress": self.progress,
        }
        return json.dumps(fields, indent=1).encode()


def parse_manifest(data: bytes, where: str) -> Manifest:
    """Raises CorruptObject, beginning with `where`, for whatever is not a manifest."""
    try:
        fields = json.loads(data)
        if not isinstance(fields, dict):
            raise ValueError("it is not a JSON object")
        if fields.get("format") != FORMAT_VERSION:
            raise ValueError(f"format is {fields.get('format')!r}, known is {FORMAT_VERSION}")
        files = {
            name: BlobRef(_typed(blob, "sha256", str), _typed(blob, "size_bytes", int))
            for name, blob in _typed(fields, "files", dict).items()
        }
        metric = fields.get("metric")
        created = _typed(fields, "created", str)
        datetime.fromisoformat(created)
        return Manifest(
            step=_typed(fields, "step", int),
            files=files,
            metric=None if metric is None else float(_typed(fields, "metric", (int, float))),
            progress=_typed(fields, "progress", dict),
            created=created,
        )
    except (ValueError, InvalidUri, RecursionError, OverflowError) as error:
        raise CorruptObject(f"{where}: not a checkpoint manifest: {error}; discard it") from error


def _typed(fields: Any, name: str, kind: type | tuple[type, ...]) -> Any:
    """The field, if it is of that JSON type. True and False are no numbers here."""
    value = fields.get(name) if isinstance(fields, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{name} is {type(value).__name__}")
    return value
