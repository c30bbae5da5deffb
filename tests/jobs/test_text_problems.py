"""Several labels for a text, and a number for a text."""

from typing import Any, cast

import numpy as np
import pytest
import torch
from classified import Labelled, task_of
from scipy.stats import pearsonr
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)
from text_problems import numbers, several, task_for

from unfreeze.jobs.data.token_store import Split
from unfreeze.jobs.metrics import draw_counts, scores_of
from unfreeze.jobs.tasks.label_scores import macro_auroc, sigmoid, softplus
from unfreeze.jobs.tasks.sequence_classification import (
    SequenceClassification,
    TextClassificationOptions,
)
from unfreeze.jobs.tasks.task import BadRow, Section, Table, Texts


def split_of(labels: np.ndarray) -> Split:
    return cast(Split, Labelled(labels))


def statistics(task: SequenceClassification, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return task.statistics({"logits": logits}, split_of(labels), np.arange(len(labels)), str)


# Rows


@pytest.mark.parametrize(
    ("problem_type", "label", "problem"),
    [
        ("multi_label", None, "expected a list of labels (it may be empty), found none"),
        (
            "multi_label",
            "good",
            "expected a list of labels (it may be empty), found a single value",
        ),
        ("multi_label", ["good", " "], "expected a list of labels, found one without a name"),
        ("multi_label", ["good", None], "expected a list of labels, found one without a name"),
        (
            "multi_label",
            [0, 1, 0],
            "expected each label once, found one twice; the list holds names, not flags",
        ),
        ("regression", None, "expected a number, found none"),
        ("regression", float("nan"), "expected a number, found none"),
        ("regression", float("-inf"), "expected a number, found one without end"),
    ],
)
def test_a_target_that_does_not_fit_says_why(problem_type: str, label: Any, problem: str) -> None:
    with pytest.raises(BadRow) as error:
        task_for(problem_type).look({"text": "x", "label": label})
    assert (error.value.role, error.value.problem) == ("label", problem)


def test_a_row_may_have_several_labels_or_none() -> None:
    task = task_for("multi_label")
    assert task.look({"text": "x", "label": ["good", "bad"]}).labels == ("bad", "good")
    assert task.look({"text": "x", "label": []}).labels == ()
    assert np.array(task.targets([["good", "bad"], [], ["fine"]])).tolist() == [
        [1, 0, 1],
        [0, 0, 0],
        [0, 1, 0],
    ]


def test_a_number_is_no_label() -> None:
    task = task_for("regression")
    assert task.look({"text": "x", "label": 3}).labels == ()
    assert task.learn(set(), None) == {}
    assert task.targets([3, -0.5]) == [3.0, -0.5]


def test_each_problem_reads_its_kind_of_column_and_has_its_metrics() -> None:
    kinds = {}
    for problem_type in ("single_label", "multi_label", "regression"):
        task = task_for(problem_type)
        kinds[problem_type] = task.options.roles[-1].kind
        assert {m.name for m in task.metrics} >= set(task.options.metric_names)
    assert kinds == {"single_label": "label", "multi_label": "labels", "regression": "number"}


def test_the_model_is_told_which_problem_it_is() -> None:
    several_labels, number = task_for("multi_label"), task_for("regression")
    assert several_labels.configuration()["problem_type"] == "multi_label_classification"
    found = number.configuration()
    assert (found["problem_type"], found["num_labels"]) == ("regression", 1)


def test_numbers_far_from_0_are_remarked_on() -> None:
    options = TextClassificationOptions(problem_type="regression")
    task = task_for("regression")
    counts = [task.look({"text": "x", "label": label}).counts for label in (0.5, 80, -55, 3)]
    sums = {name: sum(one[name] for one in counts) for name in counts[0]}
    [remark] = options.conclude(sums)[1]
    assert remark.startswith("2 of 4 numbers are beyond 10 or -10")
    assert options.conclude({"rows": 100, "far": 10}) == ({}, [])


# Scores


@pytest.mark.parametrize("seed", range(3))
def test_metrics_of_several_labels_are_those_of_sklearn(seed: int) -> None:
    logits, truth = several(seed)
    task = task_for("multi_label")
    found = scores_of(task.metrics, statistics(task, logits, truth))
    guess = logits > 0
    for name in ("micro", "macro", "weighted"):
        expected = f1_score(truth, guess, average=name)
        assert found[f"{name}_f1"] == pytest.approx(expected, rel=1e-12)
    assert found["subset_accuracy"] == accuracy_score(truth, guess)
    criterion = torch.nn.BCEWithLogitsLoss()
    loss = criterion(torch.tensor(logits).double(), torch.tensor(truth).double())
    assert found["loss"] == pytest.approx(loss.item(), rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_metrics_of_numbers_are_those_of_sklearn_and_scipy(seed: int) -> None:
    logits, true = numbers(seed)
    task, said = task_for("regression"), logits[:, 0].astype(float)
    found = scores_of(task.metrics, statistics(task, logits, true))
    assert found == {
        "mean_absolute_error": pytest.approx(mean_absolute_error(true, said), rel=1e-12),
        "root_mean_squared_error": pytest.approx(root_mean_squared_error(true, said), rel=1e-12),
        "r2": pytest.approx(r2_score(true, said), rel=1e-9),
        "pearson": pytest.approx(pearsonr(true, said).statistic, rel=1e-9),
        "loss": pytest.approx(((true - said) ** 2).mean(), rel=1e-12),
    }


def test_numbers_that_are_all_the_same_have_no_correlation() -> None:
    logits, _ = numbers()
    task = task_for("regression")
    found = scores_of(task.metrics, statistics(task, logits, np.full(len(logits), 0.1)))
    assert "r2" not in found and "pearson" not in found and "loss" in found


@pytest.mark.parametrize("problem_type", ["multi_label", "regression"])
def test_a_resample_has_the_metrics_of_its_rows(problem_type: str) -> None:
    logits, truth = several() if problem_type == "multi_label" else numbers()
    task = task_for(problem_type)
    every = statistics(task, logits, truth)
    [counts] = draw_counts(seed=1, resamples=5, rows=len(logits))
    for one in counts:
        picked = np.repeat(np.arange(len(logits)), one.astype(int))
        expected = scores_of(task.metrics, statistics(task, logits[picked], truth[picked]))
        for metric in task.metrics:
            assert float(metric.of(one @ every)) == pytest.approx(expected[metric.name], rel=1e-9)


@pytest.mark.parametrize("digits", [7, 1])
def test_auroc_is_that_of_sklearn_with_ties_too(digits: int) -> None:
    logits, truth = several()
    logits = logits.round(digits)
    found = task_for("multi_label").further_scores({"logits": logits}, split_of(truth))
    assert found == {"auroc": pytest.approx(roc_auc_score(truth, logits), rel=1e-12)}


@pytest.mark.parametrize("labels", [2, 4])
def test_auroc_of_one_label_of_several_is_that_of_sklearn(labels: int) -> None:
    draw = np.random.default_rng(labels)
    logits, truth = draw.normal(size=(90, labels)), draw.integers(0, labels, 90)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = task_of(labels).further_scores({"logits": logits}, split_of(truth))["auroc"]
    if labels == 2:
        expected = roc_auc_score(truth, chances[:, 1])
    else:
        expected = roc_auc_score(truth, chances, multi_class="ovr", average="macro")
    assert found == pytest.approx(expected, rel=1e-12)


def test_labels_that_all_rows_have_or_none_are_no_part_of_auroc() -> None:
    scores, truth = np.array([[1.0, 1, 1], [2, 2, 2]]), np.array([[1, 1, 0], [1, 0, 0]], bool)
    assert macro_auroc(scores, truth) == 0.0
    assert np.isnan(macro_auroc(scores[:, ::2], truth[:, ::2]))
    assert task_of(2).further_scores({"logits": scores[:, :2]}, split_of(np.array([1, 1]))) == {}


def test_large_logits_do_not_overflow() -> None:
    logits = np.array([-3e38, -800, 0, 800, 3e38], np.float32)
    assert sigmoid(logits).tolist() == [0, 0, 0.5, 1, 1]
    assert softplus(logits)[1:4].tolist() == [0, np.log(2), 800]


# The report


def sections(problem_type: str, lines: list[dict[str, Any]]) -> list[Section]:
    return task_for(problem_type).sections(lines, "test")


def test_several_labels_are_reported_one_by_one() -> None:
    chances = {"bad": 0.9, "fine": 0.2, "good": 0.4}
    lines = [
        {"row": 1, "text": "one", "label": ["bad"], "predicted": ["bad"]},
        {"row": 2, "text": "two", "label": ["good"], "predicted": ["bad"]},
        {"row": 3, "text": "three", "label": [], "predicted": []},
    ]
    labels, _, worst = sections(
        "multi_label", [line | {"probabilities": chances} for line in lines]
    )
    assert labels.note == "2 of 3 test rows have all their labels and no other."
    assert isinstance(labels.body, Table) and isinstance(worst.body, Texts)
    assert labels.body.rows[0] == ("bad", 1, 2, 1, "50.0 %", "100.0 %", "66.7 %")
    assert labels.body.rows[-1] == ("all", 2, 2, 1, "50.0 %", "50.0 %", "50.0 %")
    assert worst.body.items == [("missed good, not there: bad; row 2", "two")]
    [nothing] = sections("multi_label", [])
    assert nothing.note == "No predictions to look at."


def test_numbers_are_reported_by_their_size_and_the_worst_by_name() -> None:
    lines = [
        {"row": n, "text": f"text {n}", "label": float(n), "predicted": 2.0} for n in range(1, 11)
    ]
    errors, worst = sections("regression", lines)
    assert isinstance(errors.body, Table) and isinstance(worst.body, Texts)
    assert errors.body.rows[0] == ("1 to 2", 2, "1.5", "2", "0.5")
    assert [row[1] for row in errors.body.rows] == [2] * 5
    assert worst.body.items[0] == ("10 \u2192 2; off by 8; row 10", "text 10")
    [nothing] = sections("regression", [])
    assert nothing.note == "No predictions to look at."
