"""Scoring without a process group: every example once, in order, whatever the batches are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tiny
import torch

from unfreeze.jobs.config import ModelConfig
from unfreeze.jobs.data.batches import padded
from unfreeze.jobs.data.token_store import Examples, Split, SplitWriter
from unfreeze.jobs.data.tokenizer import decoder, load_tokenizer
from unfreeze.jobs.model import build_model
from unfreeze.jobs.scoring import Scorer
from unfreeze.jobs.tasks import open_task
from unfreeze.jobs.tasks.task import Arrays, Task, Units
from unfreeze.jobs.tasks.text_classification import TextClassificationOptions

SCHEMA = pa.schema([("row", pa.int64())])


def split_of(folder: Path, examples: Examples, rows: int) -> Split:
    with SplitWriter(folder, SCHEMA) as writer:
        writer.add(examples, [{"row": i + 1} for i in range(rows)])
    return Split(folder)


class Doubling(Task):
    """Keeps twice each token, so that what it keeps is as wide as the batch is long."""

    thorough: list[bool]

    def collate(self, split: Split, examples: Units, pad_id: int) -> Arrays:
        return padded(split, examples, {"input_ids": pad_id})

    def keep(
        self, model: Any, batch: Mapping[str, torch.Tensor], *, thorough: bool
    ) -> dict[str, torch.Tensor]:
        self.thorough.append(thorough)
        ids = batch["input_ids"] * batch["attention_mask"]
        return {"doubled": 2 * ids, "lengths": batch["attention_mask"].sum(dim=1)}


@pytest.fixture
def doubling() -> Doubling:
    task = Doubling()  # type: ignore[abstract]
    task.thorough = []
    return task


TOKENS = [[1], [2, 3, 4], [5, 6], [7], [8, 9, 10, 11]]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_what_is_kept_comes_in_the_order_of_the_examples(
    tmp_path: Path, doubling: Doubling, batch_size: int
) -> None:
    split = split_of(tmp_path / "split", Examples({"input_ids": TOKENS}), 5)
    scorer = Scorer(doubling, 99, batch_size, str)
    kept = scorer.keep(torch.nn.Linear(1, 1), split, np.array([4, 0, 2]))
    assert kept["doubled"].tolist() == [[16, 18, 20, 22], [2, 0, 0, 0], [10, 12, 0, 0]]
    assert kept["lengths"].tolist() == [4, 1, 2]
    assert set(doubling.thorough) == {False}


def test_all_examples_of_a_unit_are_kept_one_after_the_other(
    tmp_path: Path, doubling: Doubling
) -> None:
    examples = Examples({"input_ids": TOKENS}, row_of=[0, 0, 1, 2, 2])
    split = split_of(tmp_path / "split", examples, 3)
    kept = Scorer(doubling, 0, 2, str).keep(
        torch.nn.Linear(1, 1), split, np.array([2, 0]), thorough=True
    )
    assert kept["lengths"].tolist() == [1, 4, 1, 3]
    assert set(doubling.thorough) == {True}


def test_logits_are_those_of_each_row_alone(tmp_path: Path) -> None:
    folder = tiny.write_model(tmp_path / "model")
    model = ModelConfig(path=str(folder))
    task = open_task(TextClassificationOptions(), {"labels": ["bad", "good"]})
    tokenizer = load_tokenizer(str(folder), model)
    rows = tiny.rows(20)
    split = split_of(tmp_path / "split", task.encode(rows, tokenizer, 32), 20)
    built = build_model(str(folder), model, task, seed=0, pad_token_id=0).eval()
    scorer = Scorer(task, 0, 7, decoder(tokenizer))
    units = np.arange(20)
    with torch.no_grad():
        kept = scorer.keep(built, split, units)
        alone = [
            built(torch.tensor(split.sequence("input_ids", i)[None].astype(np.int64))).logits[0]
            for i in units
        ]
        statistics = scorer.statistics(built, split, units)
    assert kept["logits"] == pytest.approx(torch.stack(alone).numpy(), abs=1e-6)
    assert np.array_equal(statistics, task.statistics(kept, split, units, str))
