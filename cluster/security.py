"""Whether a cluster lets in whoever reaches it.

Ray's dashboard is its Jobs API, too: who reaches it and is asked for no token runs code on the
cluster (CVE-2023-48022, CVE-2025-62593).
"""

from http import HTTPStatus

from unfreeze.cluster.addresses import checked_url, is_loopback
from unfreeze.cluster.dashboard import status_of
from unfreeze.cluster.errors import OpenDashboard

ASKED = ("/api/version", "/api/jobs/")
"""With a token, Ray answers both with 401 to whoever shows none."""


def check_dashboard(address: str, allow_open: bool = False) -> str | None:
    """Asks the dashboard at `address` without a token. None if that is refused, else a warning.

    Raises OpenDashboard if it answers and is not on loopback, unless allowed; AddressInvalid;
    ClusterUnreachable.
    """
    address = checked_url(address)
    answered = [path for path in ASKED if is_answer(status_of(address + path))]
    return verdict(address, answered, allow_open=allow_open)


def is_answer(status: int) -> bool:
    """Whether a request without a token was let in. A 500 is Ray's own, behind the door; other
    errors and redirects are of what stands before it."""
    return 200 <= status < 300 or status == HTTPStatus.INTERNAL_SERVER_ERROR


def verdict(address: str, answered: list[str], *, allow_open: bool) -> str | None:
    """What is said of a dashboard that answered these requests without a token (pure).

    Raises OpenDashboard.
    """
    if not answered:
        return None
    if is_loopback(address):
        return (
            f"{address} asks for no token: every user and every web page on this machine can run "
            "code on the cluster; start Ray with RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH"
        )
    problem = (
        f"{address} asks for no token ({answered[0]} answers): whoever reaches it runs code on the "
        "cluster"
    )
    if allow_open:
        return problem
    raise OpenDashboard(
        f"{problem}; start Ray with RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH, or reach it "
        "through a tunnel"
    )
