"""From data settings to tokenized splits."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import datasets
import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from unfreeze.jobs.data import dataset, roles, tokenization
from unfreeze.jobs.data.dataset import prepare
from unfreeze.jobs.data.splits import split_parts
from unfreeze.jobs.errors import DataError
from unfreeze.jobs.job_file import parse_job
from unfreeze.jobs.tasks import open_task
from unfreeze.jobs.tasks.question_answering import QuestionAnsweringOptions

DEMO = Path(__file__).parents[3] / ".cache" / "demo"
WORDS = [f"w{i}" for i in range(50)]


@pytest.fixture
def model(tmp_path):
    ids = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[END]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(ids, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A [END]", pair="$A [END] $B:1 [END]:1", special_tokens=[("[END]", 2)]
    )
    names = ["input_ids", "token_type_ids", "attention_mask"]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_input_names=names
    )
    fast.save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


def some_rows(count, start=0, labels=("no", "yes")):
    texts = (
        " ".join(WORDS[(i * k) % 50] for k in range(1, 3 + i % 5)) + f" {i}"
        for i in range(start, start + count)
    )
    return [{"text": text, "label": labels[i % len(labels)]} for i, text in enumerate(texts)]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def job_with(model, **data):
    settings = {"name": "j", "model": model, "task": "text-classification"}
    return parse_job(settings | {"data": {"max_length": 6} | data})


@pytest.fixture
def prepared(model, tmp_path):
    """Prepares data settings in the test's own cache."""

    def prepare_it(**data):
        return prepare(job_with(model, **data), model, cache=tmp_path / "cache")

    return prepare_it


@pytest.fixture
def train(tmp_path):
    return write(tmp_path / "train.jsonl", some_rows(100))


def tokens(split, row):
    return split.sequence("input_ids", row).tolist()


def labels_of(data):
    return data.learned["labels"]


def mistakes_of(prepared, **data):
    with pytest.raises(DataError) as caught:
        prepared(**data)
    return caught.value.mistakes


def test_rows_come_back_as_tokens_labels_and_texts(prepared, train, tmp_path):
    test = write(
        tmp_path / "test.jsonl",
        [{"text": "w3 w1", "label": "yes"}, {"text": "w2 " * 9, "label": "no"}],
    )
    data = prepared(train=train, validation=0.2, test=test)
    assert data.learned == {"labels": ["no", "yes"]} and data.warnings == []
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 80,
        "validation": 20,
        "test": 2,
    }
    split = data.splits["test"]
    assert tokens(split, 0) == [6, 4, 2] and split.sequence("input_ids", 0).dtype == np.int32
    assert tokens(split, 1) == [5] * 5 + [2]
    assert split.lengths.tolist() == [3, 6] and split.values["labels"].tolist() == [1, 0]
    assert split.rows([1, 0])[1] == {"row": 1, "text": "w3 w1", "label": "yes"}
    assert data.cut_off["test"] == 1


def test_row_numbers_of_a_share_are_those_of_its_source(prepared, train):
    split = prepared(train=train).splits["validation"]
    rows = some_rows(100)
    for found in split.rows(np.arange(len(split))):
        assert rows[found["row"] - 1]["text"] == found["text"]


def test_no_text_is_in_two_splits(prepared, tmp_path):
    train = write(tmp_path / "t.jsonl", some_rows(60) + some_rows(60))
    splits = prepared(train=train, validation=0.2, test=0.2).splits
    texts = [{row["text"] for row in split.rows(range(len(split)))} for split in splits.values()]
    assert sum(map(len, texts)) == 60 and all(texts)


def test_the_second_time_nothing_is_tokenized(prepared, train, monkeypatch):
    first = prepared(train=train)
    monkeypatch.setattr(dataset, "_prepare", None)
    second = prepared(train=train)
    assert first.fingerprint == second.fingerprint
    assert tokens(first.splits["train"], 3) == tokens(second.splits["train"], 3)


def test_workers_that_start_together_prepare_once(prepared, train, monkeypatch):
    built = []
    make = dataset._prepare
    monkeypatch.setattr(dataset, "_prepare", lambda *args: (built.append(1), make(*args))[1])
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: prepared(train=train).fingerprint, range(4)))
    assert len(set(found)) == 1 and len(built) == 1


