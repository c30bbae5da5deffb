"""Evaluations: their intervals, and what is said of them."""

import numpy as np
import pytest

from unfreeze.cli.eval import eval_lines
from unfreeze.jobs.estimate import Estimate, apart, estimate
from unfreeze.jobs.metrics import Floats, mean_of, ratio_of
from unfreeze.jobs.prediction.evaluate import _Judged, _scores

ACCURACY, LOSS = mean_of("accuracy", 1), ratio_of("loss", 2, 3)


def statistics(draw: np.random.Generator, rows: int, share: float, loss: float) -> Floats:
    """1, whether it is right, the loss and the tokens of each row."""
    right = draw.random(rows) < share
    tokens = draw.integers(5, 60, rows)
    return np.stack([np.ones(rows), right, draw.gamma(2, loss / 2, rows) * tokens, tokens], axis=1)


@pytest.mark.parametrize(("share", "other"), [(0.7, 0.84), (0.9, 0.98)])
def test_intervals_of_a_difference_of_other_rows_hold_what_they_promise(
    share: float, other: float
) -> None:
    draw = np.random.default_rng(0)
    held = {"accuracy": 0, "loss": 0}
    runs = 300
    for _ in range(runs):
        here, there = (statistics(draw, n, s, 1.0) for n, s in ((300, share), (200, other)))
        for metric, truth in ((ACCURACY, share - other), (LOSS, 0.0)):
            a, b = (estimate(metric, each[None], resamples=200, seed=0) for each in (here, there))
            low, high = apart(a, b, is_share=metric.is_share).interval
            held[metric.name] += low <= truth <= high
    assert all(0.92 <= count / runs <= 0.985 for count in held.values()), held


def test_a_difference_of_shares_stays_within_one() -> None:
    sure = Estimate(mean=1.0, se=0.1, interval=(0.6, 1.0), per_seed=(1.0,))
    never = Estimate(mean=0.0, se=0.1, interval=(0.0, 0.4), per_seed=(0.0,))
    found = apart(sure, never, is_share=True)
    assert found.mean == 1.0
    assert found.interval[0] == pytest.approx(1 - np.hypot(0.4, 0.4)) and found.interval[1] == 1.0


def test_scores_stand_beside_those_of_the_runs_own_test_rows() -> None:
    draw = np.random.default_rng(1)
    here, own = statistics(draw, 400, 0.7, 1.2), statistics(draw, 300, 0.9, 0.8)
    judged = _Judged(here, {"auroc": 0.8}, [], 0)
    test = {"accuracy": own[:, 1].mean(), "auroc": 0.9, "rows": 300}
    found = _scores((ACCURACY, LOSS), judged, own, test)
    assert list(found["scores"]) == ["accuracy", "loss", "auroc"]
    low, high = found["scores"]["accuracy"]["interval"]
    assert low < here[:, 1].mean() < high
    assert found["test"]["accuracy"]["value"] == own[:, 1].mean()
    assert found["difference"]["accuracy"]["interval"][1] < 0
    assert found["difference"]["auroc"] == {"value": pytest.approx(-0.1), "interval": None}

    # A run that kept no statistics has its scores alone; a single row has no interval.
    found = _scores((ACCURACY,), _Judged(here[:1], {}, [], 0), None, test)
    assert found["scores"]["accuracy"]["interval"] is None
    assert found["difference"]["accuracy"]["interval"] is None
    assert _scores((ACCURACY,), judged, None, {})["test"] is None


def test_an_evaluation_is_said_in_a_few_lines() -> None:
    score = {"value": 0.7, "interval": [0.65, 0.75]}
    data = {
        "name": "tweets-0a1b",
        "source": "tweets.jsonl",
        "rows": 1200,
        "units": 1200,
        "unit": "rows",
        "skipped": 3,
        "cut_off": 12,
        "max_length": 128,
        "scores": {"accuracy": score, "auroc": {"value": 0.8, "interval": None}},
        "test": {"accuracy": score},
        "difference": {"accuracy": {"value": -0.1, "interval": [-0.2, 0.01]}},
        "shared_with_train": 2,
        "is_own_test": True,
        "touches": 3,
        "remarks": [],
    }
    lines = list(eval_lines(data, "runs/x"))
    assert lines[0] == (
        "tweets.jsonl  1,200 rows, 3 that do not fit left out, 12 cut at 128 tokens"
    )
    assert lines[2].split("  ") == [
        "accuracy",
        "0.7000 (0.6500 to 0.7500)",
        "0.7000 (0.6500 to 0.7500)",
        "-0.1000 (-0.2000 to +0.0100)",
    ]
    assert lines[3].split() == ["auroc", "0.8000"]
    assert lines[4] == "rows whose text the run was trained on: 2"
    assert "looked at 3 times" in lines[5]
    assert lines[-1] == "runs/x/evals/tweets-0a1b.json"
