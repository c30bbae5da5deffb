"""The metrics are those of the libraries that everyone compares with."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import tiny
import torch
from classified import Labelled
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from torch.nn.functional import cross_entropy, softmax

from unfreeze.jobs.config import ModelConfig
from unfreeze.jobs.data.token_store import Split
from unfreeze.jobs.data.tokenizer import load_tokenizer
from unfreeze.jobs.metrics import scores_of
from unfreeze.jobs.tasks.task import BadRow, Matrix, Section, Table, Texts
from unfreeze.jobs.tasks.text_classification import TextClassification, TextClassificationOptions

LABELS = ["bad", "fine", "good"]


def task_with(labels: Sequence[str] = LABELS) -> TextClassification:
    return TextClassification(TextClassificationOptions(), {"labels": list(labels)})


def random_scores(seed: int, rows: int = 200, scale: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    logits = draw.normal(scale=scale, size=(rows, len(LABELS))).astype(np.float32)
    return logits, draw.integers(0, len(LABELS), rows)


def split_of(label_ids: np.ndarray) -> Split:
    return cast(Split, Labelled(label_ids))


def scores(logits: np.ndarray, label_ids: np.ndarray) -> dict[str, float]:
    task, units = task_with(), np.arange(len(label_ids))
    statistics = task.statistics({"logits": logits}, split_of(label_ids), units, str)
    return scores_of(task.metrics, statistics)


def loss_of(logits: np.ndarray | torch.Tensor, label_ids: np.ndarray) -> torch.Tensor:
    outputs = SimpleNamespace(logits=torch.as_tensor(logits))
    weights = torch.ones(len(label_ids), dtype=torch.float64)
    return task_with().loss(outputs, {"labels": torch.tensor(label_ids), "weights": weights})


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [1e-3, 3.0, 1e3])
def test_metrics_equal_those_of_torch_and_sklearn(seed: int, scale: float) -> None:
    logits, labels = random_scores(seed, scale=scale)
    found = scores(logits, labels)
    guesses = logits.argmax(axis=1)
    expected = cross_entropy(torch.tensor(logits, dtype=torch.float64), torch.tensor(labels))
    assert found["loss"] == pytest.approx(expected.item(), rel=1e-9)
    assert found["accuracy"] == accuracy_score(labels, guesses)
    for name, average in (("f1", "macro"), ("weighted_f1", "weighted")):
        f1 = f1_score(labels, guesses, average=average)
        assert found[name] == pytest.approx(f1, rel=1e-12)
    assert all(type(value) is float for value in found.values())
    assert found["mcc"] == pytest.approx(matthews_corrcoef(labels, guesses), rel=1e-12)
    assert list(found) == [*TextClassificationOptions().metric_names, "expected_calibration_error"]


def test_a_label_that_is_never_predicted_counts_as_nothing_without_a_warning() -> None:
    logits = np.array([[9.0, 0, 0], [9, 0, 0], [0, 9, 0]], dtype=np.float32)
    assert scores(logits, np.array([0, 0, 2]))["f1"] == pytest.approx(1 / 3)


def test_large_logits_do_not_overflow() -> None:
    logits = np.array([[1e4, -1e4, 0], [3e38, 0, -3e38]], dtype=np.float32)
    found = scores(logits, np.array([0, 0]))
    assert (found.pop("loss"), found.pop("mcc")) == (0, 0)  # one label: no correlation
    assert found.pop("expected_calibration_error") == 0
    assert found == {"accuracy": 1.0, "f1": 1.0, "weighted_f1": 1.0}


def test_large_logits_of_a_wrong_label_give_a_finite_loss() -> None:
    logits = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 0]])
    assert scores(logits, np.array([1, 1]))["loss"] == 1e4


def test_statistics_are_of_the_units_that_are_asked_for() -> None:
    logits, labels = random_scores(0)
    task, split = task_with(), split_of(labels)
    every = task.statistics({"logits": logits}, split, np.arange(200), str)
    some = np.array([3, 77, 5])
    assert np.array_equal(task.statistics({"logits": logits[some]}, split, some, str), every[some])
    assert every.shape == (200, 3 + 3 * len(LABELS) + 15)
    assert set(every[:, 0]) == {1.0}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_loss_is_a_sum_over_the_rows_in_fp32(dtype: torch.dtype) -> None:
    logits, labels = random_scores(0, rows=16)
    given = torch.tensor(logits).to(dtype)
    loss = loss_of(given, labels)
    assert loss.dtype == torch.float32
    expected = cross_entropy(given.float(), torch.tensor(labels)) * 16
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_losses_of_parts_add_up_to_the_loss_of_the_whole() -> None:
    logits, labels = random_scores(1, rows=11)
    parts = [slice(0, 4), slice(4, 8), slice(8, 11)]
    sums = [loss_of(logits[part], labels[part]) for part in parts]
    mean = scores(logits, labels)["loss"]
    assert sum(sums).item() / 11 == pytest.approx(mean, rel=1e-6)  # type: ignore[union-attr]


def prediction(logits: np.ndarray, label_ids: np.ndarray | None = None) -> dict[str, Any]:
    values = {} if label_ids is None else {"labels": label_ids}
    split = cast(Split, SimpleNamespace(values=values))
    units = np.arange(len(logits))
    [found] = task_with().predictions({"logits": logits}, split, units, str)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_a_prediction_names_the_likeliest_label_and_all_probabilities(seed: int) -> None:
    logits, _ = random_scores(seed, rows=1)
    found = prediction(logits)
    expected = softmax(torch.tensor(logits[0]), dim=0).tolist()
    assert list(found["probabilities"]) == LABELS
    assert list(found["probabilities"].values()) == pytest.approx(expected, abs=1e-6)
    assert found["predicted"] == LABELS[int(np.argmax(expected))]
    assert sum(found["probabilities"].values()) == pytest.approx(1, abs=2e-6)


def test_a_prediction_names_the_true_label_if_there_is_one() -> None:
    logits, _ = random_scores(0, rows=1)
    assert "label" not in prediction(logits)
    assert prediction(logits, np.array([1]))["label"] == "fine"


@pytest.mark.parametrize(
    ("row", "role", "problem"),
    [
        ({"text": " \n", "label": "a"}, "text", "expected text, found none"),
        ({"text": None, "label": "a"}, "text", "expected text, found none"),
        ({"text": "x", "text_pair": "", "label": "a"}, "text_pair", "expected text, found none"),
        ({"text": "x", "label": None}, "label", "expected a label, found none"),
        ({"text": "x", "label": float("nan")}, "label", "expected a label, found none"),
    ],
)
def test_a_row_that_does_not_fit_says_where_and_why(
    row: dict[str, Any], role: str, problem: str
) -> None:
    with pytest.raises(BadRow) as error:
        task_with().look(row)
    assert (error.value.role, error.value.problem) == (role, problem)


def test_a_row_is_seen_by_its_texts_and_its_label() -> None:
    seen = task_with().look({"text": "x", "text_pair": "y", "label": 3})
    assert (seen.texts, seen.labels) == (("x", "y"), ("3",))
    assert task_with().look({"text": "x"}).labels == ()


def test_declared_labels_keep_their_order_and_others_are_sorted() -> None:
    task = TextClassification(TextClassificationOptions(), {})
    assert task.learn({"10", "2"}, None) == {"labels": ["2", "10"]}
    assert task.learn({"no", "yes"}, ["yes", "no", "-"]) == {"labels": ["yes", "no", "-"]}


def test_an_unlearned_task_leaves_the_configuration_alone() -> None:
    assert TextClassification(TextClassificationOptions(), {}).configuration() == {}
    changed = task_with(["no", "yes"]).configuration()
    assert changed == {
        "problem_type": "single_label_classification",
        "num_labels": 2,
        "id2label": {0: "no", 1: "yes"},
        "label2id": {"no": 0, "yes": 1},
    }


def test_rows_without_a_label_are_encoded_as_rows_to_predict(tmp_path: Path) -> None:
    tiny.write_tokenizer(tmp_path)
    tokenizer = load_tokenizer(str(tmp_path), ModelConfig(path="tiny"))
    rows = [{"text": "great film", "label": "good"}, {"text": "awful " * 9, "label": "bad"}]
    found = task_with().encode(rows, tokenizer, 6)
    assert [len(ids) for ids in found.sequences["input_ids"]] == [4, 6]
    assert (found.values["labels"], found.cut_off) == ([2, 0], 1)
    new = task_with().encode([{"text": "great film"}], tokenizer, 6)
    assert new.values == {}
    assert new.sequences["input_ids"] == found.sequences["input_ids"][:1]


def some_predictions(labels: Sequence[str], wrong: int) -> list[dict[str, Any]]:
    """A row of each label, of which the first few are taken for the next."""
    return [
        {
            "row": i,
            "text": f"text {i}",
            "label": label,
            "predicted": labels[(i + (i < wrong)) % len(labels)],
            "probabilities": dict.fromkeys(labels, 1 / (i + 2)),
        }
        for i, label in enumerate(labels)
    ]


def sections(labels: Sequence[str], wrong: int) -> list[Section]:
    return task_with(labels).sections(some_predictions(labels, wrong), "test")


def test_the_report_shows_which_labels_were_taken_for_which() -> None:
    confusion, _, worst = sections(LABELS, 1)
    assert isinstance(confusion.body, Matrix)
    assert confusion.body.counts == [[0, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert confusion.note.startswith("1 of 3 test rows are wrong (33.3 %).")
    assert isinstance(worst.body, Texts)
    assert worst.body.items == [("bad \u2192 fine with 50.0 %; bad got 50.0 %; row 0", "text 0")]


def test_many_labels_give_a_table_of_pairs_in_place_of_a_matrix() -> None:
    labels = [f"label-{n:02}" for n in range(30)]
    pairs, _, worst = sections(labels, 25)
    assert isinstance(pairs.body, Table)
    assert len(pairs.body.rows) == 20
    assert pairs.body.rows[0] == ("label-24", "label-25", 1, "100.0 %")
    assert isinstance(worst.body, Texts)
    assert len(worst.body.items) == 20


def test_no_mistakes_and_no_predictions_are_said_in_words() -> None:
    confusion, _, worst = sections(LABELS, 0)
    assert isinstance(confusion.body, Matrix)
    assert (worst.body, worst.note) == (None, "None: every prediction on test rows is right.")
    [nothing] = task_with().sections([], "test")
    assert nothing.note == "No predictions to look at."
