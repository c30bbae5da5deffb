"""Answers are read in all their forms, and compared as SQuAD compares them."""

import collections
import random
import re
import string
from typing import Any

import numpy as np
import pytest

from unfreeze.jobs.tasks.answers import Answer, answers_of, best_threshold, compared, located
from unfreeze.jobs.tasks.task import BadRow

PIECES = [
    *["the", "The", "a", "A", "an", "AN", "theatre", "ant", "cat", "Paris", "42", "3.5", "U.S."],
    *[
        "...",
        "-",
        "--",
        "'",
        "\u2019",
        "(",
        ")",
        "\u00c9cole",
        "\u0130",
        "\u00df",
        "\u4e2d\u6587",
        "\u0661",
    ],
    *[" ", "  ", "\t", "\n", "\u00a0", "\u2003", ",", "!", "$", "_", "a.", "th", "e", "\u0301"],
]


def text(draw: random.Random) -> str:
    parts = draw.choices(PIECES, k=draw.randint(0, 8))
    return "".join(part + draw.choice([" ", " ", ""]) for part in parts)


def like(draw: random.Random, right: str) -> str:
    """Some of the words of an answer, in another order and case, and others."""
    words = right.split(" ")
    some = draw.sample(words, draw.randint(0, len(words))) + [text(draw)] * draw.randint(0, 1)
    return draw.choice([str.upper, str.lower, str.title])(" ".join(some))


# The published algorithm, written down from the text of evaluate-v2.0.py as it was released.


def normalize_answer(s: str) -> str:
    lowered = s.lower()
    kept = "".join(ch for ch in lowered if ch not in set(string.punctuation))
    without = re.sub(re.compile(r"\b(a|an|the)\b", re.UNICODE), " ", kept)
    return " ".join(without.split())


def compute_f1(a_gold: str, a_pred: str) -> float:
    gold_toks = normalize_answer(a_gold).split() if a_gold else []
    pred_toks = normalize_answer(a_pred).split() if a_pred else []
    num_same = sum((collections.Counter(gold_toks) & collections.Counter(pred_toks)).values())
    if len(gold_toks) == 0 or len(pred_toks) == 0:
        return float(gold_toks == pred_toks)
    if num_same == 0:
        return 0.0
    precision, recall = num_same / len(pred_toks), num_same / len(gold_toks)
    return 2 * precision * recall / (precision + recall)


def raw_scores(golds: list[str], a_pred: str) -> tuple[float, float]:
    gold_answers = [a for a in golds if normalize_answer(a)] or [""]
    exact = max(float(normalize_answer(a) == normalize_answer(a_pred)) for a in gold_answers)
    return exact, max(compute_f1(a, a_pred) for a in gold_answers)


def best_score(scores: list[float], has_answer: list[bool], na_probs: list[float]) -> float:
    """find_best_thresh: the F1 at the best threshold."""
    current = best = float(sum(not has for has in has_answer))
    for i in sorted(range(len(scores)), key=na_probs.__getitem__):
        current += scores[i] if has_answer[i] else -1.0
        best = max(best, current)
    return best / len(scores)


@pytest.mark.parametrize("seed", range(4))
def test_scores_equal_those_of_squads_own_program(seed: int) -> None:
    draw, seen = random.Random(seed), set()
    for _ in range(1000):
        predicted, texts = text(draw), [text(draw) for _ in range(draw.randint(0, 3))]
        if texts and draw.random() < 0.5:
            predicted = like(draw, draw.choice(texts))
        found = compared(predicted, texts)
        assert found == pytest.approx(raw_scores(texts, predicted), abs=1e-12), (predicted, texts)
        seen.add(found)
    assert {(1.0, 1.0), (0.0, 0.0)} < seen and len(seen) > 10


@pytest.mark.slow  # its import takes seconds
def test_scores_equal_those_of_torchmetrics() -> None:
    from torchmetrics.functional.text import squad

    draw = random.Random(9)
    rows = [(text(draw), [text(draw) + "x" for _ in range(draw.randint(1, 3))]) for _ in range(300)]
    rows += [(like(draw, draw.choice(texts)), texts) for _, texts in rows]
    expected = squad(
        [{"id": str(i), "prediction_text": said} for i, (said, _) in enumerate(rows)],
        [
            {"id": str(i), "answers": {"text": texts, "answer_start": [0] * len(texts)}}
            for i, (_, texts) in enumerate(rows)
        ],
    )
    found = np.array([compared(*row) for row in rows]).mean(axis=0)
    assert 0.03 < found[0] < found[1] < 0.9
    assert 100 * found[0] == pytest.approx(float(expected["exact_match"]), rel=1e-6)
    assert 100 * found[1] == pytest.approx(float(expected["f1"]), rel=1e-5)


