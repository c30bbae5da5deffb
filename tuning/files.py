"""Names of what a search leaves in the store, under its own name.

search.yaml                        the search, resolved
trials/<id>/plan.json              a trial that was proposed: number, settings
trials/<id>/record.json            what came of it; comes last, and a trial with it is over
trials/<id>/{metrics.jsonl, best-statistics.safetensors}
prefixes/<key>/                    checkpoints to start from
finalists/<id>-seed<n>/            as trials/, with the best checkpoint kept
tests/<id>.json                    the test rows were scored for this winner
result.json, report.html, best_job.yaml, model/, learned.json
"""

from unfreeze.jobs.config import JobConfig
from unfreeze.jobs.files import METRICS, MODEL, REPORT, RESULT
from unfreeze.storage import ObjectStore, RetryPolicy, open_store

__all__ = [
    "BEFORE_STATISTICS",
    "BEST_JOB",
    "FINALISTS",
    "FORMAT",
    "GENERAL_STATISTICS",
    "LEARNED",
    "METRICS",
    "MODEL",
    "PLAN",
    "PREFIXES",
    "RECORD",
    "REPORT",
    "RESULT",
    "SEARCH",
    "STATISTICS",
    "TESTS",
    "TEST_STATISTICS",
    "TRIALS",
    "root_of",
]

FORMAT = 2
"""Stands in search.yaml. Raise it when searches that were begun cannot be gone on with any more."""

SEARCH = "search.yaml"
TRIALS = "trials"
FINALISTS = "finalists"
PREFIXES = "prefixes"
TESTS = "tests"
PLAN = "plan.json"
RECORD = "record.json"
STATISTICS = "best-statistics.safetensors"
TEST_STATISTICS = "test-statistics.safetensors"
GENERAL_STATISTICS = "general-statistics.safetensors"
BEFORE_STATISTICS = "general-statistics-before.safetensors"
BEST_JOB = "best_job.yaml"
LEARNED = "learned.json"

# A search is long: it outlasts a store that is away for a minute.
_PATIENCE = RetryPolicy(attempts=14)


def root_of(job: JobConfig) -> ObjectStore:
    """The search's place in the store; jobs of a search have its name."""
    store = open_store(job.storage.uri, endpoint=job.storage.endpoint, policy=_PATIENCE)
    return store.under(job.name)
