from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import tiny
from tiny_splits import sentences

from unfreeze.jobs import parse_job
from unfreeze.jobs.data.row_names import Locate, Place, by_number
from unfreeze.jobs.data_check import check_data
from unfreeze.jobs.data_check.places import with_places
from unfreeze.jobs.data_check.rows import Shown


@dataclass(frozen=True)
class Pair:
    first: Shown
    others: tuple[Shown, ...]


def two_files(numbers: Sequence[int]) -> list[Place]:
    return [Place(n, "a.csv", n + 1) if n < 5 else Place(n - 4, "b.csv", n - 3) for n in numbers]


def one_file(numbers: Sequence[int]) -> list[Place]:
    return [Place(n, "a.jsonl") for n in numbers]


@pytest.mark.parametrize(
    ("locate", "second", "seventh"),
    [
        (two_files, "row 2 of a.csv, line 3", "row 3 of b.csv, line 4"),
        (one_file, "row 2 of a.jsonl", "row 7 of a.jsonl"),
        (by_number, "", ""),
    ],
)
def test_rows_from_files_are_placed(locate: Locate, second: str, seventh: str) -> None:
    rows = Shown("train", 2, "two"), Shown("validation", 7, "seven")
    found = {"near": [Pair(rows[0], (rows[1],))], "count": 2}
    placed = with_places(found, {"train": "train", "validation": "train"}, {"train": locate})
    (pair,) = placed["near"]
    assert (pair.first.place, pair.others[0].place) == (second, seventh)
    assert (pair.first.text, placed["count"]) == ("two", 2)


def test_rows_of_the_check_are_named_by_their_files(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console

    from unfreeze.cli.data_view import show

    texts = sentences(80)
    texts[61] += " caf\u00c3\u00a9"
    rows = [{"text": text, "label": "ab"[place % 2]} for place, text in enumerate(texts)]
    tiny.write_rows(tmp_path / "rows/a.jsonl", rows[:50])
    tiny.write_rows(tmp_path / "rows/b.jsonl", rows[50:])
    data = {"train": str(tmp_path / "rows"), "validation": 0.2, "max_length": 32}
    check = check_data(parse_job(tiny.settings(inputs) | {"data": data}))
    (fault,) = check.faults
    row = fault.shown[0].row
    assert (row.row, row.place) == (62, f"row 12 of {tmp_path}/rows/b.jsonl")
    show(check, Console(width=300))
    assert f"{row.split} {row.place}" in capsys.readouterr().out
