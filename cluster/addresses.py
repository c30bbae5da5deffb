"""Addresses of clusters, as people write them (pure)."""

import ipaddress
from urllib.parse import urlsplit

from unfreeze.cluster.errors import AddressInvalid


def host_of(address: str) -> str:
    """The host of `HOST:PORT`, of a URL, or of a bare name; empty if there is none."""
    try:
        return urlsplit(address if "//" in address else f"//{address}").hostname or ""
    except ValueError:  # such as [::1 without its bracket
        return ""


def is_loopback(address: str) -> bool:
    """Whether an address leads to this machine only. Names other than localhost never do: what
    they mean is decided elsewhere."""
    host = host_of(address)
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_url(address: str) -> bool:
    """Whether an address is a dashboard's (http://HOST:PORT), not Ray's own (HOST:PORT)."""
    return address.lower().startswith(("http://", "https://"))


def checked_url(address: str) -> str:
    """A dashboard's URL without what is too much at its end. Raises AddressInvalid.

    A user or password in it is refused: addresses stand in logs and command lines.
    """
    if not is_url(address) or not host_of(address):
        raise AddressInvalid(
            f"{_without_user(address)}: expected the address of a dashboard, http://HOST:PORT"
        )
    parts = urlsplit(address)
    if parts.username or parts.password:
        raise AddressInvalid(
            f"{_without_user(address)}: no user or password in an address; tokens are in files "
            "(RAY_AUTH_TOKEN_PATH)"
        )
    if parts.query or parts.fragment or any(c.isspace() or not c.isprintable() for c in address):
        raise AddressInvalid(f"{address!r}: expected http://HOST:PORT and no more")
    return address.rstrip("/")


def _without_user(address: str) -> str:
    scheme, mark, rest = address.rpartition("//")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"
