"""Which pretrained model? Candidates are ranked for a job's data before any fine-tuning."""

from unfreeze.jobs.compare.comparison import Comparison, compare_models
from unfreeze.jobs.compare.ranking import Ranked

__all__ = ["Comparison", "Ranked", "compare_models"]
