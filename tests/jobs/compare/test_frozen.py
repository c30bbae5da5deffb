"""What is kept of a forward pass."""

import numpy as np
import torch

from unfreeze.jobs.compare.frozen import _at, pooled


def test_padding_is_in_no_mean_and_no_maximum() -> None:
    states = torch.tensor([[[[1.0, -5.0], [3.0, -1.0], [100.0, 100.0]]]])
    mask = torch.tensor([[1, 1, 0]])
    assert pooled(states, mask).tolist() == [[2.0, -3.0, 3.0, -1.0]]


def test_states_are_taken_at_the_places_that_are_shown() -> None:
    """Examples 4 and 1 are shown, in this order; [examples, states, tokens, width]."""
    states = torch.arange(2 * 2 * 3 * 1).reshape(2, 2, 3, 1).float()
    examples, tokens = np.array([0, 1, 1, 4]), np.array([0, 0, 2, 1])
    rows, values = _at(states, np.array([4, 1]), examples, tokens)
    assert rows.tolist() == [1, 2, 3]
    assert values.tolist() == [[6.0, 9.0], [8.0, 11.0], [1.0, 4.0]]
