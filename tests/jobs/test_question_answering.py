"""Answers come from the spans with the best scores; loss and scores are those that others get."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tiny
import tiny_questions
import torch

from unfreeze.jobs.config import ModelConfig
from unfreeze.jobs.data.dataset import prepare
from unfreeze.jobs.data.token_store import Split, SplitWriter
from unfreeze.jobs.data.tokenizer import load_tokenizer
from unfreeze.jobs.errors import ConfigError, DataError
from unfreeze.jobs.inputs import gather_inputs
from unfreeze.jobs.job_file import parse_job
from unfreeze.jobs.metrics import scores_of
from unfreeze.jobs.model import build_model
from unfreeze.jobs.scoring import Scorer, to_tensors
from unfreeze.jobs.tasks import open_task
from unfreeze.jobs.tasks.answers import compared
from unfreeze.jobs.tasks.question_answering import QuestionAnswering, QuestionAnsweringOptions
from unfreeze.jobs.tasks.spans import best_spans
from unfreeze.jobs.tasks.task import BadRow, Table, Texts

LENGTH = 24
ANSWERS = pa.struct({"text": pa.list_(pa.string()), "answer_start": pa.list_(pa.int64())})
Rows = Sequence[dict[str, Any]]
Make = Callable[[Rows], Split]


def task_of(**options: Any) -> QuestionAnswering:
    return QuestionAnswering(QuestionAnsweringOptions(**options), {})


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_model(tmp_path_factory.mktemp("bert"), dropout=0.0)


@pytest.fixture
def split_of(model_folder: Path, tmp_path: Path) -> Make:
    """Makes a split of rows, on which the tests say what a model might."""

    def make(rows: Rows) -> Split:
        tokenizer = load_tokenizer(str(model_folder), ModelConfig(path=str(model_folder)))
        numbered = [{"row": number} | row for number, row in enumerate(rows, 1)]
        schema = pa.schema({"row": pa.int64(), "question": pa.string(), "context": pa.string()})
        if "answers" in rows[0]:
            schema = schema.append(pa.field("answers", ANSWERS))
        folder = tmp_path / f"split-{len(list(tmp_path.iterdir()))}"
        with SplitWriter(folder, schema) as writer:
            writer.add(task_of().encode(rows, tokenizer, LENGTH), numbered)
        return Split(folder)

    return make


def random_logits(split: Split, seed: int, *, ties: bool = False) -> dict[str, np.ndarray]:
    """As a scorer would give them: [examples, longest, 2]."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(scale=2.0, size=(len(split), int(split.lengths.max()), 2))
    logits[:, 0] += 2.0  # so that no answer is sometimes the best
    return {"logits": (logits.round() if ties else logits).astype(np.float32)}


def every_span(kept: dict[str, np.ndarray], split: Split, unit: int, longest: int) -> Any:
    """All spans of a row by loops, best first, and the score of no answer."""
    found: dict[tuple[int, int], float] = {}
    nulls = []
    for example in split.examples_of(np.array([unit])):
        starts, ends = kept["logits"][example].astype(np.float64).T
        begin, end = split.sequence("char_starts", example), split.sequence("char_ends", example)
        nulls.append(starts[0] + ends[0])
        for first in range(len(begin)):
            for last in range(first, min(first + longest, len(begin))):
                if begin[first] < end[first] and begin[last] < end[last]:
                    span = int(begin[first]), int(end[last])
                    found[span] = max(found.get(span, -np.inf), starts[first] + ends[last])
    ranked = sorted(((-score, *span) for span, score in found.items()))
    return [(-score, begin, end) for score, begin, end in ranked], min(nulls)


