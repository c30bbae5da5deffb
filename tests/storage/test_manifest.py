"""Manifests come from storage that others may write to: whatever is wrong must be seen."""

import json
from typing import Any

import pytest

from unfreeze.storage import BlobRef, CorruptObject, InvalidUri, Manifest
from unfreeze.storage.manifest import parse_manifest

REF = BlobRef("ab" * 32, 7)
GOOD = Manifest(120, {"head.weights.safetensors": REF}, 0.25, {"epoch": 1})


def test_a_manifest_survives_json() -> None:
    assert parse_manifest(GOOD.to_json(), "here") == GOOD


def test_a_metric_that_is_not_a_number_survives_json() -> None:
    back = parse_manifest(Manifest(1, {}, float("nan")).to_json(), "here")
    assert back.metric is not None and back.metric != back.metric


def test_a_manifest_of_version_1_can_still_be_read() -> None:
    text = (
        '{"format": 1, "step": 3, "created": "2025-01-01T00:00:00+00:00", "metric": null, '
        f'"files": {{"a": {{"sha256": "{REF.sha256}", "size_bytes": 7}}}}, "progress": {{}}}}'
    )
    expected = Manifest(3, {"a": REF}, None, {}, "2025-01-01T00:00:00+00:00")
    assert parse_manifest(text.encode(), "here") == expected


def test_shared_blobs_count_once() -> None:
    assert Manifest(1, {"a": REF, "b": REF}).size_bytes == 7


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"format": 2}']
)
def test_what_is_no_manifest_is_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptObject, match=r"^here: not a checkpoint manifest"):
        parse_manifest(data, "here")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("step", -1),
        ("step", "1"),
        ("step", True),
        ("step", 1.5),
        ("created", "yesterday"),
        ("created", None),
        ("metric", "0.5"),
        ("metric", 10**400),
        ("progress", []),
        ("files", None),
        ("files", {"../../etc/passwd": {"sha256": "ab" * 32, "size_bytes": 1}}),
        ("files", {"/etc/passwd": {"sha256": "ab" * 32, "size_bytes": 1}}),
        ("files", {"manifest.json": {"sha256": "ab" * 32, "size_bytes": 1}}),
        ("files", {"a": {"sha256": "../" + "ab" * 30, "size_bytes": 1}}),
        ("files", {"a": {"sha256": "ab" * 32}}),
        ("files", {"a": {"sha256": "ab" * 32, "size_bytes": -1}}),
        ("files", {"a": "ab" * 32}),
    ],
)
def test_a_wrong_field_is_corrupt(field: str, value: Any) -> None:
    fields = json.loads(GOOD.to_json()) | {field: value}
    with pytest.raises(CorruptObject):
        parse_manifest(json.dumps(fields).encode(), "here")


def test_our_own_mistakes_are_seen_before_anything_is_stored() -> None:
    with pytest.raises(ValueError, match="step"):
        Manifest(-1, {})
    with pytest.raises(InvalidUri):
        Manifest(1, {"../up": REF})
    with pytest.raises(ValueError, match="sha256"):
        BlobRef("AB" * 32, 1)
