import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_entities
import tiny_language
import tiny_problems
import tiny_questions
import tiny_text2text
from tiny_splits import sentences

from unfreeze.jobs import JobConfig, parse_job
from unfreeze.jobs.data.dataset import prepare, read_sources
from unfreeze.jobs.data_check import DataCheck, check_data
from unfreeze.jobs.data_check import rows as data_rows
from unfreeze.jobs.data_check.page import build_page
from unfreeze.jobs.inputs import cache_folder, gather_inputs

RUSSIAN = "\u043e\u0447\u0435\u043d\u044c \u0445\u043e\u0440\u043e\u0448\u043e"
SETTINGS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "text-classification": tiny.settings,
    "token-classification": tiny_entities.settings,
    "text-generation": tiny_language.settings,
    "question-answering": tiny_questions.settings,
    "text2text-generation": lambda inputs: tiny_text2text.settings(inputs, "t5"),
}


def labelled(texts: list[str]) -> list[dict[str, str]]:
    return [
        {"text": text, "label": "good" if place % 2 else "bad"} for place, text in enumerate(texts)
    ]


def job_on(inputs: Path, folder: Path, *, max_length: int = 32, **rows: Any) -> JobConfig:
    """The tiny job on these rows."""
    settings = tiny.settings(inputs)
    data: dict[str, Any] = {"max_length": max_length}
    for split, some in rows.items():
        is_share = isinstance(some, float)
        data[split] = some if is_share else str(tiny.write_rows(folder / f"{split}.jsonl", some))
    return parse_job(settings | {"data": data})


def said(check: DataCheck, words: str) -> str:
    """The one finding with these words."""
    (found,) = [finding.text for finding in check.findings if words in finding.text]
    return found


def test_clean_data_give_no_finding(inputs: Path, tmp_path: Path) -> None:
    train, test = labelled(sentences(300)), labelled(sentences(120, seed=1))
    job = job_on(inputs, tmp_path, train=train, validation=0.2, test=test)
    check = check_data(job)
    assert check.findings == []
    assert not check.has_errors
    assert [(name, split.rows, split.source) for name, split in check.splits.items()] == [
        ("train", 240, "train"),
        ("validation", 60, "train"),
        ("test", 120, "test"),
    ]
    assert check.labels is not None
    assert check.labels.rows == {"train": [120, 120], "validation": [30, 30], "test": [60, 60]}
    assert check.lengths is not None
    assert check.lengths.splits["train"].tokens == 240 * 14
    assert check.lengths.splits["train"].words == 240 * 12
    assert sum(check.lengths.splits["test"].bars) == 120
    assert len(check.reassurances) == 5


def test_planted_faults_are_found_with_their_rows(inputs: Path, tmp_path: Path) -> None:
    train, test = labelled(sentences(200)), labelled(sentences(100, seed=1))
    train[4]["text"], train[4]["label"] = train[1]["text"].upper(), train[1]["label"]
    train[11]["text"] += " caf\u00c3\u00a9"
    train[12]["text"] += " &amp;"
    train[20]["text"] = RUSSIAN
    for place in range(30, 36):
        train[place]["text"] = sentences(1, seed=place, words=40 + place)[0]
    test[2]["text"] = f"{train[6]['text']}, very"
    job = job_on(
        inputs, tmp_path, train=train, validation=labelled(sentences(50, seed=2)), test=test
    )
    check = check_data(job)
    assert not check.has_errors
    cut = said(check, "cut off")
    assert "6 of 200 train rows (3.0 %) are cut off at max_length 32" in cut
    assert "max_length=64 is the most that this model takes" in cut
    assert "1 of 200 train rows (0.5 %) repeat an earlier row" in said(check, "repeat an earlier")
    assert "1 of 100 test rows (1.0 %) are nearly the same as a row of train" in said(check, "near")
    assert "1 of 200 train rows (0.5 %) have wrongly decoded" in said(check, "mojibake")
    assert "1 of 200 train rows (0.5 %) have HTML entities" in said(check, "entities")
    assert "1 of 200 train rows (0.5 %) are mainly in another script" in said(check, "Cyrillic")
    assert said(check, "does not know").startswith("the tokenizer does not know 0.")
    (near,) = check.duplicates.near
    assert (near.pairs[0].first.row, near.pairs[0].second.row) == (7, 3)
    assert [fault.shown[0].row.row for fault in check.faults] == [12, 13]
    assert [row.row for row in check.scripts["train"].shown] == [21]
    assert check.findings[0].text == said(check, "near")  # the worst is told first


def test_what_training_would_refuse_is_an_error_and_the_rest_is_told(
    inputs: Path, tmp_path: Path
) -> None:
    train, test = labelled(sentences(60)), labelled(sentences(30, seed=1))
    train[3]["text"] = " "
    test[2]["label"] = "ugly"
    test[5]["text"] = train[8]["text"]
    job = job_on(inputs, tmp_path, train=train, validation=0.2, test=test)
    check = check_data(job)
    assert check.has_errors
    errors = [finding.text for finding in check.findings if finding.severity == "error"]
    assert [finding.severity for finding in check.findings][: len(errors)] == ["error"] * 3
    assert any("expected text, found none" in text for text in errors)
    assert any("the label ugly is not in train" in text for text in errors)
    assert any("a text that stands in train too" in text for text in errors)
    assert sum(check.splits[name].rows for name in ("train", "validation")) == 59
    assert check.lengths is not None
    assert check.lengths.splits["test"].tokens > 0
    assert check.lengths.splits["test"].cut_off == 0
    assert check.lengths.splits["test"].examples is None
    assert [(found.split, found.other) for found in check.duplicates.exact] == [("test", "train")]


