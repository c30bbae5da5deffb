"""The Ray Jobs API of one cluster: its answers as ours, its errors as ours."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from unfreeze.cluster.addresses import checked_url
from unfreeze.cluster.errors import ClusterError, ClusterUnreachable, TokenRefused
from unfreeze.cluster.submission.request import Attach, Request, Submitted, next_step
from unfreeze.cluster.tokens import use_token

T = TypeVar("T")

TIMEOUT_S = 30.0
"""For one answer. Ray's own client waits for ever, so for a head that is cut off too."""

UPLOAD_TIMEOUT_S = 600.0

READY_WITHIN_S = 60.0
"""A head answers before it can take submissions: its agent starts last."""

_NO_AGENT = (
    " Its agent has not started, or its port was taken: where several Rays share a host, start "
    "them with --dashboard-agent-listen-port=0"
)

_QUIET = ("ray", "ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk")


class JobsApi:
    """The submissions of one cluster."""

    def __init__(self, address: str) -> None:
        """`address`: http://HOST:PORT of the dashboard. Nothing is asked yet, but the token for it
        is looked up: Ray reads it when it is imported. Raises AddressInvalid, Insecure."""
        self.address = checked_url(address)
        use_token(self.address)
        self._client: Any = None

    def submit(self, request: Request) -> bool:
        """Uploads what the request names, and sends it; False if there is one of this handle.

        A head that has just started is waited for. Raises ClusterError.
        """
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                return self._submit(request)
            except _NotReady:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def _submit(self, request: Request) -> bool:
        try:
            with self._translated(), _as_it_lies():
                self._connected().submit_job(
                    entrypoint=request.entrypoint,
                    runtime_env=request.runtime_env,
                    metadata=dict(request.metadata),
                    submission_id=request.handle,
                )
        except ClusterError:
            # It may have arrived, in another submit of the same moment or before its answer was
            # lost.
            if self.find(request.handle) is None:
                raise
            return False
        return True

    def list(self) -> list[Submitted]:
        """All submissions that the cluster knows, newest first. Raises ClusterError."""
        with self._translated():
            jobs = self._connected().list_jobs()
        found = [_submitted(job) for job in jobs if job.submission_id]
        return sorted(found, key=lambda each: -(each.started or 0))

    def find(self, handle: str) -> Submitted | None:
        """One submission; None if the cluster does not know it. Raises ClusterError."""
        return self._if_known(lambda: _submitted(self._connected().get_job_info(handle)))

    def log(self, handle: str) -> str | None:
        """Its log so far; None if the cluster does not know it. Raises ClusterError."""
        return self._if_known(lambda: str(self._connected().get_job_logs(handle)))

    def stop(self, handle: str) -> bool:
        """Asks it to end; False if it is not running, or not known. Raises ClusterError."""
        return bool(self._if_known(lambda: self._connected().stop_job(handle)))

    def _if_known(self, ask: Callable[[], T]) -> T | None:
        try:
            with self._translated():
                return ask()
        except _Unknown:
            return None

    def _connected(self) -> Any:
        if self._client is None:
            self._client = _client(self.address)
        return self._client

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The one place where errors of Ray's client become ours."""
        import ray
        import requests

        try:
            yield
        except ray.exceptions.AuthenticationError as error:
            raise TokenRefused(
                f"{self.address} asks for a token, and we have none or another; name the file "
                "that holds it: RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=FILE"
            ) from error
        except (ConnectionError, requests.exceptions.RequestException) as error:
            self._client = None
            reason = type(error).__name__
            raise ClusterUnreachable(
                f"no Ray dashboard answers at {self.address}: {reason}"
            ) from error
        except RuntimeError as error:
            text = str(error)
            if "status code 404" in text and "does not exist" in text:
                raise _Unknown from error
            lines = [line for line in text.strip().splitlines() if line.strip()]
            kind = _NotReady if "status code 5" in text else ClusterError
            said = lines[-1] if lines else type(error).__name__
            hint = _NO_AGENT if "No available agent" in text else ""
            raise kind(f"the Ray dashboard at {self.address} failed: {said}{hint}") from error


class _NotReady(ClusterUnreachable):
    """The head is starting, or its agent is away."""


class _Unknown(ClusterError):
    """The cluster does not know the submission."""


def send(
    api: JobsApi, request: Request, run: str, content: str, *, after: int = 0
) -> tuple[str, bool]:
    """Sends a run, or finds that it is there; its handle, and whether it was there before.

    `after`: the number of an attempt that the cluster may have forgotten.
    Raises SubmissionRefused, ClusterError.
    """
    step = next_step(api.list(), run, content, after=after)
    if isinstance(step, Attach):
        return step.handle, True
    request = request.as_attempt(step.attempt)
    return request.handle, not api.submit(request)


def _client(address: str) -> Any:
    from ray.job_submission import JobSubmissionClient

    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)

    class Client(JobSubmissionClient):
        """With an end to its patience."""

        def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
            wait_s = UPLOAD_TIMEOUT_S if method == "PUT" else TIMEOUT_S
            return super()._do_request(method, endpoint, **{"timeout": wait_s, **options})

    # Ray prefers the environment to the address that it is given; we were told this one.
    with _environment(RAY_API_SERVER_ADDRESS=address):
        return Client(address)


@contextmanager
def _as_it_lies() -> Iterator[None]:
    """The folder is sent as it is: what does not belong in it was left out when it was made."""
    with _environment(
        RAY_RUNTIME_ENV_IGNORE_GITIGNORE="1", RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES=""
    ):
        yield


@contextmanager
def _environment(**settings: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _submitted(job: Any) -> Submitted:
    return Submitted(
        handle=job.submission_id,
        status=str(job.status),
        metadata=job.metadata or {},
        message=job.message or "",
        error_type=job.error_type,
        exit_code=job.driver_exit_code,
        started=None if job.start_time is None else job.start_time / 1000,
        ended=None if job.end_time is None else job.end_time / 1000,
    )
