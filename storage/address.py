"""From what people write in a job file (a uri, an endpoint) to a store."""

import logging
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import unquote, urlsplit

from unfreeze.storage.errors import InvalidUri, ObjectNotFound
from unfreeze.storage.folder import FolderStore
from unfreeze.storage.retry import DEFAULT_POLICY, RetryPolicy, retry
from unfreeze.storage.retrying import RetryingStore
from unfreeze.storage.store import ObjectStore, check_key

EMBEDDED = "embedded"
"""The endpoint that means the S3 server of this machine, see embedded.py."""

log = logging.getLogger(__name__)
_WILDCARD = re.compile(r"[*?\[]")


def open_store(
    uri: str, *, endpoint: str | None = None, policy: RetryPolicy = DEFAULT_POLICY
) -> ObjectStore:
    """The store at `uri`: "s3://bucket/prefix", a folder, or "file:///folder".

    `endpoint` is for s3 only: None for AWS, an http(s) URL, or "embedded", which starts the server
    of this machine and makes the bucket if need be. Nothing else is contacted before the first
    call. `policy` says how patient the store is. Raises InvalidUri, and EmbeddedStoreError for
    "embedded".
    """
    if not uri.startswith("s3://"):
        if endpoint:
            log.warning("%s is a folder: the endpoint %r is not used", uri, endpoint)
        folder = _folder(uri)
        if folder.exists() and not folder.is_dir():
            raise InvalidUri(f"{uri}: a file; name a folder, or an s3:// address")
        return RetryingStore(FolderStore(folder), policy=policy)
    bucket, prefix = _split_s3(uri)
    return _s3_store(bucket, prefix, endpoint, policy, make_bucket=endpoint == EMBEDDED)


def fetch_uri(uri: str, folder: Path, endpoint: str | None = None) -> list[Path]:
    """Download an s3:// object, or all objects below an s3:// "folder", into `folder`; or those
    that match a pattern such as s3://bucket/reviews/*.jsonl (** stands for any folders).

    Returns the files; below a "folder", or what stands before a pattern, they keep their relative
    names. Raises ObjectNotFound if there is nothing at `uri`, and InvalidUri before any download if
    a name would leave `folder`.
    """
    if not uri.startswith("s3://"):
        raise InvalidUri(
            f"{uri!r}: only s3:// addresses are fetched; a local path is used as it is"
        )
    bucket, key = _split_s3(uri)
    store = _s3_store(bucket, "", endpoint, DEFAULT_POLICY, make_bucket=False)
    is_pattern = is_glob(key)
    folder_of_key = _WILDCARD.split(key)[0].rpartition("/")[0] if is_pattern else key
    below = f"{folder_of_key}/" if folder_of_key else ""
    names = [info.key for info in store.list(below)]
    if is_pattern:
        names = [name for name in names if _matches(name.split("/"), key.split("/"))]
        if not names:
            raise ObjectNotFound(f"{uri}: no object matches")
    elif not names and key:
        below, names = "".join(key.rpartition("/")[:2]), [key]
    targets = [folder / check_key(name.removeprefix(below)) for name in names]
    if not targets:
        raise ObjectNotFound(f"{uri}: the bucket is empty; check the address")
    for name, target in zip(names, targets, strict=True):
        store.fetch(name, target)
    return targets


def is_glob(path: str) -> bool:
    """Whether it has wildcards: *, ? or [...]."""
    return _WILDCARD.search(path) is not None


def _matches(name: Sequence[str], pattern: Sequence[str]) -> bool:
    """Part by part, as paths match; ** is any number of parts."""
    if not pattern or not name:
        return not name and all(part == "**" for part in pattern)
    if pattern[0] == "**":
        return _matches(name, pattern[1:]) or _matches(name[1:], pattern)
    return fnmatchcase(name[0], pattern[0]) and _matches(name[1:], pattern[1:])


def _s3_store(
    bucket: str, prefix: str, endpoint: str | None, policy: RetryPolicy, *, make_bucket: bool
) -> RetryingStore:
    # boto3 takes 0.3 s to import, and whoever uses a folder has no need of it.
    from unfreeze.storage.s3 import S3Client, S3Store

    if endpoint == EMBEDDED:
        from unfreeze.storage import embedded

        server = embedded.up()
        client = S3Client(server.endpoint, server.keys_file)
    else:
        client = S3Client(_checked_endpoint(endpoint))
    store = S3Store(bucket, prefix, client=client)
    if make_bucket:
        retry(store.make_bucket)
    return RetryingStore(store, policy=policy)


def _split_s3(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{2,254}", bucket):
        raise InvalidUri(f"{uri!r}: {bucket!r} is no bucket name; write s3://bucket/prefix")
    key = key.rstrip("/")
    return bucket, check_key(key) if key else ""


def _folder(uri: str) -> Path:
    scheme, found, rest = uri.partition("://")
    if not found:
        if not uri:
            raise InvalidUri("the storage uri is empty; write s3://bucket/prefix or a folder")
        return Path(uri)
    if scheme != "file" or not rest.startswith("/"):
        raise InvalidUri(f"{uri!r}: write s3://bucket/prefix, a folder, or file:///folder")
    return Path(unquote(rest))


def _checked_endpoint(endpoint: str | None) -> str | None:
    if endpoint is None:
        return None
    parts = urlsplit(endpoint)
    if parts.username or parts.password:  # do not repeat it: errors end up in logs
        raise InvalidUri("the storage endpoint holds keys; put them into AWS_* variables instead")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidUri(f"endpoint {endpoint!r}: write {EMBEDDED!r} or an http(s):// address")
    return endpoint
