"""A dashboard that lets everybody in is found out, by real requests to small real servers."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from unfreeze.cluster import (
    AddressInvalid,
    ClusterError,
    ClusterUnreachable,
    OpenDashboard,
    TokenRefused,
)
from unfreeze.cluster.dashboard import fetch, status_of
from unfreeze.cluster.security import check_dashboard, is_answer, verdict

TOKEN = "planted-token"
Serve = Callable[..., str]


class Dashboard(BaseHTTPRequestHandler):
    """Answers as the class attributes of its server say, and notes what it was shown."""

    def do_GET(self) -> None:
        server: Any = self.server
        shown = self.headers.get("Authorization")
        server.shown.append(shown)
        status = server.status
        if server.token and status == 200:
            status = 200 if shown == f"Bearer {server.token}" else 403 if shown else 401
        body = json.dumps({"path": self.path}).encode() if server.is_json else b"<html>"
        self.send_response(status)
        if status == 302:
            self.send_header("Location", server.elsewhere)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a dashboard on loopback; its address, with what it is shown in `serve.shown`."""
    servers: list[Any] = []

    def start(
        *, token: str = "", status: int = 200, is_json: bool = True, elsewhere: str = ""
    ) -> str:
        server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Dashboard)
        server.token, server.status, server.is_json = token, status, is_json
        server.elsewhere, server.shown = elsewhere, []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        start.shown = server.shown  # type: ignore[attr-defined]
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_dashboard_that_asks_for_the_token_is_fine(serve: Serve) -> None:
    assert check_dashboard(serve(token=TOKEN)) is None


def test_one_on_loopback_that_asks_for_none_is_a_warning(serve: Serve) -> None:
    address = serve()
    warning = check_dashboard(f"{address}/")
    assert warning is not None
    assert warning.startswith(f"{address} asks for no token: every user and every web page")


def test_a_login_page_before_it_lets_nobody_in(serve: Serve) -> None:
    assert check_dashboard(serve(status=302, elsewhere="http://127.0.0.1:1/login")) is None


def test_one_elsewhere_that_asks_for_none_is_refused_unless_it_is_allowed() -> None:
    answered = ["/api/version"]
    with pytest.raises(OpenDashboard, match=r"http://head:8265 asks for no token \(/api/version"):
        verdict("http://head:8265", answered, allow_open=False)
    warning = verdict("http://head:8265", answered, allow_open=True)
    assert warning
    assert "whoever reaches it runs code" in warning
    assert verdict("http://head:8265", [], allow_open=False) is None


@pytest.mark.parametrize(
    ("status", "let_in"),
    [
        *[(status, True) for status in (200, 204, 500)],
        *[(status, False) for status in (302, 401, 403, 404, 502, 503, 520)],
    ],
)
def test_what_counts_as_let_in(status: int, let_in: bool) -> None:
    assert is_answer(status) is let_in


def test_an_address_that_is_none_and_one_where_nobody_is_are_told_apart() -> None:
    with pytest.raises(AddressInvalid):
        check_dashboard("127.0.0.1:6379")
    with pytest.raises(ClusterUnreachable, match="no Ray dashboard answers at http://127"):
        check_dashboard("http://127.0.0.1:1")


def test_the_token_is_shown_only_where_it_is_given(serve: Serve) -> None:
    address = serve(token=TOKEN)
    assert fetch(address, "/api/jobs/", token=TOKEN) == {"path": "/api/jobs/"}
    assert status_of(f"{address}/api/jobs/") == 401
    assert serve.shown == [f"Bearer {TOKEN}", None]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("shown", "said"), [(None, "asks for a token"), ("other", "does not take this token")]
)
def test_a_token_that_is_missing_or_wrong_is_said_and_not_repeated(
    serve: Serve, shown: str | None, said: str
) -> None:
    with pytest.raises(TokenRefused, match=f"{said}; name the file") as error:
        fetch(serve(token=TOKEN), "/api/jobs/", token=shown)
    assert "other" not in str(error.value)


def test_a_redirect_is_not_followed_with_the_token(serve: Serve) -> None:
    elsewhere = serve()
    at_the_other = serve.shown  # type: ignore[attr-defined]
    address = serve(status=302, elsewhere=f"{elsewhere}/api/jobs/")
    with pytest.raises(ClusterError, match="answers 302 where Ray's dashboard would answer"):
        fetch(address, "/api/jobs/", token=TOKEN)
    assert at_the_other == []


def test_what_is_no_dashboard_is_said(serve: Serve) -> None:
    with pytest.raises(ClusterError, match="answers 200 where Ray's dashboard"):
        fetch(serve(is_json=False), "/api/jobs/")


def test_no_proxy_is_asked_for_what_is_on_loopback(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert status_of(f"{serve()}/api/version") == 200
