"""S3 and whatever speaks its language. The only file that imports boto3."""

import io
import os
import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from unfreeze.storage.atomic import atomic_file
from unfreeze.storage.credentials import read_credentials
from unfreeze.storage.errors import ObjectExists
from unfreeze.storage.s3_errors import refusal, translated
from unfreeze.storage.store import ObjectInfo, ObjectStore, check_key, check_prefix

MULTIPART_BYTES = 64 * 1024**2
BATCH_KEYS = 1000
"""S3 lists, and deletes, no more keys in one request."""

_TRANSFER = TransferConfig(
    multipart_threshold=MULTIPART_BYTES,
    multipart_chunksize=16 * 1024**2,
    max_concurrency=4,  # 4 x 16 MiB in flight; more gains little and costs memory on both sides
    num_download_attempts=1,  # retry.py has the only retry loop
)


class S3Client:
    """A recipe for a boto3 client, which is built at first use in each process.

    boto3 clients can be shared by threads, but neither pickled nor used on both sides of a fork.
    The recipe holds the name of a key file, not keys: it may travel in a pickle.
    """

    def __init__(self, endpoint: str | None = None, keys_file: Path | None = None) -> None:
        self.endpoint = endpoint
        self.keys_file = keys_file
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._built: tuple[int, Any] | None = None

    def __getstate__(self) -> tuple[str | None, Path | None]:
        return self.endpoint, self.keys_file

    def __setstate__(self, state: tuple[str | None, Path | None]) -> None:
        self.endpoint, self.keys_file = state
        self._reset()

    def get(self) -> Any:
        """The client of this process. Any: boto3's clients are generated at run time."""
        with self._lock:
            if self._built is None or self._built[0] != os.getpid():
                self._built = (os.getpid(), self._build())
            return self._built[1]

    def _build(self) -> Any:
        session = boto3.session.Session()
        settings: dict[str, Any] = {}
        if self.endpoint:
            settings |= {
                "endpoint_url": self.endpoint,
                "region_name": session.region_name or "us-east-1",  # signing needs some region
            }
        if self.keys_file:
            keys = read_credentials(self.keys_file)
            settings |= {
                "aws_access_key_id": keys.access_key,
                "aws_secret_access_key": keys.secret_key,
                "aws_session_token": None,
            }
        config = Config(
            signature_version="s3v4",
            connect_timeout=5,
            read_timeout=60,
            retries={"total_max_attempts": 1},
            max_pool_connections=32,
            request_checksum_calculation="when_supported",
            response_checksum_validation="when_supported",
            s3={"addressing_style": "path" if self.endpoint else "auto"},
            # The embedded server is on this machine: no proxy can reach it for us.
            proxies={} if self.keys_file else None,
        )
        return session.client("s3", config=config, **settings)

    def bucket_names(self) -> list[str]:
        """Buckets these keys own: the smallest signed request there is."""
        with translated(self.endpoint or "s3"):
            return [bucket["Name"] for bucket in self.get().list_buckets().get("Buckets", [])]


class S3Store:
    """Objects below `prefix` in one bucket. Every call is one attempt: RetryingStore repeats it."""

    def __init__(self, bucket: str, prefix: str = "", *, client: S3Client | None = None) -> None:
        self.bucket = bucket
        self.prefix = f"{check_key(prefix)}/" if prefix else ""
        self._client = client or S3Client()

    def __repr__(self) -> str:
        return f"S3Store({self.uri!r}, endpoint={self._client.endpoint!r})"

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def put(self, key: str, data: bytes | Path, *, if_absent: bool = False) -> None:
        where = self._at(key)
        size = len(data) if isinstance(data, bytes) else data.stat().st_size
        source = io.BytesIO(data) if isinstance(data, bytes) else data.open("rb")
        with source, translated(f"{self.uri}/{key}"):
            if if_absent:  # boto3's transfers cannot carry a condition, so this is one request
                self._client.get().put_object(**where, Body=source, IfNoneMatch="*")
            elif size <= MULTIPART_BYTES:
                self._client.get().put_object(**where, Body=source)
            else:
                self._client.get().upload_fileobj(source, **where, Config=_TRANSFER)

    def get(self, key: str) -> bytes:
        where = self._at(key)
        with translated(f"{self.uri}/{key}"):
            body: bytes = self._client.get().get_object(**where)["Body"].read()
            return body

    def fetch(self, key: str, file: Path) -> None:
        where = self._at(key)
        with translated(f"{self.uri}/{key}"), atomic_file(file) as target:
            self._client.get().download_fileobj(**where, Fileobj=target, Config=_TRANSFER)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        start = self.prefix + check_prefix(prefix)
        with translated(self.uri):
            paginator = self._client.get().get_paginator("list_objects_v2")
            for page in paginator.paginate(
                Bucket=self.bucket, Prefix=start, PaginationConfig={"PageSize": BATCH_KEYS}
            ):
                for entry in page.get("Contents", []):
                    key = entry["Key"].removeprefix(self.prefix)
                    if key and not key.endswith("/"):  # consoles leave empty "folder" objects
                        yield ObjectInfo(key, entry["Size"], entry["LastModified"])

    def delete(self, keys: Iterable[str]) -> None:
        names = iter([self._at(key)["Key"] for key in keys])
        while batch := [{"Key": name} for name in islice(names, BATCH_KEYS)]:
            with translated(self.uri):
                answer = self._client.get().delete_objects(
                    Bucket=self.bucket, Delete={"Objects": batch, "Quiet": True}
                )
            for error in answer.get("Errors", []):
                if error.get("Code") != "NoSuchKey":
                    where = f"s3://{self.bucket}/{error.get('Key')}"
                    raise refusal(error.get("Code", ""), error.get("Message", ""), 0, where)

    def under(self, prefix: str) -> "S3Store":
        return S3Store(self.bucket, self.prefix + check_key(prefix), client=self._client)

    def make_bucket(self) -> None:
        """Create the bucket; one that is there already is fine."""
        try:
            with translated(f"s3://{self.bucket}"):
                self._client.get().create_bucket(Bucket=self.bucket)
        except ObjectExists:
            return

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.prefix + check_key(key)}


_proof: type[ObjectStore] = S3Store  # mypy: it has all that an ObjectStore must have
