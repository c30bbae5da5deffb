"""Linear models on frozen features, scored on rows that they have not seen. Pure numpy and
scikit-learn.

All are penalised by the squares of their weights; how much is chosen by cross-validation inside
the rows that a model is fitted on, so the rows that it is scored on choose nothing.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfreeze.jobs.metrics import Floats
from unfreeze.jobs.tasks.label_scores import log_softmax, softplus
from unfreeze.jobs.tasks.task import Probe

FOLDS = 5
INNER_FOLDS = 3
STRENGTHS = (0.1, 1.0, 10.0, 100.0)
"""scikit-learn's C, for features with a squared length of about 1."""
MOST_STEPS = 300
MOST_AXES = 512
"""Columns of the features after they are turned: what a linear model costs grows with them."""
UNSEEN = -20.0
"""The logit of a class that no row has which the model was fitted on."""

Ints = NDArray[np.int64]


def out_of_fold(features: Floats, probe: Probe, groups: Ints, *, seed: int) -> Floats:
    """Logits of every place from models that were fitted on other groups: [places, classes].

    `features` [places, width], as `turned` gives them; `groups` [places]: what stays together, such
    as the words of a row.
    """
    fold_of = folds(groups, _strata(probe, groups), FOLDS, seed)
    logits = np.zeros((len(features), probe.classes))
    for fold in range(FOLDS):
        held = fold_of == fold
        if held.any() and not held.all():
            logits[held] = _fitted(features[~held], probe, ~held, groups, features[held], seed)
    return logits


def folds(groups: Ints, strata: Ints, count: int, seed: int) -> Ints:
    """The fold of each place: groups are whole, and strata shared out evenly among the folds."""
    names, first, group_of = np.unique(groups, return_index=True, return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    order = shuffled[np.argsort(strata[first][shuffled], kind="stable")]
    fold_of = np.empty(len(names), np.int64)
    fold_of[order] = np.arange(len(names)) % count
    result: Ints = fold_of[group_of]
    return result


def _strata(probe: Probe, groups: Ints) -> Ints:
    """The class, where a group is one place with one class."""
    if probe.kind == "class" and len(np.unique(groups)) == len(groups):
        return probe.truth.astype(np.int64)
    return np.zeros(len(groups), np.int64)


def _fitted(
    features: Floats,
    probe: Probe,
    chosen: NDArray[np.bool_],
    groups: Ints,
    new: Floats,
    seed: int,
) -> Floats:
    """Logits of `new` from a model of `features`, the places that are `chosen`."""
    fit, loss = _KINDS[probe.kind]
    truth = probe.truth[chosen]
    part = Probe(probe.kind, truth, probe.classes)
    inner = folds(groups[chosen], _strata(part, groups[chosen]), INNER_FOLDS, seed + 1)
    losses = np.zeros(len(STRENGTHS))
    for fold in range(INNER_FOLDS):
        rest, held = inner != fold, inner == fold
        if rest.any() and held.any():
            said = fit(features[rest], truth[rest], probe.classes, STRENGTHS, features[held])
            losses += [loss(each, truth[held]) for each in said]
    best = STRENGTHS[int(losses.argmin())]
    return fit(features, truth, probe.classes, (best,), new)[0]


def turned(features: NDArray[np.floating]) -> Floats:
    """The features with the mean and deviation of each column taken out, in the space of their main
    axes: [places, at most MOST_AXES]. A squared length is about 1.

    No label is looked at. Where all axes are kept, penalised models are the same as without.
    """
    from sklearn.decomposition import PCA

    deviation = features.std(axis=0)
    there = deviation > 1e-6
    if not there.any():  # all places look the same
        return np.zeros((len(features), 1))
    known = (features[:, there] - features[:, there].mean(axis=0)) / deviation[there]
    axes = PCA(min(MOST_AXES, *known.shape), random_state=0)
    found: Floats = axes.fit_transform(known).astype(np.float64) / np.sqrt(known.shape[1])
    return found


Fit = Callable[[Floats, NDArray[Any], int, Sequence[float], Floats], list[Floats]]


def _classes(
    known: Floats,
    truth: NDArray[Any],
    classes: int,
    strengths: Sequence[float],
    new: Floats,
) -> list[Floats]:
    """Logistic regression: log-probabilities for each strength, [new, classes] each."""
    from sklearn.linear_model import LogisticRegression

    there = np.unique(truth)
    found = []
    model = LogisticRegression(max_iter=MOST_STEPS, tol=1e-3, warm_start=True)
    for strength in strengths:
        logits = np.full((len(new), classes), UNSEEN)
        if len(there) == 1:
            logits[:, there] = 0.0
        else:
            said = model.set_params(C=strength).fit(known, truth).decision_function(new)
            if said.ndim == 1:
                said = np.stack([-said / 2, said / 2], axis=1)
            logits[:, there] = said
        found.append(log_softmax(logits))
    return found


def _labels(
    known: Floats,
    truth: NDArray[Any],
    classes: int,
    strengths: Sequence[float],
    new: Floats,
) -> list[Floats]:
    """A logistic regression for each label: logits for each strength, [new, labels] each."""
    columns = [
        [pair[:, 1] - pair[:, 0] for pair in _classes(known, own, 2, strengths, new)]
        for own in truth.T
    ]
    return [np.stack(each, axis=1) for each in zip(*columns, strict=True)]


def _number(
    known: Floats,
    truth: NDArray[Any],
    classes: int,
    strengths: Sequence[float],
    new: Floats,
) -> list[Floats]:
    """Ridge regression, of which a strength is the inverse: numbers, [new, 1] each."""
    from sklearn.linear_model import Ridge

    found = [Ridge(alpha=1 / each).fit(known, truth).predict(new) for each in strengths]
    return [np.asarray(said, np.float64)[:, None] for said in found]


def _cross_entropy(logits: Floats, truth: NDArray[Any]) -> float:
    return float(-logits[np.arange(len(truth)), truth].sum())  # they are log-probabilities


def _binary_cross_entropy(logits: Floats, truth: NDArray[Any]) -> float:
    return float(softplus(np.where(truth.astype(bool), -logits, logits)).sum())


def _squared_error(said: Floats, truth: NDArray[Any]) -> float:
    return float(((said[:, 0] - truth) ** 2).sum())


_KINDS: dict[str, tuple[Fit, Callable[[Floats, NDArray[Any]], float]]] = {
    "class": (_classes, _cross_entropy),
    "labels": (_labels, _binary_cross_entropy),
    "number": (_number, _squared_error),
}
