"""Files of numbers that grow."""

import numpy as np
import pytest

from unfreeze.jobs.data import growing_array
from unfreeze.jobs.data.growing_array import GrowingArray


def written(path, *parts):
    array = GrowingArray(path)
    for part in parts:
        array.append(np.asarray(part))
    array.close()
    return np.load(path)


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_parts_come_one_after_the_other(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(growing_array, "_AT_ONCE", at_once)
    found = written(tmp_path / "a.npy", [1, 2, 3], [], [4])
    assert found.tolist() == [1, 2, 3, 4] and found.dtype == np.int64
    vectors = written(tmp_path / "b.npy", [[1.5, 2], [3, 4]], [[5, 6]])
    assert vectors.tolist() == [[1.5, 2], [3, 4], [5, 6]]


def test_types_that_differ_become_one_that_holds_both(tmp_path):
    assert written(tmp_path / "a.npy", [1, 2], [0.5], [3]).tolist() == [1, 2, 0.5, 3]
    assert written(tmp_path / "b.npy", [], [True]).dtype == np.bool_


def test_nothing_is_an_empty_array_which_can_be_mapped(tmp_path):
    assert written(tmp_path / "a.npy").shape == (0,)
    assert len(np.load(tmp_path / "a.npy", mmap_mode="r")) == 0