def test_the_fingerprint_follows_what_matters_and_nothing_else(prepared, train, tmp_path):
    same = write(tmp_path / "moved.jsonl", [row | {"id": 1} for row in some_rows(100)])
    first = prepared(train=train).fingerprint
    assert prepared(train=same).fingerprint == first
    assert prepared(train=same, allow_overlap=True).fingerprint == first
    changed = write(tmp_path / "changed.jsonl", some_rows(101))
    others = [
        prepared(train=changed),
        prepared(train=train, validation=0.2),
        prepared(train=train, max_length=5),
        prepared(train=train, test=0.1),
        prepared(train=train, on_bad_row="skip"),
    ]
    assert len({first, *(other.fingerprint for other in others)}) == 6


def test_what_columns_are_called_does_not_matter_but_what_they_are_does(prepared, train, tmp_path):
    rows = some_rows(100)
    renamed = [{"body": row["text"], "label": row["label"]} for row in rows]
    other = write(tmp_path / "renamed.jsonl", renamed)
    first = prepared(train=train).fingerprint
    assert prepared(train=other, columns={"text": "body"}).fingerprint == first
    pairs = write(tmp_path / "pairs.jsonl", [row | {"b": "w1"} for row in rows])
    assert prepared(train=pairs, columns={"text_pair": "b"}).fingerprint != first


def test_a_preparation_that_fails_goes_on_the_next_time(prepared, train, tmp_path, monkeypatch):
    def broken(*args, **settings):
        raise OSError("disk full")

    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(dataset, "join_shards", broken)
        prepared(train=train)
    monkeypatch.setattr(dataset, "scan", None)
    monkeypatch.setattr(tokenization, "tokenize_shard", None)
    assert len(prepared(train=train).splits["train"]) == 90
    assert not list((tmp_path / "cache").glob(".preparing-*"))


def test_mistakes_in_the_data_leave_nothing_behind(prepared, tmp_path):
    train = write(tmp_path / "t.jsonl", [*some_rows(40), *BAD])
    mistakes_of(prepared, train=train)
    assert not list((tmp_path / "cache").glob(".preparing-*"))


def test_all_errors_come_at_once(prepared, tmp_path):
    rows = [*some_rows(40), {"text": " ", "label": "no"}, {"text": "w1 x", "label": None}]
    train = write(tmp_path / "t.jsonl", rows)
    test = write(tmp_path / "v.jsonl", [*some_rows(2), {"text": "new", "label": "what"}])
    mistakes = mistakes_of(prepared, train=train, test=test)
    for said in (
        f"data.train: column 'text': expected text, found none in row 41 of {train}",
        f"data.train: column 'label': expected a label, found none in row 42 of {train}",
        "the label what is not in train",
        f"2 rows ({test}: 1, 2) have a text that stands in",
    ):
        assert any(said in line for line in mistakes), said
    assert len(mistakes) == 4


def test_unreadable_sources_and_missing_columns_come_at_once(prepared, train, tmp_path):
    mistakes = mistakes_of(
        prepared,
        train=train,
        validation=0.7,
        test=str(tmp_path / "no.csv"),
        columns={"label": "labels"},
    )
    assert any("data.test: " in line and "no such file" in line for line in mistakes)
    assert any("did you mean label? there are: text, label" in line for line in mistakes)


def test_settings_that_do_not_go_together_are_refused(prepared, train):
    assert (
        "together it must be under 1"
        in mistakes_of(prepared, train=train, validation=0.6, test=0.5)[0]
    )
    assert "two roles" in mistakes_of(prepared, train=train, columns={"label": "text"})[0]


def test_overlap_is_allowed_on_demand_and_still_refused_without(prepared, train, tmp_path):
    test = write(tmp_path / "v.jsonl", some_rows(4))
    data = prepared(train=train, test=test, allow_overlap=True)
    assert "stands in train too" in data.warnings[0]
    (mistake,) = mistakes_of(prepared, train=train, test=test)
    assert "data.allow_overlap=true" in mistake


