"""Predictions part by part: interrupted, taken up, joined."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import pytest

from unfreeze.jobs import parse_job
from unfreeze.jobs.prediction.exported import Trained
from unfreeze.jobs.prediction.new_rows import NewRows, Part
from unfreeze.jobs.prediction.parts import Output, as_jsonl
from unfreeze.jobs.prediction.predict import (
    Asked,
    Compute,
    is_for_a_cluster,
    predict_to,
    predicted_lines,
)
from unfreeze.jobs.tasks import open_task
from unfreeze.storage import FolderStore

Found = tuple[Part, list[dict[str, Any]]]


class Model:
    """Says how long texts are, and which parts it was asked about."""

    def __init__(self, *, stop_after: int = 99, backwards: bool = False) -> None:
        self._stop_after, self._backwards = stop_after, backwards
        self.asked: list[int] = []

    def __call__(self, parts: Iterator[Part]) -> Iterator[Found]:
        for part in reversed(list(parts)) if self._backwards else parts:
            if len(self.asked) == self._stop_after:
                raise KeyboardInterrupt
            self.asked.append(part.number)
            yield part, [{"length": len(row["text"])} for row in part.rows]


def asked(tmp_path: Path, texts: list[str], version: str = "1") -> Asked:
    job = parse_job(
        {"name": "x", "model": "m", "task": "text-classification", "data": {"train": "t.jsonl"}}
    )
    data = datasets.Dataset.from_list([{"id": i, "text": text} for i, text in enumerate(texts)])
    rows = NewRows(data, {"text": "text"}, open_task(job.task), "predict")
    return Asked(Trained(FolderStore(tmp_path), job, {}, version), rows, tmp_path, rows_per_part=2)


def run(output: Output, those: Asked, model: Compute) -> dict[str, Any]:
    said: list[dict[str, Any]] = []
    predict_to(output, those, model, said.append)
    return said[-1]


TEXTS = [letter * (i + 1) for i, letter in enumerate("abcdefg")]


def expected(texts: list[str]) -> bytes:
    return as_jsonl({"id": i, "text": t, "length": len(t)} for i, t in enumerate(texts))


@pytest.mark.parametrize("backwards", [False, True])
def test_parts_are_joined_in_the_order_of_the_rows(tmp_path: Path, backwards: bool) -> None:
    file = tmp_path / "out.jsonl"
    model = Model(backwards=backwards)
    said = run(Output(str(file)), asked(tmp_path, TEXTS), model)
    assert file.read_bytes() == expected(TEXTS)
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]
    assert (said["kind"], said["rows"], said["taken_up"]) == ("written", 7, 0)
    assert as_jsonl(predicted_lines(asked(tmp_path, TEXTS), model)) == expected(TEXTS)


def test_the_same_command_takes_up_what_is_done(tmp_path: Path) -> None:
    output, those = Output(str(tmp_path / "out.jsonl")), asked(tmp_path, TEXTS)
    with pytest.raises(KeyboardInterrupt):
        run(output, those, Model(stop_after=2))
    done = {file: file.stat().st_mtime_ns for file in (tmp_path / "out.jsonl.parts").iterdir()}
    assert len(done) == 2 and not (tmp_path / "out.jsonl").exists()

    second = Model(stop_after=1)
    with pytest.raises(KeyboardInterrupt):
        run(output, those, second)
    assert second.asked == [2]
    assert all(file.stat().st_mtime_ns == when for file, when in done.items())

    third = Model()
    said = run(output, those, third)
    assert third.asked == [3]
    assert said["taken_up"] == 6
    assert (tmp_path / "out.jsonl").read_bytes() == expected(TEXTS)


def test_parts_of_other_rows_or_another_model_are_not_taken_up(tmp_path: Path) -> None:
    output = Output(str(tmp_path / "out.jsonl"))
    with pytest.raises(KeyboardInterrupt):
        run(output, asked(tmp_path, TEXTS), Model(stop_after=3))
    changed = [*TEXTS[:2], "another", *TEXTS[3:]]
    model = Model(stop_after=3)
    with pytest.raises(KeyboardInterrupt):
        run(output, asked(tmp_path, TEXTS, version="2"), model)
    assert model.asked == [0, 1, 2]

    model = Model()
    run(output, asked(tmp_path, changed), model)
    assert model.asked == [1, 3]
    assert (tmp_path / "out.jsonl").read_bytes() == expected(changed)
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_rows_that_do_not_fit_are_counted_and_keep_their_place(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    said = run(Output(str(file)), asked(tmp_path, ["a", "", "ccc"]), Model())
    assert said["skipped"] == 1
    lines = file.read_text().splitlines()
    assert '"error": "column' in lines[1] and '"length": 3' in lines[2]


def test_ray_is_used_where_somebody_says_so_or_gpus_can_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not is_for_a_cluster(0, "auto", 9)
    assert is_for_a_cluster(None, "auto", 1)
    assert is_for_a_cluster(2, None, 1)
    for gpus, parts, uses_ray in ((0, 9, False), (1, 9, False), (4, 9, True), (4, 1, False)):
        have = SimpleNamespace(gpus=gpus)
        monkeypatch.setattr(
            "unfreeze.jobs.prediction.predict.local_resources", lambda have=have: have
        )
        assert is_for_a_cluster(None, None, parts) is uses_ray
