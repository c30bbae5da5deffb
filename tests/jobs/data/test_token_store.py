"""The examples of a split, written piece by piece and read back."""

import numpy as np
import pyarrow as pa
import pytest

from unfreeze.jobs.data.token_store import Examples, ExamplesWriter, Split, SplitWriter

SCHEMA = pa.schema([("row", pa.int64()), ("text", pa.string())])


def some_rows(*numbers):
    return [{"row": number, "text": f"text {number}"} for number in numbers]


def ids(*parts):
    return {"input_ids": [list(part) for part in parts]}


def written(folder, *batches, pack=None):
    """The split of batches of (examples, rows)."""
    with SplitWriter(folder, SCHEMA, pack=pack) as writer:
        for examples, rows in batches:
            writer.add(examples, rows)
    return Split(folder)


def test_examples_come_back_as_they_were_given_batch_by_batch(tmp_path):
    split = written(
        tmp_path / "split",
        (Examples(ids([7, 8, 9], [4]), {"labels": [0, 2]}), some_rows(3, 5)),
        (Examples(ids([6, 6]), {"labels": [1]}), some_rows(8)),
    )
    assert len(split) == split.units == 3
    assert split.lengths.tolist() == [3, 1, 2]
    assert [split.sequence("input_ids", i).tolist() for i in range(3)] == [[7, 8, 9], [4], [6, 6]]
    assert split.sequence("input_ids", 0).dtype == np.int32
    assert split.values["labels"].tolist() == [0, 2, 1]
    assert split.weights.tolist() == [1.0, 1.0, 1.0]
    assert split.rows([2, 0]) == [{"row": 8, "text": "text 8"}, {"row": 3, "text": "text 3"}]
    assert split.rows_begin is None
    assert split.examples_of(np.array([2, 0])).tolist() == [2, 0]


def test_a_sequence_that_is_as_long_token_for_token_has_no_offsets_of_its_own(tmp_path):
    sequences = ids([7, 8], [4]) | {"token_type_ids": [[0, 1], [1]], "targets": [[5], [6]]}
    split = written(tmp_path / "split", (Examples(sequences), some_rows(1, 2)))
    assert set(split.offsets) == {"input_ids", "targets"}
    assert set(split.sequences) == {"input_ids", "token_type_ids", "targets"}
    assert split.sequence("token_type_ids", 1).tolist() == [1]
    assert split.sequences["token_type_ids"].dtype == np.int8
    assert split.sequence("targets", 1).tolist() == [6]
    assert split.lengths.tolist() == [3, 2], "what is parallel counts once"


def test_examples_of_a_row_are_found_and_come_in_order(tmp_path):
    split = written(
        tmp_path / "split",
        (Examples(ids([1], [2], [3]), row_of=[0, 0, 1]), some_rows(1, 2)),
        (Examples(ids([4], [5], [6]), row_of=[0, 1, 1]), some_rows(3, 4)),
    )
    assert (len(split), split.units) == (6, 4)
    assert split.examples_of(np.arange(4)).tolist() == [0, 1, 2, 3, 4, 5]
    assert split.examples_of(np.array([3, 0])).tolist() == [4, 5, 0, 1]
    assert split.units_of(np.array([5, 0, 3])).tolist() == [3, 0, 2]
    assert [row["row"] for row in split.rows([3, 0])] == [4, 1]


def test_rows_without_an_example_are_units_too(tmp_path):
    split = written(
        tmp_path / "split",
        (Examples(ids([1], [2]), row_of=[0, 0]), some_rows(1, 2)),
        (Examples(ids([3]), {}, row_of=[0]), some_rows(3, 4)),
        (Examples(ids(), row_of=[]), some_rows(5)),
    )
    assert (len(split), split.units) == (3, 5)
    assert split.examples_of(np.arange(5)).tolist() == [0, 1, 2]
    assert split.examples_of(np.array([1, 3, 4])).tolist() == []


def test_rows_are_found_in_any_order_whatever_batch_they_came_in(tmp_path):
    batches = [(Examples(ids([n], [n])), some_rows(n, n + 10)) for n in range(5)]
    split = written(tmp_path / "split", *batches)
    found = split.rows(np.array([9, 0, 3, 0, 8]))
    assert [row["row"] for row in found] == [14, 0, 11, 0, 4]


