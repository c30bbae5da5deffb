"""The hash of rows by their values."""

import datasets
import pytest

from unfreeze.jobs.data import content
from unfreeze.jobs.data.content import content_hash

ROWS = [
    {
        "text": "good \u00e9",
        "stars": 1,
        "words": ["a", "b"],
        "said": [{"role": "user", "content": "hi"}],
        "answers": {"text": ["a"], "at": [1]},
        "share": 0.5,
        "is": True,
    },
    {
        "text": None,
        "stars": None,
        "words": [],
        "said": [],
        "answers": {"text": [], "at": []},
        "share": None,
        "is": False,
    },
    {
        "text": "",
        "stars": 3,
        "words": None,
        "said": None,
        "answers": None,
        "share": 1.0,
        "is": None,
    },
]
FEATURES = datasets.Dataset.from_list(ROWS).features


def of(rows, features=FEATURES):
    return content_hash(datasets.Dataset.from_list(rows, features=features))


def test_it_never_changes():
    assert of(ROWS).startswith("415b8a219d3c7e27")


@pytest.mark.parametrize(
    "change",
    [
        {"text": "good e"},
        {"text": None},
        {"stars": 2},
        {"words": ["ab", ""]},
        {"words": ["a", None]},
        {"said": [{"role": "user", "content": "ho"}]},
        {"answers": {"text": ["a"], "at": [2]}},
        {"answers": None},
        {"share": 0.25},
        {"is": None},
    ],
)
def test_it_follows_every_value(change):
    assert of([ROWS[0] | change, *ROWS[1:]]) != of(ROWS)


def test_the_order_and_the_number_of_rows_matter_and_the_names_of_columns_do_not():
    rows = datasets.Dataset.from_list(ROWS)
    assert content_hash(rows.rename_column("text", "review")) == content_hash(rows)
    others = (rows.select([1, 0, 2]), rows.select([0]), rows.select_columns(["text"]))
    assert len({content_hash(each) for each in (rows, *others)}) == 4


def test_how_rows_are_cut_into_pieces_does_not_matter(monkeypatch):
    rows = datasets.Dataset.from_list(ROWS * 4)
    parts = [rows.select(range(0, 5)), rows.select(range(5, 6)), rows.select(range(6, 12))]
    monkeypatch.setattr(content, "AT_ONCE", 7)
    assert content_hash(datasets.concatenate_datasets(parts)) == content_hash(rows)


def test_widths_of_types_do_not_matter():
    wide = datasets.Dataset.from_dict({"text": ["a", None], "n": [1, 2]})
    narrow = wide.cast(
        datasets.Features(text=datasets.Value("large_string"), n=datasets.Value("int8"))
    )
    assert content_hash(wide) == content_hash(narrow)


def test_names_of_declared_labels_matter():
    def labelled(*names):
        features = datasets.Features(label=datasets.ClassLabel(names=list(names)))
        return of([{"label": 1}], features)

    assert labelled("no", "yes") != labelled("no", "maybe")
