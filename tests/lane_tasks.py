"""What a lane does, without Ray. Imported by name in the workers of a WorkerPool."""

from collections.abc import Mapping
from typing import Any

from unfreeze.jobs.job_file import parse_job
from unfreeze.tuning.orders import Assignment, Order, Outcome
from unfreeze.tuning.trial_run import Bench, carry_out


class SilentLine:
    """Nobody listens."""

    def report(self, line: Mapping[str, Any]) -> None:
        pass

    def progress(self, step: int) -> None:
        pass

    def published(self, key: str) -> None:
        pass

    def wants_stop(self) -> bool:
        return False


def run_and_judge(settings: dict[str, Any], place: str) -> list[Outcome]:
    """The job as a finalist of a search, which is then judged and exported."""
    job, bench = parse_job(settings), Bench()
    orders = [
        Order("run", place, job, keeps_best=True),
        Order("judge", place, job, kind="judge", exports=True),
    ]
    return [
        carry_out(Assignment(order, 0, 0, (), ()), bench, SilentLine(), 60.0) for order in orders
    ]
