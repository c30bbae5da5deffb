"""Ray's dashboard, asked over HTTP: needs no Ray here, and starts nothing."""

import http.client
import json
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import Any

from unfreeze.cluster.addresses import checked_url, is_loopback, is_url
from unfreeze.cluster.errors import ClusterError, ClusterUnreachable, TokenRefused
from unfreeze.cluster.local.state import local_cluster_at
from unfreeze.cluster.tokens import use_token

PATIENCE_S = 10.0
"""For one answer."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Whoever a redirect leads to is not to see the token."""

    def redirect_request(self, *args: Any) -> None:
        return None


def status_of(url: str, *, token: str | None = None, timeout_s: float = PATIENCE_S) -> int:
    """The status that a request is answered with. Raises ClusterUnreachable."""
    return _ask(url, token, timeout_s)[0]


def fetch(
    address: str, path: str, *, token: str | None = None, timeout_s: float = PATIENCE_S
) -> Any:
    """The JSON that the dashboard at `address` has at `path`.

    Raises AddressInvalid, ClusterUnreachable, TokenRefused, and ClusterError where it answers
    something else.
    """
    address = checked_url(address)
    status, body = _ask(address + path, token, timeout_s)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        problem = "asks for a token" if token is None else "does not take this token"
        raise TokenRefused(
            f"{address}: the cluster {problem}; name the file with its token: "
            "RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=FILE"
        )
    try:
        if status == HTTPStatus.OK:
            return json.loads(body)
    except ValueError:
        pass  # not JSON: not Ray
    raise ClusterError(f"{address}: answers {status} where Ray's dashboard would answer {path}")


def dashboard_of(address: str) -> str:
    """The dashboard of the cluster at an address of either kind.

    Ray is asked, and imported, only if neither the address nor cluster.json says it. Raises
    AddressInvalid, ClusterUnreachable, Insecure.
    """
    if is_url(address):
        return checked_url(address)
    if local := local_cluster_at(address):
        return local.dashboard
    use_token(address)
    from ray.dashboard.utils import ray_address_to_api_server_url
    from ray.exceptions import RayError

    try:
        found: str = ray_address_to_api_server_url(address)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        reason = [*str(error).strip().splitlines(), type(error).__name__][0]
        raise ClusterUnreachable(f"no Ray cluster at {address}: {reason}") from error
    return found


def _ask(url: str, token: str | None, timeout_s: float) -> tuple[int, bytes]:
    request = urllib.request.Request(url)
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    # A proxy cannot reach this machine's loopback for us, and is not to see the token.
    proxies = [urllib.request.ProxyHandler({})] if is_loopback(url) else []
    opener = urllib.request.build_opener(_NoRedirects, *proxies)
    try:
        with opener.open(request, timeout=timeout_s) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, b""
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise ClusterUnreachable(f"no Ray dashboard answers at {url}: {reason}") from error
