"""What the best of k trials would have been, for every k up to the trials at hand."""

from collections.abc import Sequence

import numpy as np

from unfreeze.jobs.metrics import Mode


def expected_best(values: Sequence[float], mode: Mode) -> list[float]:
    """The expected best of k of these values drawn without replacement, for k = 1 ... N.

    "Show your work" (Dodge et al. 2019) with the unbiased estimator of Tang et al. (2020): the
    mean of the best over all subsets of size k. With values sorted from worst to best, v(i) is
    the best of C(i - 1, k - 1) of the C(N, k) subsets. The order in which trials ran does not
    matter. O(N^2) time: 10,000 values take about a second.

    Raises ValueError for a value that is not finite: leave out trials that have none.
    """
    if not np.isfinite(values).all():
        raise ValueError("the best of values that are not finite is not defined")
    best_first = np.sort(np.asarray(values, dtype=np.float64))
    if mode == "max":
        best_first = best_first[::-1]
    total = len(best_first)
    return [
        float(best_first[: total - k + 1] @ _shares_of_subsets(total, k))
        for k in range(1, total + 1)
    ]


def _shares_of_subsets(total: int, k: int) -> np.ndarray:
    """Of all subsets of size k, the share whose best is the first, second ... of `total` values.

    By their ratios, which lie between 0 and 1: the binomials themselves overflow.
    """
    left = total - np.arange(total - k)  # values that are no better than the one before
    ratios = (left - k) / (left - 1)
    shares: np.ndarray = np.cumprod(np.concatenate([[k / total], ratios]))
    return shares
