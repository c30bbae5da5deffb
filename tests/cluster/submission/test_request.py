"""Handles, requests, and what is to be done about submissions of the same run."""

import shlex

import pytest

from unfreeze.cluster import SubmissionRefused
from unfreeze.cluster.submission.request import (
    CONTENT,
    RUN,
    Attach,
    Request,
    Send,
    Submitted,
    attempt_of,
    check_handle,
    handle_of,
    next_step,
    request,
)

URI, CONTENT_HASH, OTHER = "s3://bucket/reviews", "3f2a9c01b77d", "ffffffffffff"


def submitted(
    status: str, attempt: int = 1, content: str = CONTENT_HASH, run: str = URI
) -> Submitted:
    metadata = {RUN: run, CONTENT: content, "unfreeze": "0.1.0+abc"}
    return Submitted(handle_of("reviews", content, attempt), status, metadata)


def test_a_handle_tells_name_content_and_attempt() -> None:
    assert handle_of("my-reviews.v2", CONTENT_HASH, 12) == "my-reviews.v2-3f2a9c01-12"
    assert attempt_of("my-reviews.v2-3f2a9c01-12") == 12
    assert attempt_of("raysubmit_4LamXRuQpYdSMg7J") == 0


@pytest.mark.parametrize(
    "handle",
    [
        *("", "../x", "a/b", "a b", "a'b", 'a"b', "a\nb", "a\n", "-a", ".a", "a?b", "a%2Fb"),
        *("a#b", "$(reboot)", "a;b", "\u00e9", "a" * 151),
    ],
)
def test_what_cannot_be_a_handle_is_refused(handle: str) -> None:
    with pytest.raises(SubmissionRefused, match="is no handle"):
        check_handle(handle)


@pytest.mark.parametrize(
    ("known", "step"),
    [
        ([], Send(1)),
        ([submitted("PENDING")], Attach("reviews-3f2a9c01-1")),
        ([submitted("RUNNING", 7)], Attach("reviews-3f2a9c01-7")),
        ([submitted("FAILED", 1), submitted("RUNNING", 2)], Attach("reviews-3f2a9c01-2")),
        ([submitted("SUCCEEDED")], Send(2)),
        ([submitted("STOPPED", 1), submitted("FAILED", 9), submitted("FAILED", 2)], Send(10)),
        ([submitted("FAILED", 3, OTHER)], Send(1)),
        ([submitted("RUNNING", run="s3://bucket/other")], Send(1)),
        ([Submitted("raysubmit_x", "RUNNING", {})], Send(1)),
        ([Submitted("raysubmit_x", "RUNNING", {RUN: URI})], Send(1)),
    ],
)
def test_a_run_is_sent_or_found(known: list[Submitted], step: Send | Attach) -> None:
    assert next_step(known, URI, CONTENT_HASH) == step


def test_an_attempt_that_the_cluster_forgot_is_counted() -> None:
    assert next_step([], URI, CONTENT_HASH, after=3) == Send(4)
    assert next_step([submitted("FAILED", 5)], URI, CONTENT_HASH, after=3) == Send(6)


@pytest.mark.parametrize("status", ["PENDING", "RUNNING"])
def test_a_run_that_is_alive_with_other_contents_is_in_the_way(status: str) -> None:
    with pytest.raises(SubmissionRefused) as error:
        next_step([submitted(status, content=OTHER)], URI, CONTENT_HASH)
    assert "unfreeze jobs cancel reviews-ffffffff-1" in str(error.value)
    assert status.lower() in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture
def first() -> Request:
    return request(
        "reviews",
        ["some.module", "my job.yaml"],
        metadata={RUN: URI, CONTENT: CONTENT_HASH},
        py_modules=["/tmp/code"],
        working_dir="/tmp/files",
    )


def test_the_entrypoint_is_one_shell_line(first: Request) -> None:
    words = ["python", "-m", "some.module", "my job.yaml", "reviews-3f2a9c01-1"]
    assert shlex.split(first.entrypoint) == words
    assert first.handle == words[-1]


def test_the_runtime_env_names_the_folders_and_holds_no_secret(first: Request) -> None:
    environment = first.runtime_env
    assert environment["py_modules"] == ["/tmp/code"]
    assert environment["working_dir"] == "/tmp/files"
    assert not [
        k for k in environment["env_vars"] if "TOKEN" in k and k != "TOKENIZERS_PARALLELISM"
    ]
    assert not [k for k in environment["env_vars"] if k.startswith(("AWS", "RAY_AUTH"))]


def test_another_attempt_differs_in_its_handle_alone(first: Request) -> None:
    third = first.as_attempt(3)
    assert third.handle == "reviews-3f2a9c01-3"
    assert shlex.split(third.entrypoint)[-1] == third.handle
    assert third.as_attempt(1) == first
