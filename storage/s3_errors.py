"""What botocore raises, in our words. The only translation there is."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions as theirs
from botocore.parsers import ResponseParserError
from s3transfer.exceptions import RetriesExceededError

from unfreeze.storage.errors import (
    BucketNotFound,
    InvalidUri,
    ObjectExists,
    ObjectNotFound,
    StorageError,
    StoreRefused,
    StoreUnavailable,
)

_MAY_PASS = {
    "SlowDown",
    "RequestTimeout",
    "InternalError",
    "ServiceUnavailable",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "ConditionalRequestConflict",  # another writer is at it: S3's manual says to try again
    "OperationAborted",
    "BadDigest",  # bytes damaged on their way
    "IncompleteBody",
}
_TAKEN = {"PreconditionFailed", "BucketAlreadyOwnedByYou", "BucketAlreadyExists"}
_REFUSED = {"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "AuthorizationHeaderMalformed"}
"""Refusals that S3 answers with status 400."""

_NO_ANSWER = (
    theirs.ConnectionError,  # connecting: refused, timed out, no such host, by proxy, TLS
    theirs.HTTPClientError,  # reading: timed out, closed, broken off
    theirs.IncompleteReadError,
    theirs.FlexibleChecksumError,
    ResponseParserError,  # half an answer, or a proxy's error page
    RetriesExceededError,
)
_NO_KEYS = (
    theirs.NoCredentialsError,
    theirs.PartialCredentialsError,
    theirs.CredentialRetrievalError,
    theirs.TokenRetrievalError,
    theirs.NoAuthTokenError,
    theirs.UnauthorizedSSOTokenError,
    theirs.SSOTokenLoadError,
    theirs.ProfileNotFound,
)


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Whatever boto3 raises inside leaves as a StorageError that begins with `where`."""
    try:
        yield
    except (
        theirs.BotoCoreError,
        theirs.ClientError,
        ResponseParserError,
        RetriesExceededError,
    ) as e:
        raise translate(e, where) from e


def translate(error: Exception, where: str) -> StorageError:
    """Our error for one of botocore's."""
    if isinstance(error, theirs.ClientError):
        answer = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return refusal(answer.get("Code", ""), answer.get("Message", ""), status, where)
    if isinstance(error, _NO_ANSWER):
        return StoreUnavailable(
            f"{where}: no usable answer ({error}); check the endpoint and the network"
        )
    if isinstance(error, _NO_KEYS):
        return StoreRefused(
            f"{where}: no usable keys ({error}); "
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or an instance role"
        )
    if isinstance(error, theirs.ParamValidationError):
        return InvalidUri(f"{where}: {error}; check bucket and key")
    return StorageError(f"{where}: {error}; check the S3 settings of this machine")


def refusal(code: str, message: str, status: int, where: str) -> StorageError:
    """Our error for an S3 error code; `status` is 0 where an answer has codes only."""
    said = f"{where}: {code or status} ({message or 'no further words'})"
    if code == "NoSuchBucket":
        return BucketNotFound(f"{where}: there is no such bucket; create it or check its name")
    if code in _MAY_PASS or status == 429 or (status >= 500 and status != 501):
        return StoreUnavailable(f"{said}; the store is busy or broken, trying again may help")
    if status == 412 or code in _TAKEN:
        return ObjectExists(f"{where}: there is one of this name already")
    if status in (401, 403) or code in _REFUSED or code == "AccessDenied":
        return StoreRefused(f"{said}; check the keys, what they may do, and this machine's clock")
    if code in ("NoSuchKey", "404", "NotFound") or status == 404:
        return ObjectNotFound(f"{where}: there is no such object")
    if code in ("InvalidBucketName", "KeyTooLongError"):
        return InvalidUri(f"{said}; check bucket and key")
    return StorageError(f"{said}; the store answered something unexpected")