@pytest.mark.parametrize(
    ("said", "right", "exact", "f1"),
    [
        ("The  Eiffel Tower!", ["eiffel tower"], 1, 1),
        ("tower", ["Eiffel tower", "the tower"], 1, 1),
        ("blue tower", ["Eiffel tower"], 0, 0.5),
        ("", [], 1, 1),
        ("", ["Paris"], 0, 0),
        ("Paris", [], 0, 0),
        ("the", [""], 1, 1),
        ("Paris Paris", ["Paris"], 0, 2 / 3),
    ],
)
def test_articles_case_and_punctuation_do_not_count(
    said: str, right: list[str], exact: float, f1: float
) -> None:
    assert compared(said, right) == (exact, pytest.approx(f1))


@pytest.mark.parametrize(
    ("cell", "answers"),
    [
        (None, []),
        ("", []),
        ("  ", []),
        ([], []),
        ({"text": [], "answer_start": []}, []),
        ({"text": None, "answer_start": None}, []),
        ({"text": [""], "answer_start": [-1]}, []),
        ("Paris", [Answer("Paris")]),
        (["Paris", "France"], [Answer("Paris"), Answer("France")]),
        ({"text": ["Paris"], "answer_start": [3]}, [Answer("Paris", 3)]),
        ({"text": "Paris", "answer_start": 3}, [Answer("Paris", 3)]),
        ({"text": ["Paris"], "answer_start": [3.0]}, [Answer("Paris", 3)]),
        ({"text": ["Paris"]}, [Answer("Paris")]),
        ({"text": ["Paris"], "answer_start": [-1]}, [Answer("Paris")]),
        (
            [{"text": "Paris", "answer_start": 3}, {"text": "it"}],
            [Answer("Paris", 3), Answer("it")],
        ),
    ],
)
def test_answers_are_read_in_every_form(cell: Any, answers: list[Answer]) -> None:
    assert answers_of(cell) == answers


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        (3, 'expected {"text"'),
        ({"answer": "Paris"}, "found {'answer': 'Paris'}"),
        ([None], "found None"),
        ({"text": [3]}, "expected texts, found [3]"),
        ({"text": ["a", "b"], "answer_start": [1]}, "for each of 2 texts, found 1"),
        ({"text": ["a"], "answer_start": ["x"]}, "expected an answer_start in characters"),
        ({"text": ["a"], "answer_start": [1.5]}, "expected an answer_start in characters"),
        ({"text": ["a"], "answer_start": [True]}, "expected an answer_start in characters"),
    ],
)
def test_what_is_no_answer_is_refused(cell: Any, problem: str) -> None:
    with pytest.raises(BadRow) as caught:
        answers_of(cell)
    assert caught.value.role == "answers" and problem in caught.value.problem


CONTEXT = "Paris is not in Texas. Paris is."


def test_the_first_answer_is_found_in_the_context() -> None:
    assert located([], CONTEXT) is None
    assert located([Answer("Paris", 23)], CONTEXT) == (23, 28)
    assert located([Answer("Texas "), Answer("Paris", 0)], CONTEXT) == (16, 21)
    assert located([Answer("The capital"), Answer("Paris")], CONTEXT) == (0, 5)


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ([Answer("Paris", 22)], "expected 'Paris' at character 22 of the context, found ' Pari'"),
        (
            [Answer("Paris", 0), Answer("Texas", 99)],
            "at character 99 of the context, found its end",
        ),
        ([Answer("London")], "expected words of the context, found 'London'"),
        ([Answer("x" * 99)], "xxx..."),
    ],
)
def test_an_answer_that_is_not_where_it_should_be_is_refused(
    answers: list[Answer], problem: str
) -> None:
    with pytest.raises(BadRow) as caught:
        located(answers, CONTEXT)
    assert caught.value.role == "answers" and problem in caught.value.problem


@pytest.mark.parametrize("seed", range(20))
def test_the_threshold_has_the_f1_of_squads_own_search(seed: int) -> None:
    draw = np.random.default_rng(seed)
    count = int(draw.integers(1, 60))
    margins = draw.normal(size=count).round(int(draw.integers(0, 6)))  # with ties, or without
    has_answer = draw.random(count) < draw.random()
    answered = np.where(has_answer, draw.choice([0.0, 0.4, 1.0], count), 0.0)
    silent = (~has_answer).astype(float)
    threshold = best_threshold(margins, answered, silent)
    found = np.where(margins > threshold, silent, answered).mean()
    cuts = [-np.inf, *margins]
    brute = max(np.where(margins > cut, silent, answered).mean() for cut in cuts)
    assert found == pytest.approx(brute, abs=1e-9)
    if len(set(margins)) == count:  # theirs takes a cut between equal ones for possible
        theirs = best_score(answered.tolist(), has_answer.tolist(), margins.tolist())
        assert found == pytest.approx(theirs, abs=1e-9)


def test_of_equally_good_thresholds_the_one_nearest_to_nothing_is_taken() -> None:
    silent, answered = np.array([0.0, 0.0, 1.0]), np.array([1.0, 1.0, 0.0])
    assert best_threshold(np.array([-3.0, -1.0, 2.0]), answered, silent) == 0.5
    assert best_threshold(np.array([-3.0, np.inf]), answered[1:], silent[1:]) == -2.0
    assert best_threshold(np.array([np.inf]), answered[:1], silent[:1]) == 0.0
