"""Which examples come together, and as which arrays."""

import time

import numpy as np
import pyarrow as pa
import pytest

from unfreeze.jobs.data.batches import epoch_batches, padded, score_batches, split_batch
from unfreeze.jobs.data.token_store import Examples, Split, SplitWriter


def some_lengths(count, seed=0):
    return np.random.default_rng(seed).integers(3, 128, count)


def all_of(parts):
    return sorted(int(row) for part in parts for row in part)


@pytest.mark.parametrize(("count", "size"), [(1, 4), (4, 4), (5, 4), (999, 8), (5000, 32), (3, 1)])
def test_an_epoch_has_every_example_once_and_only_the_last_batch_is_short(count, size):
    batches = epoch_batches(some_lengths(count), size, seed=1, epoch=2)
    assert all_of(batches) == list(range(count))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert len(batches) == -(-count // size)


def test_no_examples_make_no_batches():
    assert epoch_batches(some_lengths(0), 4, 0, 0) == []
    assert score_batches(some_lengths(0), 4, 2) == []


def test_the_order_is_a_function_of_seed_and_epoch():
    lengths = some_lengths(500)
    orders = {
        tuple(np.concatenate(epoch_batches(lengths, 8, seed, epoch)))
        for seed in range(3)
        for epoch in range(3)
        for _ in range(2)
    }
    assert len(orders) == 9


def test_the_order_never_changes():
    """A run that another version began goes on with the same data."""
    first = epoch_batches(np.arange(20), 4, seed=3, epoch=1)
    assert [batch.tolist() for batch in first] == [
        [16, 17, 18, 19],
        [4, 5, 6, 7],
        [0, 1, 2, 3],
        [12, 13, 14, 15],
        [8, 9, 10, 11],
    ]


def test_little_of_a_batch_is_padding():
    lengths = some_lengths(4000)
    batches = epoch_batches(lengths, 32, 0, 0)
    filled_up = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert filled_up < 1.05 * lengths.sum()


def test_long_and_short_batches_come_in_random_order():
    lengths = some_lengths(6400)
    means = [lengths[batch].mean() for batch in epoch_batches(lengths, 32, 0, 0)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


def test_parts_of_a_batch_have_every_example_once_and_are_even():
    draw = np.random.default_rng(0)
    for _ in range(300):
        count, workers, micros = draw.integers(1, 70), draw.integers(1, 6), draw.integers(1, 5)
        lengths = some_lengths(200, int(count))
        batch = draw.permutation(200)[:count]
        parts = split_batch(batch, lengths, int(workers), int(micros))
        assert [len(ranks) for ranks in parts] == [workers] * micros
        sizes = [len(rows) for ranks in parts for rows in ranks]
        assert all_of(rows for ranks in parts for rows in ranks) == sorted(batch)
        assert max(sizes) - min(sizes) <= 1
        totals = [sum(len(ranks[rank]) for ranks in parts) for rank in range(workers)]
        assert max(totals) - min(totals) <= 1


def test_ranks_have_similar_lengths_in_the_same_micro_batch():
    lengths = some_lengths(1000)
    for micro in split_batch(np.arange(64), lengths, 2, 4):
        longest = [lengths[rows].max() for rows in micro]
        assert max(longest) - min(longest) <= 12


def test_parts_of_a_batch_smaller_than_the_ranks_may_be_empty():
    parts = split_batch(np.array([5]), some_lengths(10), workers=2, micro_batches=2)
    assert sorted(len(rows) for ranks in parts for rows in ranks) == [0, 0, 0, 1]


@pytest.mark.parametrize(("count", "size", "workers"), [(100, 16, 2), (101, 16, 3), (1, 8, 4)])
def test_scoring_sees_every_example_once_in_as_many_steps_on_every_rank(count, size, workers):
    lengths = some_lengths(count)
    steps = score_batches(lengths, size, workers)
    assert [len(ranks) for ranks in steps] == [workers] * -(-count // size)
    assert all_of(rows for ranks in steps for rows in ranks) == list(range(count))
    for ranks in steps:
        assert max(map(len, ranks)) - min(map(len, ranks)) <= 1
    firsts = [lengths[np.concatenate(ranks)].max() for ranks in steps]
    assert firsts == sorted(firsts, reverse=True)


def make_split(folder, sequences, **more):
    examples = Examples({name: list(parts) for name, parts in sequences.items()}, **more)
    count = len(sequences["input_ids"]) if examples.row_of is None else max(examples.row_of) + 1
    rows = [{"row": i + 1, "text": "x"} for i in range(count)]
    schema = pa.schema([("row", pa.int64()), ("text", pa.string())])
    with SplitWriter(folder, schema) as writer:
        writer.add(examples, rows)
    return Split(folder)


@pytest.fixture
def split(tmp_path):
    tokens = [[7, 8, 9], [4, 5], [6]]
    return make_split(tmp_path / "split", {"input_ids": tokens}, values={"labels": [0, 1, 0]})


def test_examples_are_padded_on_the_right_to_the_longest(split):
    arrays = padded(split, np.array([1, 0]), {"input_ids": 99})
    assert arrays["input_ids"].tolist() == [[4, 5, 99], [7, 8, 9]]
    assert arrays["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert arrays["labels"].tolist() == [1, 0]
    assert arrays.pop("weights").tolist() == [1.0, 1.0]
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.int64)}
    assert set(arrays) == {"input_ids", "attention_mask", "labels"}


def test_no_examples_make_one_made_up_example(split):
    arrays = padded(split, np.array([], np.int64), {"input_ids": 99})
    assert arrays["input_ids"].tolist() == [[7, 8]]
    assert arrays["attention_mask"].tolist() == [[1, 1]]
    assert arrays["labels"].shape == (1,)


def test_the_made_up_example_of_one_token_has_one(tmp_path):
    split = make_split(tmp_path / "split", {"input_ids": [[7], [4, 5]]})
    arrays = padded(split, [], {"input_ids": 99})
    assert arrays["input_ids"].tolist() == [[7]]
    assert arrays["attention_mask"].tolist() == [[1]]


def test_the_made_up_example_has_two_tokens_of_every_sequence(tmp_path):
    tokens, targets = [[7, 8, 9], [4]], [[1, 2, 3, 4], [5, 6]]
    split = make_split(tmp_path / "split", {"input_ids": tokens, "targets": targets})
    arrays = padded(split, [], {"input_ids": 99, "targets": -100})
    assert (arrays["input_ids"].tolist(), arrays["targets"].tolist()) == ([[7, 8]], [[1, 2]])


def test_a_parallel_sequence_is_padded_like_the_ids_with_its_own_fill(tmp_path):
    sequences = {"input_ids": [[7, 8, 9], [4, 5]], "token_type_ids": [[0, 1, 1], [0, 1]]}
    split = make_split(tmp_path / "pairs", sequences)
    arrays = padded(split, [0, 1], {"input_ids": 99, "token_type_ids": 0})
    assert arrays["token_type_ids"].tolist() == [[0, 1, 1], [0, 1, 0]]
    assert arrays["token_type_ids"].dtype == np.int64


def test_a_sequence_of_its_own_length_is_padded_to_its_own_longest(tmp_path):
    tokens, targets = [[7, 8, 9], [4]], [[1], [2, 3]]
    split = make_split(tmp_path / "split", {"input_ids": tokens, "targets": targets})
    arrays = padded(split, [1, 0], {"input_ids": 99, "targets": -100})
    assert arrays["input_ids"].tolist() == [[4, 99, 99], [7, 8, 9]]
    assert arrays["targets"].tolist() == [[2, 3], [1, -100]]
    assert arrays["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1]]


def test_values_may_be_vectors_and_weights_any_number(tmp_path):
    values = {"labels": [[0, 1], [1, 1], [1, 0]]}
    tokens = {"input_ids": [[7], [4], [6]]}
    split = make_split(tmp_path / "split", tokens, values=values, weights=[2, 0.5, 7])
    arrays = padded(split, [2, 0], {"input_ids": 99})
    assert arrays["labels"].tolist() == [[1, 0], [0, 1]]
    assert arrays["weights"].tolist() == [7.0, 2.0]


def test_padding_writes_nothing_back(split):
    padded(split, [0], {"input_ids": 99})["input_ids"][:] = 0
    assert split.sequence("input_ids", 0).tolist() == [7, 8, 9]
    with pytest.raises(ValueError, match="read-only"):
        split.sequence("input_ids", 0)[0] = 1


def test_padding_is_quick(tmp_path):
    tokens = [list(range(length)) for length in some_lengths(1000)]
    split = make_split(tmp_path / "large", {"input_ids": tokens})
    batches = epoch_batches(split.lengths, 32, 0, 0)
    times = []
    for batch in batches:
        started = time.perf_counter()
        padded(split, batch, {"input_ids": 0})
        times.append(time.perf_counter() - started)
    assert np.median(times) < 1e-3  # 0.05 ms on a quiet machine
