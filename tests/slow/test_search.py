"""Searches on a real Ray: sharing and lanes change no metric, and a result is complete."""

import json
from pathlib import Path
from typing import Any

import pytest
import searches
import yaml

from unfreeze.cli.runs import model_result
from unfreeze.jobs import ConfigError, load_job
from unfreeze.jobs.config import SourceConfig
from unfreeze.jobs.inputs import cache_folder
from unfreeze.jobs.metrics import from_bytes, mean_of
from unfreeze.jobs.prediction.evaluate import evaluate
from unfreeze.jobs.prediction.predict import predict
from unfreeze.storage import open_store
from unfreeze.tuning import SearchResult, run_search
from unfreeze.tuning.files import STATISTICS, TEST_STATISTICS
from unfreeze.tuning.search_file import parse_search

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def two_lanes(
    inputs: Path, tmp_path_factory: pytest.TempPathFactory, ray_address: str
) -> SearchResult:
    uri = str(tmp_path_factory.mktemp("two-lanes"))
    logging = {"tensorboard": f"{uri}/tensorboard"}
    changes = {"finalists": {"top": 2, "seeds": 2}, "logging": logging}
    return run(searches.settings(inputs, uri, **changes), ray_address)


def run(settings: dict[str, Any], address: str) -> SearchResult:
    return run_search(parse_search(settings), address=address)


def assert_equal_but_for_rounding(
    one: dict[str, list[float]], other: dict[str, list[float]]
) -> None:
    assert one.keys() == other.keys()
    for id, values in one.items():
        assert values == pytest.approx(other[id], rel=2e-6), id


