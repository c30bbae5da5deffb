"""The one retry loop. boto3's own is switched off, so that waits and attempts do not multiply."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from unfreeze.storage.errors import StoreUnavailable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often to try, and how long to wait between. The default gives up after about 10 s."""

    attempts: int = 6
    """Calls in all, the first one included."""

    first_wait_s: float = 0.3
    """Longest wait before the second attempt; it doubles with each further one."""

    max_wait_s: float = 10.0
    """No wait is longer than this."""

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts must be 1 or more, got {self.attempts}")


DEFAULT_POLICY = RetryPolicy()


def retry(
    call: Callable[[], T],
    *,
    policy: RetryPolicy = DEFAULT_POLICY,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Run `call`; after StoreUnavailable wait and run it again. Any other error passes through.

    Waits are drawn from the upper half of their span: workers that failed together must not come
    back together. Raises the last StoreUnavailable.
    """
    for attempt in range(1, policy.attempts):
        try:
            return call()
        except StoreUnavailable:
            wait_s = min(policy.max_wait_s, policy.first_wait_s * 2 ** (attempt - 1))
            sleep(wait_s * random.uniform(0.5, 1.0))
    return call()
