"""Which row of which file a row of a source is."""

import gzip
import json
from pathlib import Path

import pytest

from unfreeze.jobs.config import SourceConfig
from unfreeze.jobs.data import origins
from unfreeze.jobs.data.origins import origin_of
from unfreeze.jobs.data.row_names import Place
from unfreeze.jobs.data.sources import read_source


def located(tmp_path: Path, path: str, numbers: list[int], **settings: str) -> list[Place]:
    """Places of rows of a source, after it was read; the names of files are cut short."""
    source = SourceConfig.model_validate({"path": path, **settings})
    cache = tmp_path / "cache"
    read_source(source, "train", endpoint=None, cache=cache)
    places = origin_of(source, "train", endpoint=None, cache_folder=cache)(numbers)
    return [Place(place.row, place.file and Path(place.file).name, place.line) for place in places]


def jsonl(*texts: str) -> str:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts)


def test_rows_of_several_files_are_found_in_theirs(tmp_path: Path) -> None:
    (tmp_path / "part-1.jsonl").write_text(jsonl("a", "b"))
    with gzip.open(tmp_path / "part-2.jsonl.gz", "wt") as file:
        file.write(jsonl("c"))
    (tmp_path / "part-3.jsonl").write_text("\n" + jsonl("d") + "\n\n" + jsonl("e", "f"))
    assert located(tmp_path, f"{tmp_path}/part-*", [2, 3, 4, 6]) == [
        Place(2, "part-1.jsonl"),
        Place(1, "part-2.jsonl.gz"),
        Place(1, "part-3.jsonl", 2),
        Place(3, "part-3.jsonl", 6),
    ]


def test_lines_of_csv_are_counted_with_the_header_and_breaks_within_fields(
    tmp_path: Path,
) -> None:
    file = tmp_path / "a.csv"
    file.write_text('text,label\none,1\n\n"two\nlines",2\nthree,3\n')
    assert located(tmp_path, str(file), [1, 2, 3]) == [
        Place(1, "a.csv", 2),
        Place(2, "a.csv", 4),
        Place(3, "a.csv", 6),
    ]


@pytest.mark.parametrize(
    ("name", "content", "settings"),
    [
        ("{}.txt", "One.\n\n\nTwo.\n \n\nThree.\n\n", {"rows": "paragraph"}),
        ("{}.conll", "One O\n\nTwo O\n. O\n\n\nThree O\n", {}),
        ("{}.json", json.dumps([{"text": "a"}, {"text": "b"}, {"text": "c"}]), {}),
    ],
)
def test_rows_without_lines_are_found_in_their_files_too(
    tmp_path: Path, name: str, content: str, settings: dict[str, str]
) -> None:
    names = [name.format(letter) for letter in "ab"]
    for each in names:
        (tmp_path / each).write_text(content)
    places = located(tmp_path, f"{tmp_path}/{name.format('*')}", [3, 4, 6], **settings)
    assert places == [Place(3, names[0]), Place(1, names[1]), Place(3, names[1])]


def test_no_file_is_read_for_one_file_or_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl").write_text(jsonl("a", "b"))
    monkeypatch.setattr(origins, "rows_in", None)
    assert located(tmp_path, f"{tmp_path}/a.jsonl", [2]) == [Place(2, "a.jsonl")]
    assert located(tmp_path, f"{tmp_path}/a.jsonl", []) == []


def test_rows_of_the_hub_have_their_numbers_only(tmp_path: Path) -> None:
    source = SourceConfig(path="someone/reviews")
    locate = origin_of(source, "train", endpoint=None, cache_folder=tmp_path)
    assert locate([3, 5]) == [Place(3), Place(5)]
