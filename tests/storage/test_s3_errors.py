"""botocore's errors in our words. Those a socket can produce are in test_flaky_store.py."""

from typing import Any

import pytest
from botocore import exceptions as theirs

from unfreeze.storage import errors as ours
from unfreeze.storage.s3_errors import translate


def answer(code: str, status: int) -> theirs.ClientError:
    said: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return theirs.ClientError(said, "Op")


@pytest.mark.parametrize(
    ("theirs_", "expected"),
    [
        (answer("SlowDown", 503), ours.StoreUnavailable),
        (answer("RequestTimeout", 400), ours.StoreUnavailable),
        (answer("InternalError", 500), ours.StoreUnavailable),
        (answer("ConditionalRequestConflict", 409), ours.StoreUnavailable),
        (answer("NotImplemented", 501), ours.StorageError),
        (answer("PreconditionFailed", 412), ours.ObjectExists),
        (answer("AccessDenied", 403), ours.StoreRefused),
        (answer("InvalidAccessKeyId", 403), ours.StoreRefused),
        (answer("SignatureDoesNotMatch", 403), ours.StoreRefused),
        (answer("ExpiredToken", 400), ours.StoreRefused),
        (answer("NoSuchBucket", 404), ours.BucketNotFound),
        (answer("NoSuchKey", 404), ours.ObjectNotFound),
        (answer("404", 404), ours.ObjectNotFound),
        (answer("Teapot", 418), ours.StorageError),
        (theirs.ConnectTimeoutError(endpoint_url="u"), ours.StoreUnavailable),
        (theirs.ReadTimeoutError(endpoint_url="u"), ours.StoreUnavailable),
        (theirs.EndpointConnectionError(endpoint_url="u"), ours.StoreUnavailable),
        (theirs.ConnectionClosedError(endpoint_url="u"), ours.StoreUnavailable),
        (theirs.IncompleteReadError(actual_bytes=1, expected_bytes=2), ours.StoreUnavailable),
        (theirs.NoCredentialsError(), ours.StoreRefused),
        (theirs.ProfileNotFound(profile="p"), ours.StoreRefused),
        (theirs.ParamValidationError(report="r"), ours.InvalidUri),
    ],
)
def test_each_error_has_one_meaning(theirs_: Exception, expected: type) -> None:
    error = translate(theirs_, "s3://bucket/key")
    assert type(error) is expected
    assert str(error).startswith("s3://bucket/key: ")