@pytest.mark.parametrize("seed", range(5))
def test_the_best_spans_are_those_of_all_spans(seed: int) -> None:
    draw = np.random.default_rng(seed)
    for _ in range(60):
        tokens, longest = int(draw.integers(1, 25)), int(draw.integers(1, 30))
        count = int(draw.integers(1, 40))
        starts, ends = draw.normal(size=(2, tokens)).round(int(draw.integers(0, 4)))
        barred = draw.random(tokens) < 0.3
        starts[barred] = ends[barred] = -np.inf
        every = [
            (starts[first] + ends[last], first, last)
            for first in range(tokens)
            for last in range(first, min(tokens, first + longest))
            if not barred[first] and not barred[last]
        ]
        every.sort(key=lambda span: (-span[0], span[1:]))
        assert best_spans(starts, ends, longest=longest, count=count) == every[:count]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_predictions_are_the_best_of_all_windows(split_of: Make, seed: int, ties: bool) -> None:
    rows = tiny_questions.rows(30, seed=seed)
    split, task = split_of(rows), task_of(max_answer_length=3, n_best=5)
    task.learned = {"null_score_threshold": 1.0}
    kept = random_logits(split, seed, ties=ties)
    units = np.arange(split.units)
    assert len(split) > split.units == 30
    said = list(task.predictions(kept, split, units, str))
    silent = 0
    for unit, prediction in enumerate(said):
        spans, null = every_span(kept, split, unit, 3)
        scores = np.array([*(span[0] for span in spans[:5]), null])
        shares = np.exp(scores) / np.exp(scores).sum()
        context = rows[unit]["context"]
        expected = [(context[begin:end], begin, end) for _, begin, end in spans[:3]]
        found = [(one["text"], one["start"], one["end"]) for one in prediction["n_best"]]
        assert found == expected
        assert [one["score"] for one in prediction["n_best"]] == pytest.approx(shares[:3], abs=2e-6)
        if null - spans[0][0] > 1.0:
            silent += 1
            assert prediction["predicted"] == "" and prediction["start"] is None
            assert prediction["score"] == pytest.approx(shares[-1], abs=2e-6)
        else:
            assert prediction["predicted"] == expected[0][0]
            assert (prediction["start"], prediction["end"]) == expected[0][1:]
            assert prediction["score"] == pytest.approx(shares[0], abs=2e-6)
        texts = rows[unit]["answers"]["text"]
        exact, f1 = compared(prediction["predicted"], texts)
        assert (prediction["exact_match"], prediction["f1"]) == (exact, pytest.approx(f1, abs=1e-6))
    assert 0 < silent < 30


def test_statistics_are_those_of_the_predictions(split_of: Make) -> None:
    rows = tiny_questions.rows(40, seed=3)
    split, task = split_of(rows), task_of(max_answer_length=3)
    kept, units = random_logits(split, 0), np.arange(40)
    statistics = task.statistics(kept, split, units, str)
    said = list(task.predictions(kept, split, units, str))
    scores = scores_of(task.metrics, statistics)
    with_answer = [p for p, row in zip(said, rows, strict=True) if row["answers"]["text"]]
    without = [p for p, row in zip(said, rows, strict=True) if not row["answers"]["text"]]
    assert with_answer and without
    assert scores["f1"] == pytest.approx(np.mean([p["f1"] for p in said]), abs=1e-6)
    assert scores["exact_match"] == pytest.approx(np.mean([p["exact_match"] for p in said]))
    assert scores["has_answer_f1"] == pytest.approx(np.mean([p["f1"] for p in with_answer]))
    right = np.mean([p["predicted"] == "" for p in without])
    assert scores["no_answer_accuracy"] == pytest.approx(right)
    assert (statistics[:, 0] == 1).all() and statistics[:, 2].sum() == len(split)
    some = np.array([3, 8, 21])
    part = {"logits": kept["logits"][split.examples_of(some)]}
    np.testing.assert_array_equal(task.statistics(part, split, some, str), statistics[some])


