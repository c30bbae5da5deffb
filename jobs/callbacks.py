"""What runs for us inside Ray Train's processes. It imports Ray: to be imported late."""

from typing import Any

from ray.train import UserCallback
from ray.train.v2._internal.execution.callback import WorkerCallback

from unfreeze.cluster.interfaces import use_interface_of_node
from unfreeze.cluster.mailbox import Sender
from unfreeze.jobs.errors import TrainingFailed
from unfreeze.jobs.failures import ENDS_THE_GROUP, failure_of, root_cause
from unfreeze.jobs.notices import take_sigterm_as_notice


class FailureTeller(UserCallback):
    """In the controller: tells the driver of failed workers before they are started again."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Raises where the workers are not to be started again: that ends the group in good order,
        with all that it had in the cluster given back."""
        failures = [failure_of(rank, error) for rank, error in worker_exceptions.items()]
        self._sender.send_and_wait({"kind": "failures", "failures": failures})
        root = root_cause(failures, {})
        if root.kind in ENDS_THE_GROUP:
            raise TrainingFailed(str(root))


class SigtermListener(WorkerCallback):
    """In the main thread of each worker; training runs in another one."""

    def after_init_train_context(self) -> None:
        take_sigterm_as_notice()


class NodeInterface(WorkerCallback):
    """In each worker, before the first process group is made: gloo is told where to listen."""

    def after_init_train_context(self) -> None:
        use_interface_of_node()
