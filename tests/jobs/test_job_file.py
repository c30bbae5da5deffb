"""From a file and overrides to a job: every mistake in one answer, and never another error."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from unfreeze.jobs import ConfigError, JobConfig, load_job, parse_job

SMALLEST: dict[str, Any] = {
    "name": "reviews",
    "model": "models/tiny",
    "task": "text-classification",
    "data": {"train": "train.jsonl"},
}
JOB = """
model: models/tiny
task: text-classification
data: {train: train.jsonl}
"""


def write(folder: Path, text: str, name: str = "my-job.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(settings: dict[str, Any], *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        parse_job(settings, overrides)
    return error.value.mistakes


def test_a_job_is_named_after_its_file_unless_it_has_a_name(tmp_path: Path) -> None:
    assert load_job(write(tmp_path, JOB)).name == "my-job"
    assert load_job(write(tmp_path, JOB + "name: other\n")).name == "other"


def test_floats_may_be_written_without_a_point(tmp_path: Path) -> None:
    text = JOB + "phases: [{train: head, learning_rate: 1e-3}]\ntraining: {eps: 1E-8}\n"
    job = load_job(write(tmp_path, text), ["data.validation=2e-1", "training.weight_decay=1e-2"])
    assert job.phases[0].learning_rate == 1e-3
    assert (job.training.eps, job.data.validation, job.training.weight_decay) == (1e-8, 0.2, 0.01)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [1, 2", "not YAML: while parsing"),
        ("a: b: c", "not YAML: mapping values"),
        ("\x00\x01", "not YAML"),
        ("key: !!python/object:os.system {}", "not YAML: could not determine a constructor"),
        ("- a\n- b", r"expected settings \(key: value\), got list"),
        ("just words", r"expected settings \(key: value\), got str"),
        ("", r"expected settings \(key: value\), got NoneType"),
    ],
)
def test_a_file_that_holds_no_settings_is_refused_on_one_line(
    tmp_path: Path, text: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=f"my-job.yaml: {problem}") as error:
        load_job(write(tmp_path, text))
    assert len(str(error.value).splitlines()) == 1


def test_a_date_that_does_not_exist_is_a_mistake_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        load_job(write(tmp_path, JOB + "name: 2024-13-45\n"))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing.yaml: no such file"):
        load_job(tmp_path / "nothing.yaml")
    with pytest.raises(ConfigError, match="cannot be read as text"):
        load_job(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(ConfigError, match="cannot be read as text"):
        load_job(tmp_path / "binary.yaml")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"modle": "x"}, "modle: no such setting; did you mean model?"),
        ({"phase": []}, "phase: no such setting; did you mean phases?"),
        ({"freeze_epoch": 1}, "freeze_epoch: no such setting; did you mean freeze_epochs?"),
        (
            {"training": {"batchsize": 3}},
            "training.batchsize: no such setting; did you mean batch_size?",
        ),
        (
            {"data": {"train": "a", "max_len": 3}},
            "data.max_len: no such setting; did you mean max_length?",
        ),
        (
            {"data": {"train": {"path": "a", "splitt": "b"}}},
            "data.train.splitt: no such setting; did you mean split?",
        ),
        (
            {"data": {"train": "a", "validation": {"path": "a", "pth": "b"}}},
            "data.validation.pth: no such setting; did you mean path?",
        ),
        (
            {"data": {"train": "a", "columns": {"lable": "x"}}},
            "data.columns.lable: text-classification has no such column; did you mean label?",
        ),
        (
            {"data": {"train": "a", "columns": {"quux": "x"}}},
            "data.columns.quux: text-classification has no such column; known are text, text_pair, "
            "label",
        ),
        (
            {"training": {"metric": "acuracy"}},
            "training.metric: text-classification has no metric 'acuracy'; did you mean accuracy?",
        ),
        (
            {"training": {"metric": "xyz"}},
            "training.metric: text-classification has no metric 'xyz'; known are accuracy, f1, "
            "weighted_f1, mcc, loss",
        ),
        (
            {"task": "text-clasification"},
            "task: there is no task 'text-clasification'; did you mean text-classification?",
        ),
        (
            {"task": {"name": "text-classification", "nam": "x"}},
            "task.nam: no such setting; did you mean name?",
        ),
        (
            {"task": {"name": "question-answering", "strid": 3}},
            "task.strid: no such setting; did you mean stride?",
        ),
        ({"<number>": 1}, "<number>: no such setting; did you mean name?"),
        (
            {"phases": [{"train": "head"}, {"train": "all", "leaning_rate": 1}]},
            "phases.1.leaning_rate: no such setting; did you mean learning_rate?",
        ),
        (
            {"phases": [{"train": "all"}, {"train": "all", "four": "1ep"}]},
            "phases.1.four: no such setting; did you mean for?",
        ),
        (
            {"phases": [{"train": "all"}, {"train": "all", "for": {"untill": "plateau"}}]},
            "phases.1.for.untill: no such setting; did you mean until?",
        ),
        (
            {"scale": {"zebra": 1}},
            "scale.zebra: no such setting; known are "
            "cpus_per_worker, gpus_per_worker, max_failures, workers",
        ),
    ],
)
def test_a_misspelled_setting_is_told_what_it_may_have_meant(
    settings: dict[str, Any], line: str
) -> None:
    assert line in mistakes(SMALLEST | settings)


def test_every_mistake_is_reported_at_once() -> None:
    found = mistakes(
        {
            "modle": "x",
            "task": "text-clasification",
            "data": {"train": "a", "validation": 2},
            "training": {"batch_size": "many", "seed": -1},
            "phases": [{"train": "head", "for": "long"}, {"train": "all", "learning_rate": -1}],
            "scale": {"workers": 0},
        },
        "nonsense",
        "phases.7.for=1ep",
    )
    expected = [
        "nonsense: expected key=value",
        "phases.7.for: there is nothing at this place to set",
        "name: missing",
        "model: missing",
        "modle: no such setting; did you mean model?",
        "task: there is no task 'text-clasification'; did you mean text-classification?",
        "data.validation: input should be less than 1, got 2",
        "training.batch_size: input should be a valid integer, unable to parse string as an "
        "integer, got 'many'",
        "training.seed: input should be greater than or equal to 0, got -1",
        'phases.0.for: expected a length such as "2ep" or "100st", got \'long\'',
        "phases.1.learning_rate: input should be greater than 0, got -1",
        "scale.workers: input should be greater than or equal to 1, got 0",
    ]
    assert set(expected) <= set(found)
    assert len(found) == len(set(found))


def overridden(*overrides: str, **settings: Any) -> JobConfig:
    return parse_job(SMALLEST | settings, overrides)


def test_overrides_reach_into_settings_lists_and_what_is_not_written_yet() -> None:
    phases = [{"train": "head"}, {"train": "all", "learning_rate": 1e-4}]
    job = overridden(
        "name=other",
        "phases.1.learning_rate=5e-5",
        "phases.0.for=2ep",
        "phases.0.train=[head, layer.2]",
        "training.seed=3",
        "scale.workers=",
        "data.columns.label=stars",
        "deepspeed.zero_optimization.stage=3",
        phases=phases,
        deepspeed={},
    )
    assert job.name == "other"
    assert job.phases[1].learning_rate == 5e-5
    assert str(job.phases[0].length) == "2ep"
    assert job.phases[0].train == ("head", "layer.2")
    assert job.training.seed == 3
    assert job.scale.workers is None
    assert job.data.columns == {"label": "stars"}
    assert job.deepspeed == {"zero_optimization": {"stage": 3}}
    assert phases[1]["learning_rate"] == 1e-4, "what was given is not changed"


@pytest.mark.parametrize(
    ("override", "settings"),
    [
        ("model.dropout=0", {"model": "models/tiny"}),
        ("storage.endpoint=embedded", {"storage": "s3://bucket"}),
        ("deepspeed.zero_stage=3", {"deepspeed": "ds.json"}),
        ("data.train.split=first", {"data": {"train": "a.jsonl"}}),
        ("data.test.split=first", {"data": {"train": "a.jsonl", "test": "b.jsonl"}}),
        ("task.n_best=7", {"task": "question-answering"}),
    ],
)
def test_an_override_reaches_into_a_short_form(override: str, settings: dict[str, Any]) -> None:
    key = override.partition("=")[0].rpartition(".")[0].split(".")
    before = overridden(**settings).model_dump()
    after = overridden(override, **settings).model_dump()
    for part in key:
        before, after = before[part], after[part]
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {override.partition("=")[0].split(".")[-1]}


def test_a_whole_part_may_be_overridden() -> None:
    job = overridden("phases=[{train: all, for: 3st}]", "storage={uri: here}", "model=other")
    assert str(job.phases[0].length) == "3st"
    assert (job.storage.uri, job.model.path) == ("here", "other")


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("training", "training: expected key=value"),
        ("=3", "=3: expected key=value"),
        ("name=[1", "name: '[1' is not YAML"),
        ("name.first=1", "name.first: there is nothing at this place to set"),
        ("phases.5.for=1ep", "phases.5.for: there is nothing at this place to set"),
        ("phases.first.for=1ep", "phases.first.for: there is nothing at this place to set"),
        ("training.seed=abc", "training.seed: input should be a valid integer"),
        ("training.sed=1", "training.sed: no such setting; did you mean seed?"),
    ],
)
def test_an_override_that_fits_nowhere_is_a_mistake(override: str, line: str) -> None:
    found = mistakes(SMALLEST | {"phases": [{"train": "all"}]}, override)
    assert len(found) == 1
    assert found[0].startswith(line)


@pytest.mark.parametrize("override", ["training.seed.a.b=1", "phases.0.a.b=1"])
def test_an_override_below_a_plain_value_is_a_mistake_too(override: str) -> None:
    settings = {"training": {"seed": 0}, "phases": [None]}
    with pytest.raises(ConfigError):
        parse_job(SMALLEST | settings, [override])


@pytest.mark.parametrize("task", [None, 3, [], {}, {"name": None}, {"name": ["x"]}, ""])
def test_what_is_no_task_is_told_which_there_are(task: Any) -> None:
    (line,) = mistakes(SMALLEST | {"task": task})
    assert line.startswith("task: ")
    assert "text-classification" in line


def test_wrong_columns_and_a_wrong_metric_are_told_together_with_other_mistakes() -> None:
    data = {"train": "a", "columns": {"txt": "b"}, "max_length": 1}
    found = mistakes(SMALLEST | {"data": data, "training": {"metric": "f2"}})
    assert [line.split(":")[0] for line in found] == [
        "data.columns.txt",
        "training.metric",
        "data.max_length",
    ]


def test_reading_a_job_file_loads_nothing_that_takes_seconds() -> None:
    code = """
import sys
from unfreeze.jobs.job_file import parse_job
parse_job({"name": "a", "model": "m", "task": "text-classification", "data": {"train": "t"}})
heavy = ("torch", "transformers", "datasets", "ray", "deepspeed", "sklearn", "scipy")
print([name for name in heavy if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
