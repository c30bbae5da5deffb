"""The rows that candidates are judged by."""

import numpy as np

from unfreeze.jobs.compare.sample import stratified


def test_every_class_has_its_share_of_the_chosen_rows() -> None:
    classes = np.array([0] * 900 + [1] * 90 + [2] * 10)
    chosen = stratified(classes, 100)
    assert np.bincount(classes[chosen]).tolist() == [90, 9, 1]
    assert len(set(chosen.tolist())) == 100


def test_the_same_rows_are_chosen_each_time_and_more_of_them_include_fewer() -> None:
    classes = np.arange(50) % 3
    few, many = stratified(classes, 10), stratified(classes, 20)
    assert set(few.tolist()) < set(many.tolist())
    assert stratified(classes, 10).tolist() == few.tolist()
    assert sorted(stratified(classes, 80).tolist()) == list(range(50))
