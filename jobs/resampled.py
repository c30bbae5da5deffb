"""The metric of many resamples of the same rows at once, without a model and without torch.

A resample is a count for each row: how often the row is in it.
"""

from collections.abc import Iterator

import numpy as np

MEANS = ("accuracy", "loss")  # metrics that are a mean over rows of one value per row
MOST_CELLS = 2**21  # of counts in memory at once: 16 MiB


def metric_of_resamples(
    metric: str, logits: np.ndarray, label_ids: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """`metric` of each resample, [resamples]; what `TextClassification.metrics` says of its rows.

    logits: [rows, labels]. label_ids: [rows]. counts: [resamples, rows], not negative; fractions
    are weights. accuracy; loss: mean cross-entropy; f1: the mean of each label's f1 over the
    labels that are in the resample, as the truth or as a prediction (scikit-learn's "macro").
    Raises ValueError for another metric, and for a resample without rows.
    """
    return metric_of_values(metric, row_values(metric, logits, label_ids), label_ids, counts)


def row_values(metric: str, logits: np.ndarray, label_ids: np.ndarray) -> np.ndarray:
    """All that `metric` needs to know of each row: [..., rows] for logits [..., rows, labels].

    1 or 0 for accuracy, the cross-entropy for loss, the predicted label for f1.
    Raises ValueError for another metric.
    """
    if metric == "f1":
        predicted: np.ndarray = logits.argmax(axis=-1)
        return predicted
    if metric == "accuracy":
        right: np.ndarray = (logits.argmax(axis=-1) == label_ids).astype(np.float64)
        return right
    if metric == "loss":
        shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
        own = shifted[..., np.arange(len(label_ids)), label_ids]
        loss: np.ndarray = np.log(np.exp(shifted).sum(axis=-1)) - own
        return loss
    raise ValueError(f"{metric}: not a metric that can be resampled; use accuracy, loss or f1")


def metric_of_values(
    metric: str, values: np.ndarray, label_ids: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """`metric_of_resamples` from `row_values`: [resamples] for values [rows], and
    [resamples, models] for values [models, rows]."""
    weights = np.asarray(counts, dtype=np.float64)
    total = weights.sum(axis=1)
    if not total.all():
        raise ValueError("a resample has no rows")
    if metric == "f1":
        return _macro_f1(values, label_ids, weights)
    scores: np.ndarray = ((weights @ values.T).T / total).T
    return scores


def draw_counts(seed: int, resamples: int, rows: int) -> Iterator[np.ndarray]:
    """The counts of `resamples` bootstrap resamples, a few at a time: [some, rows], float.

    Which counts are drawn does not depend on how many come at a time.
    """
    draw = np.random.default_rng(seed)
    at_once = max(1, MOST_CELLS // rows)
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        picks = draw.integers(0, rows, size=(size, rows))
        picks += rows * np.arange(size)[:, None]
        counts = np.bincount(picks.ravel(), minlength=size * rows)
        yield counts.reshape(size, rows).astype(np.float64)


def _macro_f1(predicted: np.ndarray, label_ids: np.ndarray, weights: np.ndarray) -> np.ndarray:
    shape = (len(weights), *predicted.shape[:-1])
    total, present = np.zeros(shape), np.zeros(shape)
    for label in np.union1d(predicted, label_ids):
        truth, guess = label_ids == label, (predicted == label).astype(np.float64)
        both = weights[:, truth] @ guess[..., truth].T
        true = weights[:, truth].sum(axis=1)
        sides = ((weights @ guess.T).T + true).T
        total += np.divide(2 * both, sides, out=np.zeros(shape), where=sides > 0)
        present += sides > 0
    score: np.ndarray = total / present
    return score
