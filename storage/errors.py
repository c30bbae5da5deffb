"""Everything that storage raises.

    StorageError
      StoreUnavailable      no answer, or an answer that says "later": trying again may help
      StoreRefused          the store answered, and said no to who we are
      BucketNotFound
      ObjectNotFound        also FileNotFoundError
      ObjectExists          a conditional put lost; also FileExistsError
      CorruptObject         bytes are not what their hash, or their format, promises
      InvalidUri            an address or key that no store can have; also ValueError
      EmbeddedStoreError    the embedded S3 server cannot be started or stopped

They cross process borders (Ray pickles them), so each takes positional arguments only and leaves
them to Exception.__init__. A message names the thing, the problem, and what to do.
"""


class StorageError(Exception):
    """Anything that went wrong with a store."""


class StoreUnavailable(StorageError):
    """The store did not answer, or was too busy to. Trying again may help."""


class StoreRefused(StorageError):
    """The store knows no such keys, or does not let them do this. Trying again cannot help."""


class BucketNotFound(StorageError):
    """There is no such bucket."""


class ObjectNotFound(StorageError, FileNotFoundError):
    """There is no object under this key."""


class ObjectExists(StorageError, FileExistsError):
    """There is an object under this key already, and it was to be put only if there was none."""


class CorruptObject(StorageError):
    """The bytes are not what their name or format promises."""


class InvalidUri(StorageError, ValueError):
    """An address or key that no store can have."""


class EmbeddedStoreError(StorageError):
    """The embedded S3 server cannot be started or stopped."""
