"""What is done when a submission ends: nothing, or the same again."""

import pytest

from unfreeze.cluster.submission.following import (
    LOST,
    Verdict,
    exit_code_for,
    verdict_on,
    words_for,
)
from unfreeze.cluster.submission.request import Submitted


def ended(status: str, exit_code: int | None = None, error_type: str | None = None) -> Submitted:
    return Submitted("x-1-1", status, {}, "It says\nmore.", error_type, exit_code)


WAIT, AGAIN, END = Verdict.WAIT, Verdict.AGAIN, Verdict.END

TABLE = [
    (ended("PENDING"), WAIT, 1, "waits for the cluster"),
    (ended("RUNNING"), WAIT, 1, "runs"),
    (ended("SUCCEEDED", 0), END, 0, "finished"),
    (ended("STOPPED"), END, 1, "was cancelled"),
    (ended("STOPPED", 143), END, 1, "was cancelled"),
    (ended("FAILED", 2), END, 2, "the file, its data or its files are wrong"),
    (ended("FAILED", 1), END, 1, "failed with exit code 1"),
    (ended("FAILED", 130 - 100), END, 1, "failed with exit code 30"),
    (ended("FAILED", LOST), AGAIN, 1, "its driver lost the cluster"),
    (ended("FAILED", -9), AGAIN, 1, "its driver was killed (signal 9)"),
    (ended("FAILED", 137), AGAIN, 1, "its driver was killed (signal 9)"),
    (ended("FAILED", 143), AGAIN, 1, "its driver was killed (signal 15)"),
    (ended("FAILED"), AGAIN, 1, "its driver was lost or never started: It says"),
    (ended("FAILED", None, "JOB_SUPERVISOR_ACTOR_DIED"), AGAIN, 1, "lost or never started"),
    (ended("FAILED", None, "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"), AGAIN, 1, "lost or never"),
    (ended("FAILED", None, "RUNTIME_ENV_SETUP_FAILURE"), END, 1, "lost or never started"),
    (ended("FAILED", None, "JOB_ENTRYPOINT_COMMAND_START_ERROR"), END, 1, "never started"),
    (None, AGAIN, 1, "the cluster does not know it"),
]


@pytest.mark.parametrize(("job", "verdict", "exit_code", "words"), TABLE)
def test_only_what_was_lost_is_sent_again(
    job: Submitted | None, verdict: Verdict, exit_code: int, words: str
) -> None:
    assert verdict_on(job) is verdict
    assert exit_code_for(job) == exit_code
    assert words in words_for(job)


def test_every_error_type_of_ray_has_a_verdict() -> None:
    from ray.dashboard.modules.job.common import JobErrorType

    decided = {job.error_type for job, *_ in TABLE if job and job.error_type}
    not_mended_by_waiting = {"RUNTIME_ENV_SETUP_FAILURE", "JOB_ENTRYPOINT_COMMAND_START_ERROR"}
    assert decided - {kind.value for kind in JobErrorType} == set()
    for kind in JobErrorType:
        again = verdict_on(ended("FAILED", None, kind.value)) is AGAIN
        unschedulable = kind is JobErrorType.JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE
        assert again == (kind.value not in not_mended_by_waiting and not unschedulable)
