"""One worker's view of a job."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from unfreeze.jobs.run import Run


def test_a_batch_whose_loss_has_no_terms_is_divided_by_one() -> None:
    split = SimpleNamespace(weights=np.array([0.0, 0.0, 2.0, 0.5]))
    run: Any = SimpleNamespace(data=SimpleNamespace(splits={"train": split}))
    assert Run.weight(run, np.array([0, 1])) == 1.0
    assert Run.weight(run, np.array([1, 2, 3])) == 2.5
