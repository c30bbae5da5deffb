"""Several documents in one example."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tiny_language
import torch
from transformers import AutoModelForCausalLM

from unfreeze.jobs.data.token_store import Examples, Split, SplitWriter
from unfreeze.jobs.tasks.packing import keeps_apart, longest_piece, positions

SCHEMA = pa.schema([("row", pa.int64()), ("text", pa.string())])


def packed(folder: Path, lengths: list[int], most: int) -> Split:
    """A split of rows of so many tokens, which count up from 1."""
    ids = iter(range(1, sum(lengths) + 1))
    rows = [{"row": 10 + i, "text": "x"} for i in range(len(lengths))]
    with SplitWriter(folder, SCHEMA, pack=most) as writer:
        for length, row in zip(lengths, rows, strict=True):
            some = [next(ids) for _ in range(length)]
            writer.add(Examples({"input_ids": [some], "token_bytes": [some]}), [row])
    return Split(folder)


def test_examples_are_full_but_the_last_and_nothing_is_lost(tmp_path: Path) -> None:
    split = packed(tmp_path / "s", [3, 6, 1, 3], 5)
    assert split.lengths.tolist() == [5, 5, 3] and split.units == len(split) == 3
    assert [split.sequence("input_ids", i).tolist() for i in range(3)] == [
        [1, 2, 3, 4, 5],
        [6, 7, 8, 9, 10],
        [11, 12, 13],
    ]
    assert np.array_equal(split.sequence("token_bytes", 1), split.sequence("input_ids", 1))
    assert "rows_begin" not in split.sequences and not split.values


def test_a_weight_is_the_number_of_tokens_with_one_before_them_in_their_row(tmp_path: Path) -> None:
    split = packed(tmp_path / "s", [3, 6, 1, 3], 5)
    assert split.weights.tolist() == [3, 3, 2]
    places = positions(split, np.arange(3), 5)
    filled = np.arange(5) < split.lengths[:, None]
    assert ((places > 0) & filled).sum(axis=1).tolist() == split.weights.tolist()


def test_rows_of_no_tokens_do_not_count(tmp_path: Path) -> None:
    split = packed(tmp_path / "s", [0, 3, 0, 0, 3, 0], 10)
    assert split.weights.tolist() == [4]
    assert positions(split, np.arange(1), 6).tolist() == [[0, 1, 2, 0, 1, 2]]


def test_positions_begin_anew_with_each_document_and_with_what_fills_up(tmp_path: Path) -> None:
    split = packed(tmp_path / "s", [3, 6, 1, 3], 5)
    assert positions(split, np.array([2, 0, 1]), 5).tolist() == [
        [0, 1, 2, 0, 1],
        [0, 1, 2, 0, 1],
        [0, 1, 2, 3, 0],
    ]


def test_the_row_in_which_an_example_begins_is_known(tmp_path: Path) -> None:
    split = packed(tmp_path / "s", [3, 6, 1, 3], 5)
    assert split.rows([0, 1, 2]) == [{"row": 10}, {"row": 11}, {"row": 13}]


def test_the_longest_piece_of_a_document_is_found(tmp_path: Path) -> None:
    split = packed(tmp_path / "s", [3, 6, 1, 3], 10)
    assert longest_piece(split, 0) == (3, 6)
    assert longest_piece(split, 1) == (0, 3)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", ["gpt2", "llama", "mistral"])
def test_logits_of_packed_documents_are_those_that_they_have_alone(
    tmp_path: Path, kind: str, attention: str
) -> None:
    folder = tiny_language.write_model(tmp_path / "m", kind=kind)
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation=attention).eval()
    assert keeps_apart(model)
    split = packed(tmp_path / "s", [13, 20, 7], 40)
    ids, places = torch.arange(1, 41)[None], torch.from_numpy(positions(split, np.arange(1), 40))
    with torch.no_grad():
        together = model(input_ids=ids, position_ids=places, use_cache=False).logits
        for start, end in ((0, 13), (13, 33), (33, 40)):
            alone = model(input_ids=ids[:, start:end], use_cache=False).logits
            assert torch.allclose(together[:, start:end], alone, atol=1e-5), (start, end)


@pytest.mark.parametrize("kind", ["bloom", "mamba"])
def test_models_that_do_not_heed_positions_are_found_out(tmp_path: Path, kind: str) -> None:
    folder = tiny_language.write_model(tmp_path / "m", kind=kind)
    model = AutoModelForCausalLM.from_pretrained(folder).train()
    assert not keeps_apart(model)
    assert model.training
