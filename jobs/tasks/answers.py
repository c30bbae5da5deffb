"""Answers as people write them down, and how SQuAD compares them. Pure: no tokens, no model."""

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfreeze.jobs.metrics import Floats
from unfreeze.jobs.tasks.task import BadRow

_FORM = '{"text": ["..."], "answer_start": [0]}, texts, or nothing where there is no answer'
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, slots=True)
class Answer:
    """A right answer."""

    text: str
    start: int | None = None
    """The character of the context where it begins; None: it was not said."""


def answers_of(value: Any) -> list[Answer]:
    """The answers in a cell; none if the question has none. Raises BadRow.

    A cell is {"text": [...], "answer_start": [...]} as on the hub, {"text": ..., "answer_start":
    ...}, a text, or a list of the latter two. Blank texts are no answers (SQuAD 2 has no use for
    them either), and a start below 0 is not a start.
    """
    if isinstance(value, list):
        found = [answer for each in value for answer in _one_or_more(each)]
    else:
        found = [] if value is None else _one_or_more(value)
    return [answer for answer in found if answer.text.strip()]


def _one_or_more(value: Any) -> list[Answer]:
    if isinstance(value, str):
        return [Answer(value)]
    if not isinstance(value, dict) or "text" not in value:
        raise BadRow("answers", f"expected {_FORM}; found {_short(value)}")
    texts, starts = _listed(value["text"]), _listed(value.get("answer_start"))
    if not all(isinstance(text, str) for text in texts):
        raise BadRow("answers", f"expected texts, found {_short(texts)}")
    if not starts:
        return [Answer(text) for text in texts]
    if len(starts) != len(texts):
        problem = f"expected an answer_start for each of {len(texts)} texts, found {len(starts)}"
        raise BadRow("answers", problem)
    return [Answer(text, _start(start)) for text, start in zip(texts, starts, strict=True)]


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _start(value: Any) -> int | None:
    """Tables without whole numbers that may be missing have 12.0 for 12."""
    if value is None or (isinstance(value, int | float) and value < 0):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise BadRow("answers", f"expected an answer_start in characters, found {_short(value)}")
    return int(value)


def located(answers: Sequence[Answer], context: str) -> tuple[int, int] | None:
    """Where the first answer lies in the context, [begin, end); None if there is no answer.

    One without a start is at the first place where it stands. Of several it may stand nowhere:
    then it is another way to say it. Raises BadRow if a start is wrong, or if none stands there.
    """
    places = []
    for answer in answers:
        text, start = answer.text, answer.start
        if start is None:
            text = text.strip()
            start = context.find(text)
        elif (there := context[start : start + len(text)]) != text:
            problem = f"expected {_short(text)} at character {start} of the context, found "
            raise BadRow("answers", problem + (_short(there) if there else "its end"))
        if start >= 0:
            places.append((start, start + len(text)))
    if answers and not places:
        raise BadRow("answers", f"expected words of the context, found {_short(answers[0].text)}")
    return places[0] if places else None


def _short(value: Any) -> str:
    said = repr(value)
    return said if len(said) <= 60 else said[:57] + "..."


# How SQuAD compares answers: evaluate-v2.0.py of Rajpurkar et al., Know What You Don't Know (2018)


def normalized(text: str) -> str:
    """In lower case, without ASCII punctuation, English articles and needless white space."""
    plain = text.lower().translate(_NO_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", plain).split())


def compared(predicted: str, texts: Sequence[str]) -> tuple[float, float]:
    """Exact match and F1, each with the right answer that is nearest to what was predicted.

    No texts, or such as are nothing without articles and punctuation, say that there is no answer.
    """
    guess = normalized(predicted)
    right = [known for text in texts if (known := normalized(text))] or [""]
    return float(guess in right), max(_f1(guess.split(), known.split()) for known in right)


def _f1(predicted: Sequence[str], right: Sequence[str]) -> float:
    """Of the words, as bags. Where one of them says that there is no answer: whether both do."""
    if not predicted or not right:
        return float(predicted == right)
    both = (Counter(predicted) & Counter(right)).total()
    return 2 * both / (len(predicted) + len(right))


def best_threshold(margins: NDArray[Any], answered: NDArray[Any], silent: NDArray[Any]) -> float:
    """Above which margin it is best to say that there is no answer.

    `margins`: by how much the score of no answer is above that of the best span, one for each row;
    `answered` and `silent`: the F1 of that span, and of no answer. The threshold has the highest
    mean F1 of all; it lies midway between two margins, and among equally good ones nearest to 0.
    """
    known = np.isfinite(margins)  # a row without any span has no answer at any threshold
    order = np.flatnonzero(known)[np.argsort(margins[known], kind="stable")]
    if not len(order):
        return 0.0
    margins, gains = margins[order].astype(np.float64), (answered - silent)[order]
    totals: Floats = np.append(0.0, np.cumsum(gains))  # the first rows are answered, none to all
    cuts = np.concatenate([[margins[0] - 1], (margins[:-1] + margins[1:]) / 2, [margins[-1] + 1]])
    possible = np.concatenate([[True], margins[1:] > margins[:-1], [True]])
    best = possible & (totals >= totals[possible].max() - 1e-9)
    return float(cuts[best][np.abs(cuts[best]).argmin()])
