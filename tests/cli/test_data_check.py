import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
from refusals import Run
from tiny_splits import sentences

from unfreeze.cli.main import main

pytestmark = pytest.mark.usefixtures("nothing_is_started")

Job = Callable[..., str]


def rows(texts: list[str]) -> list[dict[str, str]]:
    return [{"text": text, "label": "good" if i % 2 else "bad"} for i, text in enumerate(texts)]


@pytest.fixture
def said(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """The exit code of a command, and what it said on stdout."""

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["unfreeze", *arguments])
        capsys.readouterr()
        try:
            main()
        except SystemExit as left:
            return int(left.code or 0), capsys.readouterr().out
        return 0, capsys.readouterr().out

    return call


def test_the_page_tells_all_parts(said: Callable[..., tuple[int, str]], job: Job) -> None:
    code, out = said("data", "check", job())
    assert code == 0
    for title in ("splits", "lengths", "labels", "duplicates", "scripts", "tokenizer", "fit"):
        assert f"\n{title}\n" in out
    assert "max_length is 32; the model takes 64" in out


def test_overrides_json_and_html(
    said: Callable[..., tuple[int, str]], job: Job, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    code, out = said("data", "check", job(), "data.max_length=10", "--json", "--html", str(page))
    assert code == 0
    found = json.loads(out)
    assert found["lengths"]["max_length"] == 10
    assert found["lengths"]["splits"]["train"]["longer"] > 0
    assert "are cut off at max_length 10" in page.read_text()


def test_errors_are_told_first_and_are_exit_code_2(
    said: Callable[..., tuple[int, str]], job: Job, tmp_path: Path
) -> None:
    texts = sentences(40)
    train = tiny.write_rows(tmp_path / "train.jsonl", rows(texts))
    test = tiny.write_rows(tmp_path / "test.jsonl", rows([*sentences(20, seed=1), texts[3]]))
    data = {"train": str(train), "validation": 0.2, "test": str(test)}
    code, out = said("data", "check", job(data=data))
    assert code == 2
    assert out.splitlines()[1].startswith("error: data.test: 1 row")
    assert "\nlengths\n" in out


def test_what_cannot_be_read_is_one_line(run: Run, job: Job) -> None:
    code, lines = run("data", "check", job(), "data.train=nowhere.jsonl")
    assert code == 2
    (line,) = lines
    assert line.startswith("error: data.train: nowhere.jsonl: no such file")