def assert_alike(one: Any, other: Any, place: str) -> None:
    """Equal, numbers but for rounding."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), place
        for key in one:
            assert_alike(one[key], other[key], f"{place}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), place
        for i, value in enumerate(one):
            assert_alike(value, other[i], f"{place}.{i}")
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=2e-6, abs=1e-9), place
    else:
        assert one == other, place


@pytest.mark.parametrize("changes", [{"sharing": False}, {"lanes": 1}], ids=["unshared", "1-lane"])
def test_sharing_and_the_number_of_lanes_change_no_metric(
    two_lanes: SearchResult,
    inputs: Path,
    tmp_path: Path,
    ray_address: str,
    changes: dict[str, Any],
) -> None:
    uri = str(tmp_path)
    other = run(
        searches.settings(inputs, uri, finalists={"top": 2, "seeds": 2}, **changes), ray_address
    )
    shared = str(Path(two_lanes.uri).parent)
    assert len(searches.records(uri)) == 12
    assert_equal_but_for_rounding(searches.losses(shared), searches.losses(uri))
    best = {id: record["best"]["step"] for id, record in searches.records(uri).items()}
    assert best == {id: r["best"]["step"] for id, r in searches.records(shared).items()}
    for key in ("winner", "test", "optimism", "expected_best"):
        assert_alike(other.data[key], two_lanes.data[key], key)
    unshared = changes.get("sharing") is False
    steps = {entry["cost"]["steps_shared"] for entry in other.data["trials"]}
    assert (steps == {0}) is unshared
    assert other.data["lanes"]["count"] == changes.get("lanes", 2)


def test_no_prefix_is_computed_twice(two_lanes: SearchResult) -> None:
    trials = two_lanes.data["trials"]
    head_steps = [
        entry["freeze"]["epochs"] * 11 - entry["cost"]["steps_shared"] for entry in trials
    ]
    # All eight trials with a frozen phase share one head phase of two epochs.
    assert sum(steps for steps in head_steps) == 22
    assert two_lanes.data["saved"]["steps_run"] == 22 + 12 * 11
    assert {entry["cost"]["attempts"] for entry in trials} == {1}


def test_a_trial_on_a_warm_lane_starts_at_once(two_lanes: SearchResult) -> None:
    times = sorted(entry["cost"]["start_up_s"] for entry in two_lanes.data["trials"])
    assert times[len(times) // 2] <= 1.5


def test_the_result_is_complete_and_its_files_can_be_used(two_lanes: SearchResult) -> None:
    data = two_lanes.data
    assert [entry["number"] for entry in data["trials"]] == list(range(12))
    default = data["trials"][0]
    assert default["is_default"]
    assert default["settings"]["phases.0.for"] == "1ep"
    for entry in data["trials"]:
        assert entry["state"] == "finished"
        assert entry["why"] == "ran its length"
        assert entry["validations"]
        assert entry["gap"] == pytest.approx(
            entry["best"]["train_metric"] - entry["best"]["metric"]
        )
    assert sum(entry["is_winner"] for entry in data["finalists"]) == 1
    assert any(entry["is_default"] for entry in data["finalists"])
    assert data["test"]["touches"] == 1
    low, high = data["test"]["winner"]["interval"]
    assert low < data["test"]["winner"]["metric"] < high
    root = Path(two_lanes.uri)
    assert json.loads((root / "result.json").read_text()) == data
    assert "<html" in (root / "report.html").read_text()
    best = load_job(root / "best_job.yaml")
    assert best.training.seed == data["winner"]["seed_of_model"]
    assert best.name == "tiny-search-best"
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(root / "model")
    assert model.config.num_labels == 2


def test_the_winner_can_be_asked_and_evaluated(two_lanes: SearchResult, inputs: Path) -> None:
    runs = open_store(two_lanes.uri)
    result = model_result(runs)
    source, cache = SourceConfig(path=str(inputs / "test.jsonl")), cache_folder()
    said = list(predict(runs, result, source, endpoint=None, cache=cache))
    assert {row["predicted"] for row in said} <= {"good", "bad"}
    data = evaluate(runs, result, source, endpoint=None, cache=cache).data
    winner = two_lanes.data["winner"]
    place = f"finalists/{winner['trial']}-seed{winner['seed_of_model']}"
    own = from_bytes(runs.get(f"{place}/{TEST_STATISTICS}"))
    assert data["scores"]["accuracy"]["value"] == pytest.approx(own[:, 1].mean())
    assert data["difference"]["accuracy"]["value"] == pytest.approx(0)


def test_every_trial_is_logged_for_tensorboard(two_lanes: SearchResult) -> None:
    logs = list(Path(two_lanes.uri).parent.glob("tensorboard/*/*/events.out.tfevents.*"))
    assert len(logs) == 12
    for log in logs:
        assert b"since_unfreezing" in log.read_bytes()


def test_trials_leave_no_checkpoints_behind(two_lanes: SearchResult) -> None:
    keys = [info.key for info in open_store(two_lanes.uri).list("trials/")]
    assert not [key for key in keys if "/blobs/" in key or "/checkpoints/" in key]


def test_trials_leave_the_statistics_of_their_best_validation(two_lanes: SearchResult) -> None:
    root = open_store(two_lanes.uri)
    for entry in two_lanes.data["trials"]:
        statistics = from_bytes(root.get(f"trials/{entry['id']}/{STATISTICS}"))
        assert len(statistics) == 24
        assert mean_of("accuracy", 1).of(statistics.sum(axis=0)) == entry["best"]["metric"]
    winner = two_lanes.data["winner"]["trial"]
    tested = [
        from_bytes(root.get(f"finalists/{winner}-seed{seed}/{TEST_STATISTICS}")) for seed in (1, 2)
    ]
    shares = [statistics[:, 1].mean() for statistics in tested]
    assert two_lanes.data["test"]["winner"]["per_seed"] == pytest.approx(shares)


def test_a_search_that_an_earlier_version_began_is_refused_in_words(
    inputs: Path, tmp_path: Path
) -> None:
    settings = searches.settings(inputs, str(tmp_path))
    before = yaml.safe_dump({"name": "tiny-search", "job": {"task": "text-classification"}})
    open_store(str(tmp_path)).under("tiny-search").put("search.yaml", before.encode())
    with pytest.raises(ConfigError, match="tiny-search was begun by another version"):
        run(settings, "nowhere")


def test_a_finished_search_is_not_run_again_and_more_trials_go_on_with_it(
    inputs: Path, tmp_path: Path, ray_address: str
) -> None:
    uri = str(tmp_path)
    first = run(searches.settings(inputs, uri, trials=3), ray_address)
    assert not first.was_finished
    ended = {id: record["cost"]["seconds"] for id, record in searches.records(uri).items()}
    assert len(ended) == 3
    assert run(searches.settings(inputs, uri, trials=3), ray_address).was_finished
    more = run(searches.settings(inputs, uri, trials=5), ray_address)
    assert not more.was_finished
    again = {id: record["cost"]["seconds"] for id, record in searches.records(uri).items()}
    assert len(again) == 5
    assert ended.items() <= again.items(), "a finished trial was run again"