def test_scores_of_rows_that_are_not_there_are_not_known(split_of: Make) -> None:
    task = task_of()
    for unanswerable, missing in ((0.0, "no_answer_accuracy"), (1.0, "has_answer_f1")):
        split = split_of(tiny_questions.rows(9, unanswerable=unanswerable))
        statistics = task.statistics(random_logits(split, 0), split, np.arange(9), str)
        scores = scores_of(task.metrics, statistics)
        assert missing not in scores and {"f1", "exact_match", "loss"} < scores.keys()


def test_without_a_threshold_no_answer_is_said_only_where_some_rows_have_none(
    split_of: Make,
) -> None:
    task, rows = task_of(), tiny_questions.rows(30, unanswerable=0.0)
    silent = rows[0] | {"answers": {"text": [], "answer_start": []}}
    new = [{key: row[key] for key in ("question", "context")} for row in rows]
    for some, expected in ((rows, False), ([silent, *rows[1:]], True), (new, True)):
        split = split_of(some)
        kept = random_logits(split, 0)
        said = [p["predicted"] for p in task.predictions(kept, split, np.arange(30), str)]
        for unit, text in enumerate(said):
            spans, null = every_span(kept, split, unit, 30)
            assert (text == "") == (expected and null > spans[0][0])
        assert ("" in said) == expected


def test_new_rows_are_predicted_without_scores(split_of: Make) -> None:
    rows = [{key: row[key] for key in ("question", "context")} for row in tiny_questions.rows(5)]
    split, task = split_of(rows), task_of()
    assert not {"labels", "answerable"} & split.values.keys()
    for prediction in task.predictions(random_logits(split, 0), split, np.arange(5), str):
        assert prediction.keys() == {"predicted", "score", "start", "end", "n_best"}


@pytest.mark.parametrize("seed", range(3))
def test_the_learned_threshold_has_the_best_f1_of_all(split_of: Make, seed: int) -> None:
    split, task = split_of(tiny_questions.rows(50, seed=seed)), task_of(max_answer_length=2)
    kept, units = random_logits(split, seed), np.arange(50)
    learned, numbers = task.finish(kept, split)
    assert learned.keys() == {"null_score_threshold"} and not numbers

    def f1_at(threshold: float | None) -> float:
        made = QuestionAnswering(task.options, {"null_score_threshold": threshold})
        return scores_of(made.metrics, made.statistics(kept, split, units, str))["f1"]

    others = [f1_at(float(threshold)) for threshold in np.linspace(-16, 16, 33)]
    assert f1_at(learned["null_score_threshold"]) >= max(*others, f1_at(None)) - 1e-9
    assert len({round(other, 6) for other in others}) > 5


def test_a_threshold_is_not_learned_where_every_row_has_an_answer(split_of: Make) -> None:
    split = split_of(tiny_questions.rows(9, unanswerable=0.0))
    assert task_of().finish(random_logits(split, 0), split)[0] == {"null_score_threshold": None}
    made = open_task(QuestionAnsweringOptions(), {"null_score_threshold": None})
    kept = random_logits(split, 1)
    kept["logits"][:, 0] = 1e6
    assert all(p["predicted"] for p in made.predictions(kept, split, np.arange(9), str))


# The loss


class Outputs:
    def __init__(self, logits: torch.Tensor) -> None:
        self.start_logits, self.end_logits = logits.unbind(-1)


def batch_of(split: Split, examples: Sequence[int]) -> dict[str, torch.Tensor]:
    return to_tensors(task_of().collate(split, np.array(examples, np.int64), 0), "cpu")


