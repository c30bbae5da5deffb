"""What is told of Ray's errors."""

import pytest

from unfreeze.cluster.doctor.node_actors import MOST_OF_REASON, reason_of

DIED = """The actor died unexpectedly before finishing this task.
\tclass_name: Probe
\tactor_id: 3f2a
\tpid: 4711
The actor died because its node has died. Node Id: d055.
\tthe actor's node was terminated unexpectedly"""


class OfTask(Exception):
    """As RayTaskError: the text is a traceback, the cause is what the task raised."""

    def __init__(self, cause: Exception) -> None:
        super().__init__("ray::Probe.look()\n  File ...")
        self.cause = cause


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError(DIED), "The actor died because its node has died. Node Id: d055."),
        (RuntimeError("The actor died unexpectedly"), "The actor died unexpectedly"),
        (OfTask(ValueError("\n  wait timeout after 20000ms\nmore")), "wait timeout after 20000ms"),
        (OfTask(KeyError()), "KeyError"),
        (RuntimeError(), "RuntimeError"),
        (RuntimeError("x" * 1000), "x" * MOST_OF_REASON),
    ],
)
def test_of_an_error_one_line_is_told_that_says_why(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason
