"""What can be known of a job's data before anything is trained: `unfreeze data check`."""

from unfreeze.jobs.data_check.check import DataCheck, check_data

__all__ = ["DataCheck", "check_data"]
