"""The loss of labels and numbers, and labels that weigh more than others."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.utils.class_weight import compute_class_weight
from text_problems import LABELS, numbers, several, task_for

from unfreeze.jobs.data.batches import split_batch
from unfreeze.jobs.errors import ConfigError, DataError
from unfreeze.jobs.job_file import parse_job
from unfreeze.jobs.tasks import open_task
from unfreeze.jobs.tasks.sequence_classification import (
    SequenceClassification,
    TextClassificationOptions,
)


def loss_of(task: SequenceClassification, logits: Any, labels: Any, weights: Any = None) -> Any:
    labels = torch.as_tensor(labels)
    weights = torch.ones(len(labels), dtype=torch.float64) if weights is None else weights
    batch = {"labels": labels, "weights": torch.as_tensor(weights)}
    return task.loss(SimpleNamespace(logits=logits), batch)


def test_the_loss_of_numbers_is_the_squared_error_summed_up() -> None:
    logits, true = numbers()
    expected = ((logits[:, 0] - true) ** 2).sum()
    assert loss_of(task_for("regression"), torch.tensor(logits), true).item() == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("class_weights", ["none", {"good": 4.0, "bad": 0.5}])
def test_the_loss_of_several_labels_is_torchs_own(class_weights: Any) -> None:
    logits, truth = several()
    task = task_for("multi_label", class_weights=class_weights)
    weights = torch.tensor([1.0, 1, 1] if class_weights == "none" else [0.5, 1, 4])
    criterion = torch.nn.BCEWithLogitsLoss(pos_weight=weights)
    expected = criterion(torch.tensor(logits), torch.tensor(truth).float())
    found = loss_of(task, torch.tensor(logits), truth.astype(np.int8))
    assert found.item() / len(logits) == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_weighted_step_on_any_workers_is_torchs_own_on_the_whole_batch(workers: int) -> None:
    draw = np.random.default_rng(workers)
    given = draw.normal(size=(23, len(LABELS))).astype(np.float32)
    labels = draw.integers(0, len(LABELS), 23)
    task = task_for("single_label", class_weights={"good": 4.0, "bad": 0.5})
    weights = np.array(task.example_weights([LABELS[i] for i in labels]))
    assert set(weights) == {0.5, 1.0, 4.0}

    whole = torch.tensor(given, requires_grad=True)
    criterion = torch.nn.CrossEntropyLoss(weight=torch.tensor([0.5, 1.0, 4.0]))
    expected = criterion(whole, torch.tensor(labels))
    expected.backward()

    # As engine.PhaseEngine.step: sums of the parts over the weight of the global batch.
    logits = torch.tensor(given, requires_grad=True)
    parts = split_batch(np.arange(23), np.full(23, 5), workers, micro_batches=2)
    total = 0.0
    for part in (part for ranks in parts for part in ranks):
        loss = loss_of(task, logits[part], labels[part], weights[part]) / weights.sum()
        loss.backward()
        total += loss.item()
    assert total == pytest.approx(expected.item(), rel=1e-6)
    assert whole.grad is not None and logits.grad is not None
    assert torch.allclose(logits.grad, whole.grad, rtol=1e-5, atol=1e-8)


def balanced(problem_type: Any, labels: list[Any]) -> dict[str, float]:
    options = TextClassificationOptions(problem_type=problem_type, class_weights="balanced")
    task = cast(SequenceClassification, open_task(options))
    sums: dict[str, int] = {}
    for label in labels:
        for name, count in task.look({"text": "x", "label": label}).counts.items():
            sums[name] = sums.get(name, 0) + count
    weights: dict[str, float] = options.conclude(sums)[0]["class_weights"]
    return weights


def test_balanced_weights_are_those_of_sklearn() -> None:
    labels = ["a"] * 70 + ["b"] * 20 + ["c"] * 10
    expected = compute_class_weight("balanced", classes=np.array(["a", "b", "c"]), y=labels)
    assert list(balanced("single_label", labels).values()) == pytest.approx(expected.tolist())


def test_where_rows_have_several_labels_balance_is_against_the_rows_without_it() -> None:
    labels = [["a", "b"], ["a"], ["a"], []]
    assert balanced("multi_label", labels) == {"a": pytest.approx(1 / 3), "b": 3.0}
    assert balanced("multi_label", [["a"], ["a"]]) == {"a": 0.5}, "no row without it counts as one"


def test_nothing_is_counted_for_weights_that_nobody_asked_for() -> None:
    assert task_for("single_label").look({"text": "x", "label": "a"}).counts == {}
    assert task_for("single_label").example_weights(["good"]) is None


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        ({"class_weights": "even"}, "expected balanced, none, or a weight for each label"),
        ({"class_weights": {"a": 0}}, "expected a weight above 0 for the label a, got 0"),
        ({"class_weights": {"a": "x"}}, "expected a weight above 0 for the label a, got 'x'"),
        ({"class_weights": {True: True}}, "expected a weight above 0 for the label true"),
        (
            {"problem_type": "regression", "class_weights": "balanced"},
            "class_weights: there are no classes in a regression",
        ),
    ],
)
def test_weights_that_make_no_sense_are_refused(settings: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ValidationError, match="1 validation error") as error:
        TextClassificationOptions.model_validate(settings)
    assert mistake in str(error.value)
    job = {"name": "j", "model": "m", "data": {"train": "t"}}
    with pytest.raises(ConfigError) as refused:
        parse_job(job | {"task": {"name": "text-classification", **settings}})
    assert len(refused.value.mistakes) == 1 and mistake in refused.value.mistakes[0]


def test_labels_may_be_named_as_yaml_reads_them() -> None:
    options = TextClassificationOptions.model_validate({"class_weights": {1: 2, False: 0.5}})
    assert options.class_weights == {"1": 2.0, "false": 0.5}
    assert TextClassificationOptions.model_validate({"class_weights": None}).class_weights == "none"


def test_weights_of_labels_that_are_not_there_are_an_error() -> None:
    task = task_for("single_label", class_weights={"goood": 2})
    with pytest.raises(DataError) as error:
        task.learn({"good", "bad"}, None)
    expected = "task.class_weights: no row has the label goood; there are: bad, good"
    assert error.value.mistakes == [expected]
