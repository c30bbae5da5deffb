"""Text classification of each problem type, and logits that no model made."""

from typing import Any, cast

import numpy as np

from unfreeze.jobs.tasks import open_task
from unfreeze.jobs.tasks.sequence_classification import (
    SequenceClassification,
    TextClassificationOptions,
)

LABELS = ["bad", "fine", "good"]


def task_for(problem_type: str, **changes: Any) -> SequenceClassification:
    weights = changes.pop("class_weights", "none")
    options = TextClassificationOptions.model_validate(
        {"problem_type": problem_type, "class_weights": weights}
    )
    learned = {} if problem_type == "regression" else {"labels": LABELS}
    return cast(SequenceClassification, open_task(options, learned | changes))


def several(seed: int = 0, rows: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels that they tell something about; the last label is rare."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(scale=2, size=(rows, len(LABELS))).astype(np.float32)
    return logits, logits + draw.normal(scale=2, size=logits.shape) > [0, 0.5, 3.5]


def numbers(seed: int = 0, rows: int = 120) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    true = draw.normal(2, 1.5, size=rows)
    return (true + draw.normal(size=rows)).astype(np.float32)[:, None], true