def test_the_loss_is_over_the_context_and_the_null_and_not_over_padding(split_of: Make) -> None:
    split, task = split_of(tiny_questions.rows(12)), task_of()
    kept = random_logits(split, 0)
    expected = []
    for example in range(len(split)):
        context = np.flatnonzero(split.sequence("char_ends", example))
        allowed = [0, *context]
        logits = torch.tensor(kept["logits"][example][allowed]).double()
        labels = [allowed.index(label) for label in split.values["labels"][example]]
        terms = -logits.log_softmax(dim=0)[labels, [0, 1]]
        expected.append(terms.mean().item())
        batch = batch_of(split, [example])
        given = torch.tensor(kept["logits"][example, None, : split.lengths[example]])
        given = given.to(torch.bfloat16).float().requires_grad_()
        task.loss(Outputs(given), batch).backward()
        moved = given.grad.abs().sum(dim=(0, 2)).nonzero().flatten().tolist()
        assert set(moved) <= set(allowed) and len(moved) > 1
    batch = batch_of(split, range(len(split)))
    together = task.loss(Outputs(torch.tensor(kept["logits"])), batch)
    assert together.dtype == torch.float32
    assert together.item() == pytest.approx(sum(expected), rel=1e-5)
    statistics = task.statistics(kept, split, np.arange(12), str)
    assert statistics[:, 1].sum() == pytest.approx(sum(expected), rel=1e-6)
    loss = scores_of(task.metrics, statistics)["loss"]
    assert loss == pytest.approx(np.mean(expected), rel=1e-6)


def test_the_loss_of_a_model_does_not_depend_on_what_else_is_in_the_batch(
    split_of: Make, model_folder: Path
) -> None:
    split, task = split_of(tiny_questions.rows(12, words=(2, 30))), task_of()
    located = str(model_folder)
    model = build_model(located, ModelConfig(path=located), task, seed=0, pad_token_id=0).eval()

    def loss(examples: Sequence[int]) -> float:
        batch = batch_of(split, examples)
        with torch.no_grad():
            return task.loss(model(**task.model_inputs(model, batch)), batch).item()

    alone = [loss([example]) for example in range(len(split))]
    assert len(set(split.lengths.tolist())) > 3
    assert loss(range(len(split))) == pytest.approx(sum(alone), rel=1e-5)


def test_a_rank_without_work_gets_a_batch_that_it_can_run(split_of: Make) -> None:
    split, task = split_of(tiny_questions.rows(3, unanswerable=0.0)), task_of()
    assert split.values["labels"].max() > 2
    batch = batch_of(split, [])
    assert batch["input_ids"].shape == (1, 2)
    outputs = Outputs(torch.zeros(1, 2, 2))
    assert torch.isfinite(task.loss(outputs, batch))
    assert task_of().collate(split, np.array([1]), 0)["labels"].any()


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
def test_models_of_every_kind_answer(split_of: Make, tmp_path: Path, kind: str) -> None:
    located = str(tiny.write_model(tmp_path / "model", kind=kind))
    split, task = split_of(tiny_questions.rows(8)), task_of()
    model = build_model(located, ModelConfig(path=located), task, seed=0, pad_token_id=0).eval()
    scorer = Scorer(task, 0, 3, str)
    with torch.no_grad():
        kept = scorer.keep(model, split, np.arange(8))
    assert kept["logits"].shape == (len(split), split.lengths.max(), 2)
    for example in (0, len(split) - 1):
        ids = torch.tensor(split.sequence("input_ids", example)[None].astype(np.int64))
        with torch.no_grad():
            outputs = model(input_ids=ids)
        expected = torch.stack([outputs.start_logits, outputs.end_logits], -1)[0]
        found = kept["logits"][example, : ids.shape[1]]
        np.testing.assert_allclose(found, expected.numpy(), atol=2e-6)
    assert len(list(task.predictions(kept, split, np.arange(8), str))) == 8


# Rows


