"""From a file and overrides to a search."""

from pathlib import Path
from typing import Any

import pytest
from search_settings import JOB, SEARCH, mistakes, parse

from unfreeze.jobs import ConfigError
from unfreeze.tuning.search_file import load_search, parse_search, search_schema

JOB_FILE = """
name: reviews
model: models/tiny
task: text-classification
data: {train: train.jsonl}
training: {batch_size: 16}
"""
SEARCH_FILE = """
job: reviews.yaml
space:
  phases.0.for: {choice: [0ep, 1ep]}
  phases.1.learning_rate: {loguniform: [1e-5, 1e-4]}
sharing: off
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "reviews.yaml").write_text(JOB_FILE)
    (tmp_path / "my-search.yaml").write_text(SEARCH_FILE)
    return tmp_path


def test_a_search_is_named_after_its_file_and_its_job_after_the_search(folder: Path) -> None:
    search = load_search(folder / "my-search.yaml")
    assert (search.config.name, search.job.name) == ("my-search", "my-search")
    assert load_search(folder / "my-search.yaml", ["name=other"]).job.name == "other"
    assert search.job.training.batch_size == 16
    assert search.job.data.train.path == "train.jsonl", "paths of the job stay as they are"
    assert search.config.sharing is False
    assert list(search.space.dimensions) == ["phases.0.for", "phases.1.learning_rate"]


def test_the_job_file_is_looked_up_beside_the_search_and_then_where_one_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "far.yaml").write_text(JOB_FILE.replace("16", "4"))
    (elsewhere / "reviews.yaml").write_text(JOB_FILE.replace("16", "4"))
    monkeypatch.chdir(elsewhere)
    assert load_search(folder / "my-search.yaml").job.training.batch_size == 16
    assert load_search(folder / "my-search.yaml", ["job=far.yaml"]).job.training.batch_size == 4
    absolute = str(elsewhere / "far.yaml")
    assert load_search(folder / "my-search.yaml", [f"job={absolute}"]).job.training.batch_size == 4


def test_a_job_file_that_is_not_there_may_be_misspelled(folder: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load_search(folder / "my-search.yaml", ["job=revews.yaml", "trials=0"])
    assert error.value.mistakes == [
        "job: revews.yaml: no such file; did you mean reviews.yaml?",
        "trials: input should be greater than or equal to 1, got 0",
    ]


@pytest.mark.parametrize(
    ("job", "line"),
    [
        (None, "job: missing"),
        (3, "job: expected the path of a job file or its settings, got int"),
        ([JOB], "job: expected the path of a job file or its settings, got list"),
        (JOB | {"modle": 1}, "job.modle: no such setting; did you mean model?"),
        (JOB | {"freeze_epochs": 1}, "job: give either phases or freeze_epochs, not both"),
        (JOB | {"training": {"seed": -1}}, "job.training.seed: input should be greater"),
    ],
)
def test_mistakes_of_the_job_are_told_as_the_jobs(job: Any, line: str) -> None:
    (found,) = mistakes(job=job)
    assert found.startswith(line)


def test_a_job_file_that_is_no_yaml_is_a_mistake_of_the_job(folder: Path) -> None:
    (folder / "reviews.yaml").write_text("a: [1")
    with pytest.raises(ConfigError, match=r"^job: .*reviews.yaml: not YAML") as error:
        load_search(folder / "my-search.yaml")
    assert len(error.value.mistakes) == 1


def test_the_metric_of_the_search_is_the_jobs_and_decides_the_mode() -> None:
    assert (parse().metric, parse().mode) == ("accuracy", "max")
    f1 = parse(metric="validation/f1", mode="max")
    assert (f1.metric, f1.mode, f1.job.training.metric) == ("f1", "max", "f1")
    loss = parse("metric=loss", mode="min")
    assert (loss.metric, loss.mode, loss.job.training.metric) == ("loss", "min", "loss")
    assert parse("job.training.metric=f1").metric == "f1"


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            {"metric": "auc"},
            "metric: text-classification has no metric 'auc'; known are accuracy, f1, ",
        ),
        (
            {"metric": "train/loss"},
            "metric: text-classification has no metric 'train/loss'; did you mean loss?",
        ),
        ({"metric": 3}, "metric: input should be a valid string, got 3"),
        ({"mode": "min"}, "mode: accuracy is better when higher, so max, got 'min'"),
        (
            {"mode": "max", "metric": "loss"},
            "mode: loss is better when lower, so min, got 'max'",
        ),
        ({"mode": "most"}, "mode: input should be 'max' or 'min', got 'most'"),
    ],
)
def test_a_metric_or_mode_that_cannot_be_is_one_mistake(settings: Any, line: str) -> None:
    (found,) = mistakes(**settings)
    assert found.startswith(line)


def test_24_trials_or_the_whole_grid_unless_it_is_said() -> None:
    grid = {"phases.0.for": {"choice": ["0ep", "1ep"]}, "training.batch_size": {"randint": [1, 4]}}
    assert parse().trials == 24
    assert parse(trials=5).trials == 5
    assert parse(searcher="grid", space=grid).trials == 6
    assert parse(searcher="grid", space=grid, trials=4).trials == 4
    assert parse(searcher="grid", space=grid, trials=100).trials == 6


def test_a_grid_too_large_to_be_meant_needs_a_number_of_trials() -> None:
    key = "training.batch_size"
    grid = {key: {"randint": [1, 900]}, "training.micro_batch_size": {"randint": [1, 900]}}
    assert mistakes(searcher="grid", space=grid) == [
        "trials: the grid has more than 10000 points; say how many to try"
    ]
    assert parse(searcher="grid", space=grid, trials=50).trials == 50


def test_a_grid_with_a_continuous_dimension_is_refused() -> None:
    assert mistakes(searcher="grid") == [
        "space.phases.1.learning_rate: a grid cannot hold every loguniform value; "
        "give a choice of values, or set searcher to random or optuna"
    ]


def test_overrides_reach_the_search_its_job_and_its_space() -> None:
    search = parse(
        "trials=3",
        "scheduler.reduction_factor=2",
        "finalists.top=1",
        "job.training.batch_size=8",
        "job.phases.0.train=[head, layer.1]",
        "space.phases.0.for.choice=[1ep]",
        "space.phases.1.learning_rate.uniform=[1e-5, 1e-3]",
        "space.training.batch_size={randint: [4, 8]}",
        "space.training.warmup.choice=[0, 0.1]",
        scheduler="asha",
    )
    assert (search.trials, search.config.scheduler.reduction_factor) == (3, 2)
    assert search.config.finalists.top == 1
    assert search.job.training.batch_size == 8
    assert search.job.phases[0].train == ("head", "layer.1")
    dimensions = search.space.dimensions
    assert dimensions["phases.0.for"].choice == ("1ep",)
    assert dimensions["phases.1.learning_rate"].uniform == (1e-5, 1e-3)
    assert dimensions["phases.1.learning_rate"].loguniform is None
    assert dimensions["training.batch_size"].randint == (4, 8)
    assert dimensions["training.warmup"].choice == (0, 0.1)
    left = parse("space.phases.0.for=").space.dimensions
    assert list(left) == ["phases.1.learning_rate"]
    assert SEARCH["space"]["phases.0.for"] == {"choice": ["0ep", "1ep", "2ep"]}, "unchanged"
    assert "training" not in JOB


def test_a_search_as_plain_data_is_the_same_search(folder: Path) -> None:
    search = load_search(folder / "my-search.yaml", ["metric=validation/f1", "lanes=2"])
    again = parse_search(search.config.to_data())
    assert again.config.to_data() == search.config.to_data()
    assert (again.job, again.space.dimensions) == (search.job, search.space.dimensions)


def test_settings_that_are_no_mapping_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_search(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="expected settings"):
        parse_search([])  # type: ignore[arg-type]


def test_the_schema_describes_every_setting() -> None:
    schema = search_schema()
    assert sorted(schema["required"]) == ["job", "space"]
    for settings in (schema, *schema["$defs"].values()):
        for name, setting in settings.get("properties", {}).items():
            assert setting.get("description"), f"{name} has no description"


def schema_errors(settings: dict[str, Any]) -> list[str]:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(search_schema())
    found = jsonschema.Draft202012Validator(search_schema()).iter_errors(settings)
    return [error.message for error in found]


def test_the_schema_takes_what_is_read_and_refuses_what_is_misspelled() -> None:
    assert not schema_errors(SEARCH)
    assert not schema_errors(SEARCH | {"job": "reviews.yaml", "lanes": 2})
    assert not schema_errors(SEARCH | {"scheduler": "median", "metric": "loss", "sharing": False})
    condition = {"choice": ["1ep"], "when": {"phases.1.learning_rate": 1}}
    assert not schema_errors(SEARCH | {"space": {"phases.0.for": condition}})
    assert not schema_errors(parse().config.to_data())
    mistaken: list[dict[str, Any]] = [
        {"trails": 1},
        {"space": {}},
        {"space": {"a": {"choise": [1]}}},
        {"scheduler": "hyperband"},
        {"job": {"modle": 1}},
        {"lanes": "many"},
    ]
    for wrong in mistaken:
        assert schema_errors(SEARCH | wrong), wrong
