"""A tag for each word: rows, examples, scores, predictions."""

import json
import warnings
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pytest
import tiny_entities
import torch
from seqeval.metrics import accuracy_score, f1_score
from transformers import AutoTokenizer, pipeline

from unfreeze.jobs.config import ModelConfig
from unfreeze.jobs.data.dataset import PreparedData, prepare
from unfreeze.jobs.data.token_store import Split, SplitWriter
from unfreeze.jobs.errors import DataError
from unfreeze.jobs.job_file import load_job, parse_job
from unfreeze.jobs.metrics import scores_of
from unfreeze.jobs.model import build_model
from unfreeze.jobs.scoring import Scorer
from unfreeze.jobs.tasks import open_task
from unfreeze.jobs.tasks.task import BadRow, Seen, Table, Texts
from unfreeze.jobs.tasks.token_classification import (
    NOT_SCORED,
    TokenClassification,
    TokenClassificationOptions,
)

ROOT = Path(__file__).parents[2]
TWEETS, SPLITS = ROOT / ".cache/demo/ner", ("train", "test")
LEARNED = {"types": ["person", "place"], "scheme": "bio"}
PLAIN = {"types": ["NOUN", "VERB"], "scheme": "none"}


def task_of(learned: dict[str, Any] | None = None, **options: Any) -> TokenClassification:
    task = open_task(TokenClassificationOptions(**options), learned)
    assert isinstance(task, TokenClassification)
    return task


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_entities.write_model(tmp_path_factory.mktemp("entities") / "model"))


@pytest.fixture(scope="module")
def tokenizer(model: str) -> Any:
    return AutoTokenizer.from_pretrained(model)


def split_of(
    folder: Path, task: TokenClassification, rows: list[dict[str, Any]], tokenizer: Any, length: int
) -> Split:
    words = pa.list_(pa.string())
    fields = [("row", pa.int64()), *((name, words) for name in rows[0])]
    numbered = [{"row": i, **row} for i, row in enumerate(rows, 1)]
    with SplitWriter(folder, pa.schema(fields)) as writer:
        for some in filter(None, (numbered[:7], numbered[7:])):
            writer.add(task.encode(some, tokenizer, length), some)
    return Split(folder)


def random_model(model: str, task: TokenClassification) -> Any:
    """With a head that says something else of every token."""
    built = build_model(model, ModelConfig(path=model), task, seed=3, pad_token_id=0).eval()
    with torch.no_grad():
        built.classifier.weight.mul_(100)  # type: ignore[union-attr]
    return built


def scored(module: Any, task: TokenClassification, split: Split) -> tuple[Any, list[Any]]:
    units = np.arange(split.units)
    with torch.no_grad():
        kept = Scorer(task, 0, 5, str).keep(module, split, units, thorough=True)
    said = list(task.predictions(kept, split, units, str)) if "score" in kept else []
    return kept, said


# Rows


def test_a_row_has_the_types_of_its_entities_as_labels() -> None:
    row = {"tokens": ["anna", "met", "bob"], "tags": ["B-person", "O", "I-person"]}
    assert task_of().look(row) == Seen(
        ("anna met bob",),
        ("O", "person"),
        {"tags": 3, "bio": 1, "bio rows": 1, "bioes": 2, "bioes rows": 1}
        | {"iob1": 1, "iob1 rows": 1},
    )
    assert task_of().look({"tokens": ["anna"]}) == Seen(("anna",))
    assert task_of(scheme="none").look(row).labels == ("B-person", "I-person", "O")


@pytest.mark.parametrize(
    ("row", "role", "problem"),
    [
        ({"tokens": None}, "tokens", "expected a list of words, found none"),
        ({"tokens": []}, "tokens", "expected words, found none"),
        ({"tokens": ["", " "]}, "tokens", "expected words, found none"),
        ({"tokens": ["a", 3]}, "tokens", "expected a list of words, found one that is no text"),
        ({"tokens": ["a"], "tags": None}, "tags", "expected a list of tags, found none"),
        ({"tokens": ["a"], "tags": "O"}, "tags", "expected a list of tags, found text"),
        ({"tokens": ["a"], "tags": []}, "tags", "expected as many tags as words, found fewer"),
        (
            {"tokens": ["a"], "tags": ["O"] * 2},
            "tags",
            "expected as many tags as words, found more",
        ),
        (
            {"tokens": ["a"], "tags": [None]},
            "tags",
            "expected a tag for each word, found a word without one",
        ),
        (
            {"tokens": ["a"], "tags": ["NOUN"]},
            "tags",
            "expected O or tags like B-PER, found NOUN; plain ones need task.scheme=none",
        ),
    ],
)
def test_rows_that_do_not_fit_are_told_what_was_expected(
    row: dict[str, Any], role: str, problem: str
) -> None:
    with pytest.raises(BadRow) as caught:
        task_of().look(row)
    assert (caught.value.role, caught.value.problem) == (role, problem)