def test_windows_of_a_row_stay_together_and_what_is_cut_is_counted(split_of: Make) -> None:
    fits, text = tiny_questions.rows(1, words=(2, 3))[0], "it was so very flat "
    long = {"question": "what", "context": text * 12, "answers": {"text": ["flat it was"]}}
    asked = fits | {"question": "what was so " * 9}
    too_long = long | {"answers": {"text": [(text * 5)[:-1]], "answer_start": [60]}}
    long["answers"]["answer_start"] = [15]
    split = split_of([fits, long, fits, asked, too_long])
    assert split.units == 5
    counts = [len(split.examples_of(np.array([unit]))) for unit in range(5)]
    assert counts[0] == counts[2] == 1 and counts[1] == counts[4] > 4
    assert split.rows([1])[0]["context"] == long["context"]
    labels, nulls = split.values["labels"], split.values["nulls"]
    answered = [(labels[split.examples_of(np.array([u]))] != 0).any(axis=1) for u in range(5)]
    assert answered[1].sum() == 1 and not answered[4].any()
    assert not nulls.any()
    (example,) = split.examples_of(np.array([1]))[answered[1]]
    first, last = labels[example]
    begin, end = (split.sequence(name, example) for name in ("char_starts", "char_ends"))
    assert long["context"][begin[first] : end[last]] == "flat it was"


def test_cut_rows_are_counted(model_folder: Path) -> None:
    tokenizer = load_tokenizer(str(model_folder), ModelConfig(path=str(model_folder)))
    text = "it was so very flat " * 12
    rows = [
        {"question": "what", "context": text, "answers": {"text": ["flat"], "answer_start": [15]}},
        {"question": "what " * 9, "context": text, "answers": None},
        {"question": "what", "context": text, "answers": text[:99]},
    ]
    counts = [task_of().encode([row], tokenizer, LENGTH).cut_off for row in rows]
    assert counts == [0, 1, 1]


@pytest.mark.parametrize(
    ("changes", "role"),
    [
        ({"question": " "}, "question"),
        ({"context": None}, "context"),
        ({"answers": "London"}, "answers"),
        ({"answers": {"text": ["Paris"], "answer_start": [1]}}, "answers"),
        ({"answers": 3}, "answers"),
    ],
)
def test_rows_that_do_not_fit_are_refused(changes: dict[str, Any], role: str) -> None:
    row = {"question": "Where?", "context": "In Paris.", "answers": "Paris"}
    assert task_of().look(row).texts == ("Where?", "In Paris.")
    with pytest.raises(BadRow) as caught:
        task_of().look(row | changes)
    assert caught.value.role == role


def prepared(folder: Path, **data: Any) -> Any:
    """The data of a job on flat and nested files; `data` are changes to it."""
    settings = tiny_questions.settings(folder)
    settings["data"] |= data
    inputs = gather_inputs(parse_job(settings))
    return prepare(inputs.job, inputs.located, cache=folder / "cache")


def test_flat_and_nested_files_give_the_same_examples(tmp_path: Path) -> None:
    tiny_questions.settings(tmp_path)
    rows = [  # a text without a start is taken to be where it stands first
        row
        for row in tiny_questions.rows(120, seed=5)
        if all(row["context"].count(text) == 1 for text in row["answers"]["text"])
    ][:40]
    hub = tiny.write_rows(tmp_path / "hub.jsonl", rows)
    (tmp_path / "nested.json").write_text(tiny_questions.nested(rows))
    plain = [row | {"answers": (row["answers"]["text"] or [None])[0]} for row in rows]
    listed = [row | {"answers": [{"text": t} for t in row["answers"]["text"]]} for row in rows]
    lists = [row | {"answers": row["answers"]["text"]} for row in rows]
    found = [
        prepared(tmp_path, train=str(file), validation=0.2, test=None)
        for file in (
            hub,
            tmp_path / "nested.json",
            tiny.write_rows(tmp_path / "plain.jsonl", plain),
            tiny.write_rows(tmp_path / "listed.jsonl", listed),
            tiny.write_rows(tmp_path / "lists.jsonl", lists),
        )
    ]
    first = found[0].splits["train"]
    assert first.units == 32 and len(first) > 16
    for other in found[1:]:
        split = other.splits["train"]
        for name in ("input_ids", "char_starts", "char_ends"):
            np.testing.assert_array_equal(split.sequences[name], first.sequences[name])
        for name in ("labels", "answerable", "nulls"):
            np.testing.assert_array_equal(split.values[name], first.values[name])