def test_numbers_are_labels_in_the_order_of_numbers(prepared, tmp_path):
    stars = write(tmp_path / "t.jsonl", some_rows(60, labels=(10, 2, 1)))
    assert labels_of(prepared(train=stars)) == ["1", "2", "10"]
    lines = [f"{row['text']},{row['label']}" for row in some_rows(60, labels=(0, 1))]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *lines]))
    assert labels_of(prepared(train=str(tmp_path / "t.csv"))) == ["0", "1"]


def test_booleans_are_labels(prepared, tmp_path):
    train = write(tmp_path / "t.jsonl", some_rows(40, labels=(True, False)))
    assert labels_of(prepared(train=train)) == ["false", "true"]


def test_declared_label_names_keep_their_order_and_ids(prepared, tmp_path):
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["pos", "neg", "none"])
    )
    rows = datasets.Dataset.from_list(some_rows(60, labels=(0, 1)), features=features)
    rows.to_parquet(tmp_path / "t.parquet")
    test = write(tmp_path / "v.jsonl", some_rows(4, 500, labels=("neg", "pos")))
    data = prepared(train=str(tmp_path / "t.parquet"), test=test)
    assert labels_of(data) == ["pos", "neg", "none"]
    assert data.splits["test"].values["labels"].tolist() == [1, 0, 1, 0]
    assert {row["label"] for row in data.splits["train"].rows(range(54))} == {"pos", "neg"}
    assert any("no row has the label none" in line for line in data.warnings)


def test_unlabelled_rows_of_hub_data_sets_are_found(prepared, train, tmp_path):
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["no", "yes"])
    )
    rows = datasets.Dataset.from_list(some_rows(3, 500, labels=(-1,)), features=features)
    rows.to_parquet(tmp_path / "t.parquet")
    test = str(tmp_path / "t.parquet")
    assert mistakes_of(prepared, train=train, test=test) == [
        f"data.test: column 'label': expected a label, found none in 3 rows ({test}: 1, 2, 3)"
    ]


def test_pairs_keep_both_texts_and_their_token_types(prepared, tmp_path):
    rows = [row | {"b": "w7"} for row in some_rows(40)]
    train = write(tmp_path / "t.jsonl", rows)
    split = prepared(train=train, columns={"text_pair": "b"}).splits["train"]
    assert split.rows([0])[0]["text_pair"] == "w7"
    assert len(split.sequences["token_type_ids"]) == len(split.sequences["input_ids"])
    assert split.sequence("token_type_ids", 0)[-2:].tolist() == [1, 1]
    assert tokens(split, 0)[-2:] == [10, 2]


def test_batches_of_reading_do_not_show(prepared, train, monkeypatch):
    whole = prepared(train=train, max_length=5)
    monkeypatch.setattr(roles, "BATCH", 7)
    pieces = prepared(train=train)
    assert len(pieces.splits["train"]) == 90
    rows = [split.rows(range(90)) for split in (whole.splits["train"], pieces.splits["train"])]
    assert rows[0] == rows[1]


def test_a_bad_row_is_named_by_its_column_whatever_its_role(prepared, tmp_path):
    rows = [{"body": row["text"], "label": row["label"]} for row in some_rows(40)]
    train = write(tmp_path / "t.jsonl", [*rows, {"body": "", "label": "no"}])
    mistakes = mistakes_of(prepared, train=train, columns={"text": "body"})
    assert mistakes == [
        f"data.train: column 'body': expected text, found none in row 41 of {train}"
    ]


BAD = [{"text": " ", "label": "no"}, {"text": "w1 x", "label": None}]


def test_skipped_rows_are_counted_and_the_others_are_as_without_them(prepared, train, tmp_path):
    rows = some_rows(100)
    with_bad = write(tmp_path / "bad.jsonl", [rows[0], BAD[0], *rows[1:50], *BAD, *rows[50:]])
    found = prepared(train=with_bad, on_bad_row="skip")
    clean = prepared(train=train)
    assert found.warnings == [
        "data.train: column 'text': expected text, found none "
        f"in 2 rows ({with_bad}: 2, 52); left out",
        "data.train: column 'label': expected a label, found none "
        f"in row 53 of {with_bad}; left out",
    ]
    assert (clean.warnings, clean.learned) == ([], found.learned)
    for name, split in clean.splits.items():
        other = found.splits[name]
        assert np.array_equal(split.sequences["input_ids"], other.sequences["input_ids"])
        assert np.array_equal(split.offsets["input_ids"], other.offsets["input_ids"])
        assert np.array_equal(split.values["labels"], other.values["labels"])
    assert found.splits["train"].rows([89])[0]["row"] > 100, "numbers are those of the source"
    assert prepared(train=with_bad, on_bad_row="skip").warnings == found.warnings, "from the cache"