def prepared(model: str, folder: Path, task: Any, train: str, **data: Any) -> PreparedData:
    (folder / "train.conll").write_text(train)
    settings = {"name": "j", "model": model, "task": task}
    data = {"train": str(folder / "train.conll"), "max_length": 24} | data
    return prepare(parse_job(settings | {"data": data}), model, cache=folder / "cache")


def test_conll_files_are_repaired_with_a_count_and_give_a_closed_set_of_tags(
    model: str, tmp_path: Path
) -> None:
    rows = tiny_entities.rows(80)
    rows[3] = {"tokens": ["x", "anna", "smith"], "tags": ["O", "I-person", "I-person"]}
    rows[5] = {"tokens": ["y", "rome", "anna"], "tags": ["O", "B-place", "I-person"]}
    data = prepared(model, tmp_path, "token-classification", tiny_entities.conll(rows))
    tags = sum(len(row["tags"]) for row in rows)
    assert data.warnings == [
        f"data.train: 2 of {tags} tags break the scheme BIO, in 2 rows; they are repaired: what "
        "has a type is in an entity"
    ]
    assert data.learned == LEARNED
    assert sum(split.units for split in data.splits.values()) == 80


@pytest.mark.parametrize(
    ("scheme", "tags", "expected"),
    [
        ("auto", ["S-place", "B-person E-person"], "bioes"),
        ("auto", ["U-place", "B-person L-person"], "bioes"),
        ("auto", ["I-place", "I-person I-person"], "bio"),
        ("bio", ["S-place", "B-person E-person"], "bio"),
        ("bioes", ["B-place", "B-person I-person"], "bioes"),
    ],
)
def test_the_scheme_of_the_rows_is_the_models_unless_another_is_asked_for(
    model: str, tmp_path: Path, scheme: str, tags: list[str], expected: str
) -> None:
    place, person = tags[0], tags[1].split()
    lines = [
        f"w{i} O\nrome {place}\nto O\nanna {person[0]}\nsmith {person[1]}\n" for i in range(30)
    ]
    task = {"name": "token-classification", "scheme": scheme}
    data = prepared(model, tmp_path, task, "\n".join(lines))
    assert (data.learned, data.warnings) == (LEARNED | {"scheme": expected}, [])
    split = data.splits["train"]
    labels = [task_of(data.learned).tags.names[i] for i in split.sequence("labels", 0) if i >= 0]
    last = {"bio": ["B-place", "O", "B-person", "I-person"]}.get(
        expected, ["S-place", "O", "B-person", "E-person"]
    )
    assert labels == ["O", *last]


def test_a_tag_that_only_validation_has_is_known_by_its_type_and_a_new_type_is_not(
    model: str, tmp_path: Path
) -> None:
    lines = ["".join(f"w{i}{j} O\n" for j in range(3)) + "rome B-place\n" for i in range(30)]
    validation = tmp_path / "validation.jsonl"
    row = {"tokens": ["new", "york"], "tags": ["B-place", "I-place"]}
    validation.write_text(json.dumps(row) + "\n")
    text, path = "\n".join(lines), str(validation)
    data = prepared(model, tmp_path, "token-classification", text, validation=path)
    split = data.splits["validation"]
    assert split.sequence("labels", 0).tolist()[1:3] == [1, 2]
    validation.write_text(json.dumps(row | {"tags": ["B-place", "I-city"]}) + "\n")
    with pytest.raises(DataError, match="the label city is not in train, which has O, place"):
        prepared(model, tmp_path, "token-classification", text, validation=path)


def test_columns_that_declare_their_tags_need_no_prefix_to_be_seen_in_the_rows(
    model: str, tmp_path: Path
) -> None:
    names = ["O", "B-place", "I-place", "B-person", "I-person", "B-product", "I-product"]
    number = {name: i for i, name in enumerate(names)}
    rows = [row | {"tags": [number[tag] for tag in row["tags"]]} for row in tiny_entities.rows(80)]
    words = datasets.List(datasets.Value("string"))
    tags = datasets.List(datasets.ClassLabel(names=names))
    features = datasets.Features(tokens=words, ner_tags=tags)
    table = datasets.Dataset.from_list(
        [{"tokens": row["tokens"], "ner_tags": row["tags"]} for row in rows], features=features
    )
    table.to_parquet(tmp_path / "train.parquet")
    settings = {
        "name": "j",
        "model": model,
        "task": "token-classification",
        "data": {
            "train": str(tmp_path / "train.parquet"),
            "columns": {"tags": "ner_tags"},
            "max_length": 32,
        },
    }
    data = prepare(parse_job(settings), model, cache=tmp_path / "cache")
    assert data.learned == {"types": ["place", "person", "product"], "scheme": "bio"}
    assert data.warnings == ["data.train: no row has the label product, which the column declares"]
    assert data.splits["train"].rows([0])[0]["tags"][0] in names


