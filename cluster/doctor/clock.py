"""How far another machine's clock is from ours, from messages there and back."""

from collections.abc import Sequence

from unfreeze.cluster.doctor.facts import ClockOffset

Ping = tuple[float, float, float]
"""When we asked, what the other clock said, when we heard it; seconds since 1970."""


def estimate_offset(pings: Sequence[Ping]) -> ClockOffset:
    """As NTP does it (RFC 5905, section 8): from the quickest ping; half its time is the error.

    The other clock was read some time between asking and hearing; the less time there was between,
    the better is it known when.
    """
    asked, there, heard = min(pings, key=lambda ping: ping[2] - ping[0])
    return ClockOffset(there - (asked + heard) / 2, (heard - asked) / 2)