def test_parts_put_together_are_what_they_would_be_in_one(tmp_path):
    batches = [
        Examples(
            ids([1, 2], [3]) | {"token_type_ids": [[0, 1], [0]], "labels": [[7], [8, 9]]},
            {"begin": [[0, 1], [1, 1]]},
            row_of=[0, 1],
            weights=[1, 0.5],
            cut_off=1,
        ),
        Examples(
            ids([4]) | {"token_type_ids": [[1]], "labels": [[6]]},
            {"begin": [[2, 2]]},
            row_of=[1],
            weights=[2],
        ),
    ]
    whole, joined = ExamplesWriter(tmp_path / "whole"), ExamplesWriter(tmp_path / "joined")
    for i, batch in enumerate(batches):
        whole.add(batch, 2)
        part = ExamplesWriter(tmp_path / f"part-{i}")
        part.add(batch, 2)
        part.close_part()
        joined.add_part(tmp_path / f"part-{i}")
    whole.close_split()
    joined.close_split()
    assert (joined.rows, joined.cut_off) == (whole.rows, whole.cut_off) == (4, 1)
    files = {file.name: file.read_bytes() for file in (tmp_path / "whole").iterdir()}
    assert files == {file.name: file.read_bytes() for file in (tmp_path / "joined").iterdir()}
    assert {"input_ids.npy", "labels.offsets.npy", "row_of.npy", "values.begin.npy"} < files.keys()
    assert "token_type_ids.offsets.npy" not in files


def test_weights_are_those_of_the_examples(tmp_path):
    examples = Examples(ids([1, 2], [3]), weights=[2, 0.5])
    assert written(tmp_path / "split", (examples, some_rows(1, 2))).weights.tolist() == [2.0, 0.5]


def test_values_may_be_vectors(tmp_path):
    examples = Examples(ids([1], [3]), {"labels": [[0, 1, 1], [1, 0, 0]]})
    split = written(tmp_path / "split", (examples, some_rows(1, 2)))
    assert split.values["labels"][1].tolist() == [1, 0, 0]


def test_rows_that_were_cut_off_are_counted_over_all_batches(tmp_path):
    with SplitWriter(tmp_path / "split", SCHEMA) as writer:
        writer.add(Examples(ids([1]), cut_off=1), some_rows(1))
        writer.add(Examples(ids([1], [2]), cut_off=2), some_rows(2, 3))
    assert writer.cut_off == 3


def test_packed_examples_are_cut_out_of_the_stream_of_all_rows(tmp_path):
    split = written(
        tmp_path / "split",
        (Examples(ids([1, 2, 3], [4])), some_rows(11, 12)),
        (Examples(ids([5, 6, 7, 8, 9])), some_rows(13)),
        pack=4,
    )
    assert len(split) == split.units == 3
    pieces = [split.sequence("input_ids", i).tolist() for i in range(3)]
    assert pieces == [[1, 2, 3, 4], [5, 6, 7, 8], [9]]
    assert split.lengths.tolist() == [4, 4, 1]
    assert split.rows_begin is not None
    assert split.rows_begin.tolist() == [0, 3, 4]
    assert split.rows([0, 1, 2]) == [{"row": 11}, {"row": 13}, {"row": 13}]
    assert split.weights.tolist() == [2.0, 3.0, 0.0], "tokens after one of the same row and piece"


def test_a_row_of_no_tokens_begins_no_packed_example(tmp_path):
    rows = (Examples(ids([1, 2], [], [3, 4])), some_rows(1, 2, 3))
    split = written(tmp_path / "split", rows, pack=2)
    assert [row["row"] for row in split.rows([0, 1])] == [1, 3]
    assert split.weights.tolist() == [1.0, 1.0]


def test_a_split_that_failed_half_way_is_not_whole(tmp_path):
    with (
        pytest.raises(OSError, match="disk full"),
        SplitWriter(tmp_path / "split", SCHEMA) as writer,
    ):
        writer.add(Examples(ids([1])), some_rows(1))
        raise OSError("disk full")
    assert not list((tmp_path / "split").glob("*.npy"))


def test_many_tokens_need_a_longer_header_and_get_it(tmp_path):
    count = 12_345
    split = written(tmp_path / "split", (Examples(ids(range(count))), some_rows(1)))
    assert split.sequence("input_ids", 0).tolist() == list(range(count))
