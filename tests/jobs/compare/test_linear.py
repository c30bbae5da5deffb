"""Linear models on frozen features: they find what is there, and nothing that is not."""

import numpy as np
import pytest

from unfreeze.jobs.compare.linear import MOST_AXES, UNSEEN, folds, out_of_fold, turned
from unfreeze.jobs.tasks.task import Probe

ROWS, WIDTH = 120, 40


def features(seed: int = 0, rows: int = ROWS, width: int = WIDTH) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, width))


def accuracy(values: np.ndarray, truth: np.ndarray, classes: int) -> float:
    logits = out_of_fold(values, Probe("class", truth, classes), np.arange(len(truth)), seed=0)
    assert np.allclose(np.exp(logits).sum(axis=1), 1)
    return float((logits.argmax(axis=1) == truth).mean())


@pytest.mark.parametrize("classes", [2, 3])
def test_a_planted_class_is_found(classes: int) -> None:
    truth = np.arange(ROWS) % classes
    values = features()
    values[:, :classes] += 3 * np.eye(classes)[truth]
    assert accuracy(values, truth, classes) > 0.9


def test_where_there_is_nothing_wide_features_find_nothing() -> None:
    """More columns than rows fit any label of the rows that were seen, and no other."""
    truth = np.arange(ROWS) % 2
    assert 0.3 < accuracy(features(width=300), truth, 2) < 0.7


def test_planted_labels_are_found_each_by_itself() -> None:
    truth = np.stack([np.arange(ROWS) % 2, np.arange(ROWS) // 2 % 2], axis=1)
    values = features()
    values[:, :2] += 4 * truth
    logits = out_of_fold(values, Probe("labels", truth, 2), np.arange(ROWS), seed=0)
    assert ((logits > 0) == truth).mean() > 0.9


def test_a_planted_number_is_found_whatever_its_unit() -> None:
    values = features()
    truth = 1000 + 50 * values[:, 3]
    said = out_of_fold(values, Probe("number", truth), np.arange(ROWS), seed=0)
    assert np.corrcoef(said[:, 0], truth)[0, 1] > 0.95
    assert abs(said[:, 0].mean() - 1000) < 10


def test_a_class_of_one_row_is_never_found_and_breaks_nothing() -> None:
    truth = np.arange(ROWS) % 2
    truth[7] = 2
    logits = out_of_fold(features(), Probe("class", truth, 3), np.arange(ROWS), seed=0)
    assert logits[7, 2] < UNSEEN / 2
    assert np.isfinite(logits).all()


def test_what_belongs_together_is_in_one_fold_and_each_class_is_in_all() -> None:
    groups = np.repeat(np.arange(30), 4)
    strata = groups % 3
    fold_of = folds(groups, strata, 5, 0)
    assert (fold_of.reshape(30, 4) == fold_of[::4, None]).all()
    for stratum in range(3):
        assert np.bincount(fold_of[strata == stratum], minlength=5).tolist() == [8] * 5
    assert (fold_of == folds(groups, strata, 5, 0)).all()
    assert (fold_of != folds(groups, strata, 5, 1)).any()


def test_words_of_a_row_do_not_tell_of_one_another() -> None:
    """Each row has a mark and a label of its own. Words that stood in both parts would tell."""
    groups = np.repeat(np.arange(20), 6)
    truth = np.repeat(np.random.default_rng(0).permutation(20) % 2, 6)
    values = np.eye(20)[groups]
    apart = out_of_fold(values, Probe("class", truth, 2), groups, seed=0)
    mixed = out_of_fold(values, Probe("class", truth, 2), np.arange(len(truth)), seed=0)
    assert (mixed.argmax(axis=1) == truth).mean() == 1
    assert (apart.argmax(axis=1) == truth).mean() < 0.8


def test_the_turned_space_has_the_same_products_and_no_more_columns_than_rows() -> None:
    values = 7 + 3 * features(rows=10)
    found = turned(values)
    assert found.shape == (10, 10)
    plain = (values - values.mean(axis=0)) / (values.std(axis=0) * np.sqrt(WIDTH))
    assert np.allclose(found @ found.T, plain @ plain.T)
    assert (found**2).sum(axis=1).mean() == pytest.approx(1)


def test_of_many_columns_the_main_axes_are_kept() -> None:
    values = features(rows=MOST_AXES + 50, width=MOST_AXES + 30)
    assert turned(values).shape == (MOST_AXES + 50, MOST_AXES)


def test_features_that_are_all_the_same_are_no_error() -> None:
    found = turned(np.ones((ROWS, 3)))
    assert not found.any()
    assert accuracy(found, np.arange(ROWS) % 2, 2) < 0.6
