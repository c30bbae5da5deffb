"""A search, seen as the job of its winner: for what asks models and knows nothing of searches."""

import json

import yaml

from unfreeze.jobs.errors import ConfigError
from unfreeze.jobs.results import JobResult
from unfreeze.storage import ObjectNotFound, ObjectStore
from unfreeze.tuning.files import BEST_JOB, FINALISTS, LEARNED, TEST_STATISTICS


def as_job_result(root: ObjectStore, found: JobResult) -> JobResult:
    """What the winner's job would have left: the job, what its task learned, and its test scores.

    Raises ConfigError.
    """
    winner, test = found.data["winner"], found.data["test"]
    try:
        learned = json.loads(root.get(LEARNED))
    except ObjectNotFound:
        raise ConfigError(
            f"{root.uri}: an older unfreeze made this search, and did not keep all that its model "
            f"needs; train {BEST_JOB}, and ask that run"
        ) from None
    place = f"{FINALISTS}/{winner['trial']}-seed{winner['seed_of_model']}"
    data = {
        "name": found.data["name"],
        "job": yaml.safe_load(root.get(BEST_JOB)),
        "learned": learned,
        "test": test["winner"]["scores"] if test else None,
        "test_statistics": f"{place}/{TEST_STATISTICS}",
    }
    return JobResult(root.uri, data, was_finished=True)