def test_rare_types_are_counted_in_rows(model: str, tmp_path: Path) -> None:
    place = {37: "B-city", 38: "B-place", 39: "B-place"}
    lines = [f"w{i} O\nanna B-person\nrome {place.get(i, 'O')}\n" for i in range(40)]
    validation = tmp_path / "validation.conll"
    validation.write_text("x O\nanna B-person\nrome B-place\noslo B-city\n")
    path = str(validation)
    data = prepared(model, tmp_path, "token-classification", "\n".join(lines), validation=path)
    assert data.warnings == [
        "data.train: only 1 row has the label city; give more rows or merge it",
        "data.train: of 40 rows, few have the label place (2)",
    ]


@pytest.mark.skipif(not TWEETS.exists(), reason="run examples/fetch_demo.py ner first")
def test_the_demo_tweets_are_read_whole(tmp_path: Path) -> None:
    job = load_job(ROOT / "examples/ner.yaml", [f"data.{s}={TWEETS}/{s}.conll" for s in SPLITS])
    data = prepare(job, str(ROOT / ".cache/demo/all-MiniLM-L6-v2"), cache=tmp_path)
    assert sum(split.units for split in data.splits.values()) == 2394
    assert len(data.learned["types"]) == 10 and set(data.cut_off.values()) == {0}
    assert not [warning for warning in data.warnings if "break the scheme" in warning]
    words = sum(split.weights.sum() for split in data.splits.values())
    assert words == 46_469


def test_plain_tags_are_labels_themselves(model: str, tmp_path: Path) -> None:
    lines = [f"w{i} NOUN\nmet VERB\nrome NOUN\n" for i in range(30)]
    task = {"name": "token-classification", "scheme": "none"}
    data = prepared(model, tmp_path, task, "\n".join(lines))
    assert (data.learned, data.warnings) == (PLAIN, [])
    with pytest.raises(DataError, match=r"plain ones need task\.scheme=none in 30 rows"):
        prepared(model, tmp_path, "token-classification", "\n".join(lines))


# Examples


def test_the_first_token_of_a_word_has_its_label_and_each_word_counts_once(
    tokenizer: Any, tmp_path: Path
) -> None:
    rows: list[dict[str, Any]] = [
        {"tokens": ["okafor", "met", "\u200b"], "tags": ["B-person", "O", "O"]},
        {"tokens": ["a"] * 20, "tags": ["O"] * 20},
    ]
    split = split_of(tmp_path / "s", task_of(LEARNED), rows, tokenizer, 10)
    assert split.sequence("labels", 0).tolist() == [
        *(NOT_SCORED, 1),
        *[NOT_SCORED] * 5,
        *(0, NOT_SCORED),
    ]
    assert split.units == 2 and len(split) == 4
    assert split.weights.tolist() == [2, 7, 6, 7]
    labels = [split.sequence("labels", i) for i in range(4)]
    assert [(part != NOT_SCORED).sum() for part in labels] == [2, 7, 6, 7]


def test_a_batch_has_what_the_model_and_its_loss_take(tokenizer: Any, tmp_path: Path) -> None:
    task = task_of(LEARNED)
    split = split_of(tmp_path / "s", task, tiny_entities.rows(9), tokenizer, 24)
    batch = task.collate(split, np.array([0, 3]), 0)
    assert set(batch) == {"input_ids", "attention_mask", "labels", "weights"}
    assert (batch["labels"][batch["attention_mask"] == 0] == NOT_SCORED).all()
    nothing = task.collate(split, np.array([], np.int64), 0)
    assert nothing["input_ids"].shape == (1, 2)


def test_the_loss_of_an_example_without_a_word_is_nothing_and_moves_nothing(model: str) -> None:
    task = task_of(LEARNED)
    module = random_model(model, task)
    batch = {
        "input_ids": torch.tensor([[2, 3]]),
        "attention_mask": torch.ones(1, 2, dtype=torch.long),
        "labels": torch.full((1, 2), NOT_SCORED),
    }
    loss = task.loss(module(**task.model_inputs(module, batch)), batch)
    loss.backward()
    assert loss.item() == 0
    assert not module.classifier.weight.grad.any()


