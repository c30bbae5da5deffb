"""Text generation: what is learned of a row, what is measured, and what the model says."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_language
import torch
from transformers import AutoModelForCausalLM

from unfreeze.jobs.data.dataset import prepare
from unfreeze.jobs.data.token_store import Split, SplitWriter
from unfreeze.jobs.errors import ConfigError
from unfreeze.jobs.job_file import parse_job
from unfreeze.jobs.metrics import scores_of
from unfreeze.jobs.phases import settle_phases
from unfreeze.jobs.scoring import Scorer, to_tensors
from unfreeze.jobs.tasks.packing import TOGETHER
from unfreeze.jobs.tasks.task import BadRow, Table, Texts
from unfreeze.jobs.tasks.text_generation import TextGeneration, TextGenerationOptions
from unfreeze.jobs.tasks.token_loss import IGNORED

LONG = 24
ROWS: dict[str, list[dict[str, Any]]] = {
    "text": [{"text": text} for text in tiny_language.texts(40, seed=3)],
    "completion": [
        {"prompt": f"{i}: The {thing} is", "completion": f" {colour}."}
        for i in range(8)
        for thing, colour in tiny_language.COLOURS.items()
    ],
    "chat": [
        {
            "messages": [
                {"role": "user", "content": f"{i}: {thing}?"},
                {"role": "assistant", "content": colour},
            ]
        }
        for i in range(8)
        for thing, colour in tiny_language.COLOURS.items()
    ],
}


def task_of(form: str, *, new_rows: bool = False, **options: Any) -> TextGeneration:
    settings = {"form": form, "prompt_tokens": 5, "decoding": {"new_tokens": 7}} | options
    task = TextGeneration(TextGenerationOptions.model_validate(settings), {})
    task.new_rows = new_rows
    return task


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("language")
    tiny_language.write_model(found, chat_template=tiny_language.CHAT, initializer_range=0.4)
    return found


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.fixture(scope="module", params=["text", "completion", "chat"])
def form(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def job(folder: Path, tmp_path: Path, form: str, **data: Any) -> Any:
    train = tiny_language.write_lines(tmp_path / "rows.jsonl", ROWS[form])
    given = {"train": str(train), "validation": 0.25, "max_length": LONG} | data
    task = {"name": "text-generation", "form": form}
    return parse_job({"name": "j", "model": str(folder), "task": task, "data": given})


@pytest.fixture(scope="module")
def split(folder: Path, form: str, tmp_path_factory: pytest.TempPathFactory) -> Split:
    tmp_path = tmp_path_factory.mktemp(form)
    prepared = prepare(job(folder, tmp_path, form), str(folder), cache=tmp_path)
    assert not any(prepared.cut_off.values())
    return prepared.splits["validation"]


def batch_of(task: TextGeneration, split: Split, examples: list[int]) -> dict[str, torch.Tensor]:
    return to_tensors(task.collate(split, np.array(examples, np.int64), 0), "cpu")


def targets_of(split: Split, form: str, example: int) -> np.ndarray:
    """Which tokens of an example are predicted, the long way round."""
    size = int(split.lengths[example])
    if form != "text":
        return split.sequence("is_target", example).astype(bool)
    assert split.rows_begin is not None
    start = split.offsets["input_ids"][example]
    return np.array([i > 0 and start + i not in split.rows_begin for i in range(size)])


def test_a_weight_counts_the_tokens_that_are_predicted(split: Split, form: str) -> None:
    batch = batch_of(task_of(form), split, list(range(len(split))))
    counted = (batch["targets"] != IGNORED).sum(dim=1)
    assert counted.tolist() == split.weights.tolist()
    for example, targets in enumerate(batch["targets"]):
        wanted = targets_of(split, form, example)
        assert torch.equal(
            targets[: len(wanted) - 1][torch.from_numpy(wanted[1:])],
            torch.from_numpy(split.sequence("input_ids", example)[wanted].astype(np.int64)),
        )


def test_scores_are_those_of_each_document_alone(model: Any, split: Split, form: str) -> None:
    task, units = task_of(form), np.arange(split.units)
    with torch.no_grad():
        kept = Scorer(task, 0, 4, str).keep(model, split, units)
    found = task.statistics(kept, split, units, str)
    for example in range(len(split)):
        wanted = targets_of(split, form, example)
        ids = torch.from_numpy(split.sequence("input_ids", example).astype(np.int64))
        cuts = [0, len(ids)]
        if form == "text":
            cuts = [*np.flatnonzero(~wanted).tolist(), len(ids)]
        losses, right = [], 0
        for start, end in pairwise(cuts):
            with torch.no_grad():
                logits = model(ids[None, start:end], use_cache=False).logits[0].log_softmax(-1)
            for i in range(start + 1, end):
                if wanted[i]:
                    losses.append(-float(logits[i - 1 - start, ids[i]]))
                    right += int(logits[i - 1 - start].argmax() == ids[i])
        size = split.sequence("token_bytes", example)[wanted].sum()
        expected = [1, sum(losses), len(losses), size, right]
        assert found[example].tolist() == pytest.approx(expected, rel=1e-4)


def test_the_loss_is_the_sum_of_what_is_kept(model: Any, split: Split, form: str) -> None:
    task = task_of(form)
    batch = batch_of(task, split, [0, len(split) - 1, 1])
    with torch.no_grad():
        outputs = model(**task.model_inputs(model, batch))
        kept = task.keep(model, batch, thorough=False)
    assert task.loss(outputs, batch).item() == pytest.approx(kept["loss"].sum().item(), rel=1e-6)


def test_metrics_are_ratios_of_sums() -> None:
    statistics = np.array([[1, 6.0, 4, 10, 1], [1, 2.0, 4, 6, 4]])
    found = scores_of(TextGeneration.metrics, statistics)
    assert found == {
        "loss": 1.0,
        "perplexity": pytest.approx(math.e),
        "bits_per_byte": pytest.approx(0.5 / math.log(2)),
        "next_token_accuracy": 0.625,
    }


def test_a_rank_without_work_takes_part(model: Any, split: Split, form: str) -> None:
    task = task_of(form)
    batch = batch_of(task, split, [])
    kept = task.keep(model, batch, thorough=True)
    assert {len(tensor) for tensor in kept.values()} == {1}
    assert kept["greedy_tokens"].tolist() == [-1]


def test_a_model_that_cannot_keep_documents_apart_is_warned_about_and_given_a_mask(
    model: Any, tmp_path: Path
) -> None:
    bloom = tiny_language.write_model(tmp_path / "bloom", kind="bloom")
    task = task_of("text")
    assert task.check_model(model) == []
    assert task.check_model(AutoModelForCausalLM.from_pretrained(bloom)) == [TOGETHER]
    batch = {name: torch.zeros(1, 2) for name in ("input_ids", "position_ids", "attention_mask")}
    assert set(task.model_inputs(model, batch)) == {"input_ids", "attention_mask", "use_cache"}
    assert task_of("chat").check_model(AutoModelForCausalLM.from_pretrained(bloom)) == []


def said_of(task: TextGeneration, model: Any, split: Split, folder: Path) -> list[dict[str, Any]]:
    tokenizer = tiny_language.read_tokenizer(folder)

    def decode(ids: Any) -> str:
        text: str = tokenizer.decode(ids, skip_special_tokens=True)
        return text

    units = np.arange(split.units)
    with torch.no_grad():
        kept = Scorer(task, 0, 3, decode).keep(model, split, units, thorough=True)
    return list(task.predictions(kept, split, units, decode))


def test_samples_are_spread_evenly_and_all_rows_have_their_loss(
    model: Any, split: Split, form: str, folder: Path
) -> None:
    said = said_of(task_of(form, samples=2), model, split, folder)
    assert len(said) == split.units
    samples = [line for line in said if "continuation" in line]
    assert samples == [said[0], said[-1]]
    for line in said:
        assert line["loss"] > 0 and line["tokens"] > 0
    for line in samples:
        assert line["prompt"].startswith(
            ("The", "0:", "1:", "2:", "3:", "4:", "5:", "6:", "7:", " ")
        )
        assert 0 <= line["repetition"] <= 1 and 0 < line["distinct_1"] <= line["distinct_2"] <= 1
        assert line["drawn"]["continuation"] != line["continuation"]


def test_samples_do_not_depend_on_what_else_is_in_the_batch(
    model: Any, split: Split, form: str, folder: Path
) -> None:
    alone = said_of(task_of(form, samples=1), model, split, folder)[0]
    assert said_of(task_of(form, samples=50), model, split, folder)[0] == alone


def test_new_rows_are_gone_on_with(model: Any, form: str, folder: Path, tmp_path: Path) -> None:
    import pyarrow as pa

    task = task_of(form, new_rows=True)
    assert task.pack(LONG) is None
    columns = [role.name for role in task.options.roles if not role.is_target]
    rows = [{"row": i} | {name: row[name] for name in columns} for i, row in enumerate(ROWS[form])]
    schema = pa.Table.from_pylist(rows[:5]).schema
    with SplitWriter(tmp_path / "s", schema, pack=task.pack(LONG)) as writer:
        for row in rows[:5]:
            task.look(row)
        writer.add(task.encode(rows[:5], tiny_language.read_tokenizer(folder), LONG), rows[:5])
    said = said_of(task, model, Split(tmp_path / "s"), folder)
    assert len(said) == 5
    assert set(said[0]) == {"continuation", "repetition", "distinct_1", "distinct_2"}


@pytest.mark.parametrize(
    ("form", "row", "role", "problem"),
    [
        ("text", {"text": "  "}, "text", "expected text, found none"),
        ("text", {"text": None}, "text", "expected text, found none"),
        (
            "completion",
            {"prompt": "a", "completion": ""},
            "completion",
            "expected text, found none",
        ),
        ("chat", {"messages": []}, "messages", "found none"),
        ("chat", {"messages": [{"role": "user"}]}, "messages", "found {'role': 'user'}"),
        ("chat", {"messages": ["hello"]}, "messages", "found 'hello'"),
        (
            "chat",
            {"messages": [{"role": "user", "content": "a"}]},
            "messages",
            "expected an answer of the assistant, found none",
        ),
    ],
)
def test_rows_that_do_not_fit_are_named(
    form: str, row: dict[str, Any], role: str, problem: str
) -> None:
    with pytest.raises(BadRow) as caught:
        task_of(form).look(row)
    assert caught.value.role == role and problem in caught.value.problem


def test_a_question_without_an_answer_is_a_new_row() -> None:
    row = {"messages": [{"role": "user", "content": "a"}]}
    assert task_of("chat", new_rows=True).look(row).texts == ("user: a",)


def test_columns_of_another_form_are_no_columns_of_this_one(folder: Path) -> None:
    settings = {"name": "j", "model": str(folder), "task": "text-generation"}
    data = {"train": "x.jsonl", "columns": {"prompt": "question"}}
    with pytest.raises(ConfigError, match=r"data.columns.prompt: .*form: text.* known are text"):
        parse_job(settings | {"data": data})


def test_the_head_is_not_new_so_it_is_trained_at_the_rate_of_pretrained_weights(
    folder: Path, tmp_path: Path
) -> None:
    usual = job(folder, tmp_path, "text")
    assert [phase.train for phase in usual.phases] == [("last:2",), ("all",)]
    only_head = usual.model_copy(
        update={"phases": (usual.phases[0].model_copy(update={"train": ("head",)}),)}
    )
    settled = settle_phases(only_head, ["embeddings", "layer.0", "head"])
    assert settled.phases[0].learning_rate == 3e-5


def test_the_report_shows_samples_before_and_after() -> None:
    said = {"continuation": "b b b b b", "repetition": 0.5, "distinct_1": 0.2, "distinct_2": 0.25}
    drawn = {"continuation": "x", "repetition": None, "distinct_1": 1.0, "distinct_2": None}
    sample = {"row": 3, "prompt": "a", **said, "drawn": drawn}
    before = {**said, "repetition": 1.0, "drawn": drawn}
    lines = [sample | {"before": before}, {"row": 4, "loss": 1.0, "before": {"loss": 2.0}}]
    table, texts = task_of("text").sections(lines, "test")
    assert isinstance(table.body, Table) and isinstance(texts.body, Texts)
    assert table.body.rows[0] == ("after training, greedy", "50 %", "20 %", "25 %")
    assert table.body.rows[2] == ("before, greedy", "100 %", "20 %", "25 %")
    assert table.body.rows[1][1:] == ("not known", "100 %", "not known")
    ((heading, text),) = texts.body.items
    assert heading.startswith("row 3; 50 %")
    assert text.startswith("> a\n\nafter training, greedy:\nb b b b b")
    assert task_of("text").sections(lines[1:], "test") == []
