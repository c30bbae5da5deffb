"""The files of deploy/, what they must agree with, and the schemas that they must fit."""

import functools
import gzip
import importlib.util
import json
import tomllib
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = dict(
    line.split("==", 1)
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
)
COMMITTED = Path(__file__).parent / "deploy" / "schemas"

Document = dict[str, Any]
Schema = dict[str, Any]


def documents(name: str) -> list[Document]:
    """All YAML documents of a file in deploy/."""
    return [document for document in yaml.safe_load_all((DEPLOY / name).read_text()) if document]


def document(name: str, kind: str | None = None) -> Document:
    """The only one, or the one of this kind."""
    (found,) = [one for one in documents(name) if kind in (None, one.get("kind"))]
    return found


@functools.cache
def committed_schema(name: str) -> Schema:
    """One of tests/deploy/schemas, as it is there."""
    schema: Schema = json.loads(gzip.decompress((COMMITTED / f"{name}.json.gz").read_bytes()))
    return schema


@functools.cache
def resource_schema(kind: str) -> Schema:
    """KubeRay's, refusing what a file may not hold: unknown fields, and the operator's status."""
    schema = strict(committed_schema(kind))
    del schema["properties"]["status"]
    schema["properties"]["metadata"] = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
            "labels": {"type": "object"},
            "annotations": {"type": "object"},
        },
        "required": ["name"],
        "additionalProperties": False,
    }
    return schema


def ray_schema() -> Schema:
    """What `ray up` checks its file against, from the installed Ray (which is not imported)."""
    spec = importlib.util.find_spec("ray")
    assert spec and spec.submodule_search_locations
    file = Path(spec.submodule_search_locations[0]) / "autoscaler" / "ray-schema.json"
    schema: Schema = json.loads(file.read_text())
    return schema


def strict(schema: Any) -> Any:
    """Kubernetes drops fields that it does not know, without a word; this refuses them."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    # A field may be called `properties`, too: then it is a schema, and has no other names in it.
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed


def problems(document: Document, schema: Schema) -> list[str]:
    """What the schema has against the document, with the place."""
    return [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
        for error in Draft202012Validator(schema).iter_errors(document)
    ]