# Scores


def long_rows(count: int) -> list[dict[str, Any]]:
    """Some of several windows; of some words the tokenizer leaves nothing."""
    rows: list[dict[str, Any]] = list(tiny_entities.rows(count, seed=5, longest=40))
    for row in rows[::3]:
        row["tokens"].insert(1, "\u200b")
        row["tags"].insert(1, "B-place")
    return rows


@pytest.mark.parametrize("stride", [None, 0])
def test_scores_are_those_of_seqeval_on_the_predictions_and_of_every_word(
    model: str, tokenizer: Any, tmp_path: Path, stride: int | None
) -> None:
    rows, task = long_rows(40), task_of(LEARNED, stride=stride)
    split = split_of(tmp_path / "s", task, rows, tokenizer, 16)
    assert len(split) > split.units == 40
    kept, said = scored(random_model(model, task), task, split)
    statistics = task.statistics(kept, split, np.arange(40), str)
    found = scores_of(task.metrics, statistics)
    truth, predicted = [row["tags"] for row in said], [row["predicted"] for row in said]
    repaired = [
        task.tags.tags(np.array(task.tags.ids(row["tags"]))) for row in rows
    ]  # the word that was put in may cut an entity in two
    assert truth == repaired
    assert list(map(len, predicted)) == list(map(len, truth))
    assert all(row["predicted"][1] == "O" for row in said[::3])
    assert found["f1"] == pytest.approx(f1_score(truth, predicted))
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    assert found["f1"] > 0


def test_the_loss_is_the_mean_over_words_whatever_the_windows(
    model: str, tokenizer: Any, tmp_path: Path
) -> None:
    task, rows = task_of(LEARNED), long_rows(12)
    module = random_model(model, task)
    split = split_of(tmp_path / "s", task, rows, tokenizer, 16)
    batch = {
        name: torch.from_numpy(array)
        for name, array in task.collate(split, np.arange(len(split)), 0).items()
    }
    with torch.no_grad():
        loss = task.loss(module(**task.model_inputs(module, batch)), batch)
    kept, _ = scored(module, task, split)
    found = scores_of(task.metrics, task.statistics(kept, split, np.arange(12), str))
    assert found["loss"] == pytest.approx(loss.item() / split.weights.sum(), rel=1e-5)
    words = sum(word != "\u200b" for row in rows for word in row["tokens"])
    assert split.weights.sum() == words


def test_some_rows_have_their_own_statistics_in_any_order(
    model: str, tokenizer: Any, tmp_path: Path
) -> None:
    task = task_of(LEARNED)
    split = split_of(tmp_path / "s", task, long_rows(20), tokenizer, 16)
    module = random_model(model, task)
    kept, _ = scored(module, task, split)
    whole = task.statistics(kept, split, np.arange(20), str)
    units = np.array([7, 3, 12, 0])
    with torch.no_grad():
        some = Scorer(task, 0, 5, str).keep(module, split, units)
    assert set(some) == {"guess", "loss"}
    found = task.statistics(some, split, units, str)
    assert found == pytest.approx(whole[units], rel=1e-5)


# Predictions


