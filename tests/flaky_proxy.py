"""A real HTTP proxy before an S3 server that has bad days when it is told to."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your rate</Message></Error>"

HOP_BY_HOP = {"connection", "transfer-encoding"}


class Proxy(ThreadingHTTPServer):
    """Passes requests on to `upstream`, after it has failed `failures` of them in its `way`."""

    daemon_threads = True

    def __init__(self, upstream: str, address: str = "127.0.0.1") -> None:
        super().__init__((address, 0), Relay)
        self.upstream = urlsplit(upstream).netloc
        self.way, self.failures, self.seen = "503", 0, 0
        self.held = 0
        """Writes that wait right now, see `hold`."""
        self._held_name, self._still_pass, self._released = "", 0, threading.Event()
        self._lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        return f"http://{self.server_address[0]}:{self.server_port}"

    def fail(self, way: str, times: int) -> None:
        self.way, self.failures, self.seen = way, times, 0

    def hold(self, name: str, after: int) -> None:
        """Lets so many writes of objects of this name pass. The next ones wait, until this is said
        again or `release`; then their connections end without an answer."""
        with self._lock:
            self._released.set()
            self._held_name, self._still_pass, self._released = name, after, threading.Event()

    def release(self) -> None:
        self.hold("", 0)

    def holds_up(self, command: str, path: str) -> bool:
        """Whether a request was held; returns when it no longer is."""
        with self._lock:
            name = urlsplit(path).path.rsplit("/")[-1]
            if command != "PUT" or name != self._held_name:
                return False
            self._still_pass -= 1
            if self._still_pass >= 0:
                return False
            released = self._released
            self.held += 1
        released.wait()
        with self._lock:
            self.held -= 1
        return True


@contextmanager
def running_proxy(upstream: str, address: str = "127.0.0.1") -> Iterator[Proxy]:
    """A proxy that serves at `address` as long as the block."""
    with Proxy(upstream, address) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.release()
            proxy.shutdown()
            thread.join()


class Relay(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"  # boto3 waits a second for the 100-continue that 1.0 lacks

    def relay(self) -> None:
        self.server.seen += 1
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.holds_up(self.command, self.path):
            self.close_connection = True
            return
        if self.server.failures == 0:
            self.answer(*self.ask_upstream(body))
            return
        self.server.failures -= 1
        self.close_connection = True
        match self.server.way:
            case "dropped":
                pass  # the connection ends without an answer
            case "lost answer":
                self.ask_upstream(body)
            case "half an answer":
                status, headers, content = self.ask_upstream(body)
                self.answer(status, headers, content[: len(content) // 2])
            case status:
                self.answer(int(status), {"Content-Length": str(len(SLOW_DOWN))}, SLOW_DOWN)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = relay

    def ask_upstream(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.server.upstream)
        try:
            # The same headers, Host too: they are signed.
            connection.request(self.command, self.path, body, dict(self.headers.items()))
            answer = connection.getresponse()
            content = answer.read()
            headers = {k: v for k, v in answer.getheaders() if k.lower() not in HOP_BY_HOP}
            if self.command != "HEAD":
                headers["Content-Length"] = str(len(content))
            return answer.status, headers, content
        finally:
            connection.close()

    def answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Not into the test's output."""