def test_labels_that_differ_and_that_are_one_sided_are_told(inputs: Path, tmp_path: Path) -> None:
    train, test = labelled(sentences(300)), labelled(sentences(120, seed=1))
    for place, row in enumerate(train):
        row["label"] = "good" if place % 10 else "bad"
    check = check_data(job_on(inputs, tmp_path, train=train, validation=0.2, test=test))
    assert "90.0 % of the train rows have the label good" in said(check, "have the label")
    assert "spread otherwise in test than in train" in said(check, "spread otherwise")


def test_rows_are_those_of_training(inputs: Path, tmp_path: Path) -> None:
    job = job_on(inputs, tmp_path, train=labelled(sentences(90)), validation=0.2, test=0.1)
    located = gather_inputs(job).located
    cache = cache_folder() / "data"
    prepared, sources = prepare(job, located, cache=cache), read_sources(job, cache)
    splits, _ = data_rows.read_splits(job, sources)
    for name, split in prepared.splits.items():
        numbers = [row["row"] for row in split.rows(range(split.units))]
        assert [looked.row for looked in splits[name].looked] == sorted(numbers)


def test_shares_of_rows_with_several_labels_are_those_of_training_also_where_it_stops(
    inputs: Path, tmp_path: Path
) -> None:
    settings = tiny_problems.settings(inputs, "multi_label")
    rows = [*tiny_problems.label_rows(280), {"text": "", "label": ["good"]}]
    settings["data"] |= {"train": str(tiny.write_rows(tmp_path / "rows.jsonl", rows))}
    job = parse_job(settings | {"data": settings["data"] | {"on_bad_row": "skip"}})
    prepared = gather_inputs(job).data.splits
    stopping = parse_job(settings)
    splits, _ = data_rows.read_splits(stopping, read_sources(stopping, cache_folder() / "data"))
    for name, split in prepared.items():
        numbers = [row["row"] for row in split.rows(range(split.units))]
        assert [looked.row for looked in splits[name].looked] == sorted(numbers)


def test_of_many_rows_a_sample_is_looked_at(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_rows, "MOST_ROWS", 50)
    train = labelled(sentences(200))
    train[7]["text"] = train[3]["text"]
    train[7]["label"] = train[3]["label"]
    check = check_data(job_on(inputs, tmp_path, train=train, validation=0.2))
    assert (check.splits["train"].looked, check.splits["validation"].looked) == (50, 40)
    assert check.splits["train"].rows == 160
    assert sum(found.rows for found in check.duplicates.exact) == 1  # of all rows
    assert check.lengths is not None
    assert sum(check.lengths.splits["train"].bars) == 50


@pytest.mark.parametrize("task", SETTINGS)
def test_every_task_can_be_checked(inputs: Path, task: str) -> None:
    job = parse_job(SETTINGS[task](inputs))
    check = check_data(job)
    assert not check.has_errors
    assert check.lengths is not None
    prepared = gather_inputs(job).data.splits
    assert list(check.splits) == list(prepared)
    for name, split in prepared.items():
        assert check.lengths.splits[name].examples == len(split)
        assert check.lengths.splits[name].tokens > 0
        assert sum(check.lengths.splits[name].bars) == check.splits[name].rows
        if split.rows_begin is None:
            assert check.splits[name].rows == split.units
    assert bool(check.labels) == ("classification" in task)
    assert check.fit or check.lengths.splits["train"].percentiles["max"] < 10  # too short
    json.dumps(check.to_data())
    assert _Page(build_page(check, job)).titles[0] == f"{check.name}: data - unfreeze"


class _Page(HTMLParser):
    """Counts what is open, and collects what could fetch something."""

    VOID = ("meta", "br", "img", "link", "hr", "input")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.titles: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["title"]:
            self.titles.append(data)


def test_the_page_is_whole_and_needs_no_network(inputs: Path, tmp_path: Path) -> None:
    train = labelled(sentences(60))
    train[5]["text"] += " <script src='https://evil.example/x.js'></script> &amp;"
    train[9]["text"] = f"{train[2]['text']}!"
    for place in range(30, 36):
        train[place]["text"] = sentences(1, seed=place, words=40 + place)[0]
    job = job_on(inputs, tmp_path, train=train, validation=0.2)
    check = check_data(job)
    page = build_page(check, job)
    found = _Page(page)
    assert found.links == []
    assert "<script" not in page
    assert not re.search(r"url\(|@import", page)
    assert "&lt;script src=" in page
    assert page.count("<svg") == 2
    assert "longer" in page
    for finding in check.findings[:3]:
        assert finding.text[:40].replace(" %", "\u00a0%") in page
    assert page == build_page(check, job)
