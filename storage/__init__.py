"""Where bytes live: object stores, retry, checkpoints, the embedded S3 server.

Knows neither Ray nor torch. The embedded server is `unfreeze.storage.embedded`.
"""

from unfreeze.storage.address import fetch_uri, is_glob, open_store
from unfreeze.storage.checkpoints import CheckpointStore, PutBlob, checkpoint_id
from unfreeze.storage.errors import (
    BucketNotFound,
    CorruptObject,
    EmbeddedStoreError,
    InvalidUri,
    ObjectExists,
    ObjectNotFound,
    StorageError,
    StoreRefused,
    StoreUnavailable,
)
from unfreeze.storage.folder import FolderStore
from unfreeze.storage.manifest import BlobRef, Manifest
from unfreeze.storage.retention import CheckpointInfo, to_keep
from unfreeze.storage.retry import RetryPolicy, retry
from unfreeze.storage.retrying import RetryingStore, check_reachable
from unfreeze.storage.store import ObjectInfo, ObjectStore

__all__ = [
    "BlobRef",
    "BucketNotFound",
    "CheckpointInfo",
    "CheckpointStore",
    "CorruptObject",
    "EmbeddedStoreError",
    "FolderStore",
    "InvalidUri",
    "Manifest",
    "ObjectExists",
    "ObjectInfo",
    "ObjectNotFound",
    "ObjectStore",
    "PutBlob",
    "RetryPolicy",
    "RetryingStore",
    "StorageError",
    "StoreRefused",
    "StoreUnavailable",
    "check_reachable",
    "checkpoint_id",
    "fetch_uri",
    "is_glob",
    "open_store",
    "retry",
    "to_keep",
]