def test_predictions_are_those_of_the_pipeline_of_transformers(
    model: str, tokenizer: Any, tmp_path: Path
) -> None:
    task = task_of(LEARNED)
    module = random_model(model, task)
    rows = [{"tokens": row["tokens"]} for row in tiny_entities.rows(30, seed=9)]
    split = split_of(tmp_path / "s", task, rows, tokenizer, 64)
    _, said = scored(module, task, split)
    ask = pipeline("token-classification", model=module, tokenizer=tokenizer, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        words = [row["tokens"] for row in rows]
        grouped = ask(words, is_split_into_words=True, aggregation_strategy="first")
        single = ask([" ".join(some) for some in words], ignore_labels=[])
    for row, found, entities, each in zip(said, words, grouped, single, strict=True):
        places = np.cumsum([0, *(len(word) + 1 for word in found)])
        first = {one["start"]: one["entity"] for one in each}
        assert row["predicted"] == [first[place] for place in places[:-1]]
        assert [
            (one["type"], places[one["start"]], places[one["end"]] - 1) for one in row["entities"]
        ] == [(one["entity_group"], one["start"], one["end"]) for one in entities]
        assert [one["score"] for one in row["entities"]] == pytest.approx(
            [one["score"] for one in entities], abs=2e-6
        )
    assert sum(len(row["entities"]) for row in said) > 30


def test_a_prediction_says_the_words_of_each_entity(
    model: str, tokenizer: Any, tmp_path: Path
) -> None:
    task = task_of(LEARNED)
    rows = [{"tokens": row["tokens"]} for row in long_rows(10)]
    split = split_of(tmp_path / "s", task, rows, tokenizer, 16)
    _, said = scored(random_model(model, task), task, split)
    for row, one in zip(rows, said, strict=True):
        assert set(one) == {"predicted", "entities"}
        assert json.loads(json.dumps(one)) == one
        for entity in one["entities"]:
            part = row["tokens"][entity["start"] : entity["end"]]
            assert entity["text"] == " ".join(part)
            tags = one["predicted"][entity["start"] : entity["end"]]
            assert {tag[2:] for tag in tags} == {entity["type"]}
            assert 0 < entity["score"] <= 1
        outside = {i for i, tag in enumerate(one["predicted"]) if tag == "O"}
        inside = {i for e in one["entities"] for i in range(e["start"], e["end"])}
        assert outside | inside == set(range(len(row["tokens"])))


def test_plain_tags_are_predicted_with_their_probabilities(
    model: str, tokenizer: Any, tmp_path: Path
) -> None:
    task = task_of(PLAIN, scheme="none")
    rows: list[dict[str, Any]] = [{"tokens": ["anna", "\u200b", "met"], "tags": ["NOUN"] * 3}]
    split = split_of(tmp_path / "s", task, rows, tokenizer, 16)
    kept, [said] = scored(random_model(model, task), task, split)
    assert said["tags"] == ["NOUN"] * 3
    assert said["predicted"][1] == "O" and said["scores"][1] == 1.0
    assert all(0.5 <= score <= 1 for score in said["scores"])
    found = scores_of(task.metrics, task.statistics(kept, split, np.arange(1), str))
    right = said["predicted"].count("NOUN")
    assert found["accuracy"] == right / 3
    assert task.options.metric_names[0] == "accuracy"


def test_the_model_is_told_its_tags() -> None:
    config = task_of(LEARNED).configuration()
    assert config["num_labels"] == 5
    assert config["id2label"][1] == "B-person"
    assert config["label2id"]["I-place"] == 4
    assert task_of().configuration() == {}


# The report


def test_the_report_scores_each_type_and_shows_the_rows_with_most_mistakes() -> None:
    right = {"row": 1, "tokens": ["anna", "met"], "tags": ["B-person", "O"]}
    wrong = {
        "row": 2,
        "tokens": ["new", "york", "met", "bob"],
        "tags": ["B-place", "I-place", "O", "B-person"],
    }
    predictions = [
        right | {"predicted": right["tags"]},
        wrong | {"predicted": ["B-place", "O", "O", "B-person"]},
    ]
    table, worst = task_of(LEARNED).sections(predictions, "test")
    assert isinstance(table.body, Table)
    assert table.body.rows == [
        ("person", 2, 2, 2, "100.0 %", "100.0 %", "100.0 %"),
        ("place", 1, 1, 0, "0.0 %", "0.0 %", "0.0 %"),
        ("all", 3, 3, 2, "66.7 %", "66.7 %", "66.7 %"),
    ]
    assert isinstance(worst.body, Texts)
    assert worst.body.items == [
        (
            "1 missed, 1 predicted that are not there; row 2",
            "[place: new york] met [person: bob]\n> [place: new] york met [person: bob]",
        )
    ]
    assert worst.note.startswith("1 of 2 test rows have a mistake.")


def test_the_report_shows_of_plain_tags_the_wrong_ones() -> None:
    row = {"row": 4, "tokens": ["anna", "met"], "tags": ["NOUN", "VERB"]}
    predictions = [row | {"predicted": ["NOUN", "NOUN"]}]
    table, worst = task_of(PLAIN, scheme="none").sections(predictions, "validation")
    assert isinstance(table.body, Table) and isinstance(worst.body, Texts)
    assert table.body.rows[-1] == ("all", 2, 2, 1, "50.0 %", "50.0 %", "50.0 %")
    assert worst.body.items[0][1] == "anna [VERB: met]\n> anna [NOUN: met]"


def test_a_report_without_mistakes_or_without_predictions_says_so() -> None:
    row = {"row": 1, "tokens": ["anna"], "tags": ["O"], "predicted": ["O"]}
    [table, worst] = task_of(LEARNED).sections([row], "test")
    assert isinstance(table.body, Table)
    assert table.body.rows[0] == ("person", 0, 0, 0, "-", "-", "-")
    assert worst.note == "None: every prediction on test rows is right."
    [nothing] = task_of(LEARNED).sections([], "test")
    assert nothing.body is None
