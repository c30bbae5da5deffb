"""Numbers about logits and labels, in numpy: probabilities, and areas under curves."""

import numpy as np
from numpy.typing import NDArray

from unfreeze.jobs.metrics import Floats

Bools = NDArray[np.bool_]


def log_softmax(logits: NDArray[np.floating]) -> Floats:
    """Of each row."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def softplus(logits: NDArray[np.floating]) -> Floats:
    """log(1 + exp(x)): the loss of saying x where the label is not there, and at -x where it is."""
    return np.logaddexp(0.0, logits.astype(np.float64))


def sigmoid(logits: NDArray[np.floating]) -> Floats:
    """The probability of each by itself."""
    result: Floats = np.exp(-softplus(-logits))
    return result


def macro_auroc(scores: Floats, truth: Bools) -> float:
    """The mean over the labels of the area under the ROC curve, [rows, labels] each.

    It is the share of pairs of a row that has the label and one that has not in which the first has
    the higher score; equal ones count half. Labels that all rows have, or none, are left out; nan
    if there is no other.
    """
    from scipy.stats import rankdata

    there = truth.sum(axis=0)
    other = len(truth) - there
    known = (there > 0) & (other > 0)
    if not known.any():
        return float("nan")
    ranks = rankdata(scores[:, known], axis=0)
    wins = (ranks * truth[:, known]).sum(axis=0) - there[known] * (there[known] + 1) / 2
    return float(np.mean(wins / (there[known] * other[known])))