def test_skipped_rows_are_named_as_mistakes_when_they_are_not_to_be_skipped(prepared, tmp_path):
    train = write(tmp_path / "bad.jsonl", [*some_rows(40), *BAD])
    prepared(train=train, on_bad_row="skip")
    assert len(mistakes_of(prepared, train=train)) == 2


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_source_of_which_no_row_is_left_is_a_mistake(prepared, train, tmp_path, split):
    sources = {"train": train, split: write(tmp_path / "bad.jsonl", BAD)}
    mistakes = mistakes_of(prepared, **sources, on_bad_row="skip")
    assert mistakes == [f"data.{split}: no row is left"]


def test_questions_about_one_context_are_in_one_split():
    rows = [{"question": f"who {i}", "context": f"text {i % 30}"} for i in range(120)]
    by_role = roles.RowsByRole(datasets.Dataset.from_list(rows), {r: r for r in rows[0]})
    task = open_task(QuestionAnsweringOptions())
    parts = split_parts({"train": dataset.scan(by_role, task)}, {"validation": 0.2})
    contexts = [{rows[i]["context"] for i in part.rows} for part in parts.values()]
    assert [len(part.rows) for part in parts.values()] == [96, 24]
    assert [len(each) for each in contexts] == [24, 6]


def test_bad_rows_of_several_files_are_named_in_theirs(prepared, tmp_path):
    (tmp_path / "reviews").mkdir()
    first = write(tmp_path / "reviews/part-1.jsonl", [*some_rows(40), BAD[0]])
    second = write(tmp_path / "reviews/part-2.jsonl", [*some_rows(16, 40), *BAD])
    mistakes = mistakes_of(prepared, train=str(tmp_path / "reviews"))
    assert mistakes == [
        "data.train: column 'text': expected text, found none "
        f"in 2 rows ({first}: 41; {second}: 17)",
        f"data.train: column 'label': expected a label, found none in row 18 of {second}",
    ]


def test_the_demo_reviews_are_prepared_and_opened_fast_by_another_process(tmp_path):
    assert DEMO.exists(), "make test fetches it first: examples/fetch_demo.py"
    located = str(DEMO / "all-MiniLM-L6-v2")
    reviews = DEMO / "reviews"
    job = job_with(
        located, train=f"{reviews}/train.jsonl", test=f"{reviews}/test.jsonl", max_length=64
    )
    data = prepare(job, located, cache=tmp_path)
    assert labels_of(data) == ["negative", "positive"] and data.warnings == []
    sizes = {name: len(split) for name, split in data.splits.items()}
    assert sizes["train"] > 8000 and 850 < sizes["validation"] < 950 < sizes["test"] < 1100
    assert 20 < data.splits["train"].lengths.mean() < 35
    program = (
        "import sys, json, time, pathlib\n"
        "from unfreeze.jobs.data.dataset import prepare\n"
        "from unfreeze.jobs.job_file import parse_job\n"
        "job = parse_job(json.loads(sys.argv[1])); start = time.monotonic()\n"
        "data = prepare(job, sys.argv[2], cache=pathlib.Path(sys.argv[3]))\n"
        "print(json.dumps([data.fingerprint, time.monotonic() - start]))\n"
    )
    arguments = [json.dumps(job.to_data()), located, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    fingerprint, seconds = json.loads(done.stdout.splitlines()[-1])
    assert fingerprint == data.fingerprint
    assert seconds < 2  # 0.15 s on a quiet machine; tokenizing takes 1.5 s
    started = time.monotonic()
    prepare(job, located, cache=tmp_path)
    assert time.monotonic() - started < 1
