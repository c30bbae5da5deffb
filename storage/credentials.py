"""The embedded server's keys: one file, in the form that `weed` itself reads."""

import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from unfreeze.storage.errors import EmbeddedStoreError


@dataclass(frozen=True, slots=True)
class Credentials:
    """An S3 key pair. Its repr shows neither half."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)


def new_credentials() -> Credentials:
    return Credentials(secrets.token_hex(10).upper(), secrets.token_urlsafe(30))


def write_credentials(file: Path, keys: Credentials) -> None:
    """Raises FileExistsError: keys that clients may hold are never replaced."""
    identity = {
        "name": "unfreeze",
        "credentials": [{"accessKey": keys.access_key, "secretKey": keys.secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    # The mode is given to open(): a chmod afterwards would leave a moment for others to read.
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as stream:
        json.dump({"identities": [identity]}, stream)


def read_credentials(file: Path) -> Credentials:
    """Raises EmbeddedStoreError, which never quotes the file."""
    try:
        pair = json.loads(file.read_text())["identities"][0]["credentials"][0]
        return Credentials(str(pair["accessKey"]), str(pair["secretKey"]))
    except (OSError, ValueError, LookupError, TypeError):
        problem = "is not readable" if file.exists() else "is missing"
    raise EmbeddedStoreError(
        f"{file}: the key file of the embedded store {problem}; "
        "run `unfreeze storage up` on this machine"
    )