def test_bad_rows_are_named_or_left_out_and_counted(tmp_path: Path) -> None:
    tiny_questions.settings(tmp_path)
    rows = tiny_questions.rows(12, unanswerable=0.0, seed=5)
    rows[3]["answers"] = {"text": ["great"], "answer_start": [1]}
    rows[7]["question"] = ""
    file = str(tiny.write_rows(tmp_path / "bad.jsonl", rows))
    with pytest.raises(DataError) as caught:
        prepared(tmp_path, train=file)
    there = rows[3]["context"][1:6]
    assert caught.value.mistakes == [
        "data.train: column 'answers': expected 'great' at character 1 of the context, found "
        f"{there!r} in row 4 of {file}",
        f"data.train: column 'question': expected text, found none in row 8 of {file}",
    ]
    found = prepared(tmp_path, train=file, on_bad_row="skip")
    assert found.splits["train"].units == 10
    assert sum("left out" in warning for warning in found.warnings) == 2


# The report


def test_the_report_shows_kinds_of_rows_and_the_worst_mistakes() -> None:
    context = "x " * 300 + "in Paris with " + "y " * 300
    row = {"question": "Where is it?", "context": context}
    known = {"answers": {"text": ["Paris"], "answer_start": [603]}}
    unknown = {"answers": {"text": [], "answer_start": []}}
    here = {"predicted": "Paris", "start": 603, "end": 608}
    nowhere = {"predicted": "", "start": None, "end": None}
    wrong, right = {"f1": 0.0, "exact_match": 0.0}, {"f1": 1.0, "exact_match": 1.0}
    predictions = [
        {"row": 1, **row, **known, **here, **right, "score": 0.9},
        {"row": 2, **row, **known, **nowhere, **wrong, "score": 0.6},
        {"row": 3, **row, **unknown, **here, **wrong, "score": 0.7},
        {"row": 4, **row, **unknown, **nowhere, **right, "score": 0.7, "question": "who is"},
    ]
    kinds, beginnings, worst = task_of().sections(predictions, "test")
    assert isinstance(kinds.body, Table) and isinstance(beginnings.body, Table)
    assert [row[:3] for row in kinds.body.rows] == [
        ("with an answer", 2, 1),
        ("without an answer", 2, 1),
    ]
    assert beginnings.body.rows == [
        ("where", 3, "33.3 %", "33.3 %"),
        ("who", 1, "100.0 %", "100.0 %"),
    ]
    assert isinstance(worst.body, Texts)
    (first, text), (second, other) = worst.body.items
    assert first == "no answer \u2192 Paris with 70.0 %; row 3"
    assert second == "Paris \u2192 no answer with 60.0 %; row 2"
    for shown in (text, other):
        assert shown.startswith("Where is it?\n> ... x") and "in Paris with" in shown
        assert len(shown) < 350
    assert len(task_of().sections([], "test")) == 1
    assert task_of().sections(predictions[:1], "test")[2].body is None


def test_the_options_are_checked() -> None:
    job = {"name": "x", "model": "m", "data": {"train": "t.json"}, "storage": {"uri": "runs"}}
    name = "question-answering"
    assert parse_job({**job, "task": name}).metric == "f1"
    for task, training, said in [
        ({"name": name, "stride": -1}, {}, r"task\.stride: .*greater than or equal to 0"),
        ({"name": name, "n_bets": 1}, {}, r"task\.n_bets: no such setting; did you mean n_best"),
        (name, {"metric": "accuracy"}, "question-answering has no metric 'accuracy'"),
    ]:
        with pytest.raises(ConfigError, match=said):
            parse_job({**job, "task": task, "training": training})
