"""A hash of rows by their values, whatever files they came from and however these are cut."""

import hashlib
import json
from typing import Any, Protocol

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

AT_ONCE = 4096
"""Rows that are hashed together. Part of what the hash is."""
_TYPES = pa.types


class _Digest(Protocol):
    def update(self, data: Any, /) -> None: ...


def content_hash(dataset: datasets.Dataset) -> str:
    """Hash of the rows' values, column by column in the data set's order.

    The same on every machine, whatever files the values came from, how they are chunked, and what
    the columns are called. Give it the used columns only (`select_columns`).
    """
    digest = hashlib.sha256()
    names = {
        name: feature.names
        for name, feature in dataset.features.items()
        if isinstance(feature, datasets.ClassLabel)
    }
    digest.update(json.dumps([len(dataset), list(names.values())]).encode())
    stored = dataset.with_format("arrow")
    for start in range(0, len(dataset), AT_ONCE):
        table: pa.Table = stored[start : start + AT_ONCE]
        for column in table.columns:
            _update(digest, column.combine_chunks())
    return digest.hexdigest()


def _update(digest: _Digest, array: Any) -> None:
    """Types that hold the same values in other widths count as the same."""
    if isinstance(array, pa.ChunkedArray):  # of no or of several chunks
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.nulls(0)
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    digest.update(np.packbits(_flat(array.is_valid(), np.bool_)).tobytes())
    kind = array.type
    if _TYPES.is_null(kind):
        return
    if _TYPES.is_string(kind) or _TYPES.is_large_string(kind):
        _update_texts(digest, array.drop_null().cast(pa.large_string()))
    elif _TYPES.is_list(kind) or _TYPES.is_large_list(kind) or _TYPES.is_fixed_size_list(kind):
        digest.update(_flat(pc.list_value_length(array.drop_null()), np.int64).tobytes())
        _update(digest, array.flatten())
    elif _TYPES.is_struct(kind):
        digest.update(json.dumps([field.name for field in kind]).encode())
        for part in array.flatten():
            _update(digest, part)
    elif _TYPES.is_boolean(kind):
        digest.update(b"b" + _flat(array.drop_null(), np.bool_).tobytes())
    elif _TYPES.is_integer(kind):
        whole = np.uint64 if kind == pa.uint64() else np.int64
        digest.update(b"i" + _flat(array.drop_null(), whole).tobytes())
    elif _TYPES.is_floating(kind):
        digest.update(b"f" + _flat(array.drop_null(), np.float64).tobytes())
    else:
        digest.update(json.dumps(array.to_pylist(), default=repr).encode())


def _flat(array: Any, dtype: Any) -> Any:
    return np.ascontiguousarray(array.to_numpy(zero_copy_only=False), dtype=dtype)


def _update_texts(digest: _Digest, texts: Any) -> None:
    """Of large strings, none of them null."""
    digest.update(_flat(pc.binary_length(texts), np.int64).tobytes())
    offsets = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset :][: len(texts) + 1]
    if len(texts) and offsets[-1] > offsets[0]:
        digest.update(texts.buffers()[2][int(offsets[0]) : int(offsets[-1])])
