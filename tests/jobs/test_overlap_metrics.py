"""ROUGE, BLEU and chrF from sums are those of the libraries over the whole set."""

import random

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from unfreeze.jobs.metrics import Floats, Metric, scores_of
from unfreeze.jobs.tasks.overlap_metrics import ROUGE, Overlap, rouge, rouge_reads

TEXT = "the a cat dog's sat, on mat. Up 3.5 % \u732b of-it <s> AWAY and -- then \u043a\u043e\u0442"
WORDS = TEXT.split()
FIRST = 3
METRICS = {metric.name: metric for metric in Overlap(FIRST).metrics()}


def some_texts(seed: int, rows: int = 60) -> tuple[list[str], list[str]]:
    """What was said, often right and sometimes nothing, and the targets."""
    draw = random.Random(seed)
    truth = [" ".join(draw.choices(WORDS, k=draw.randint(1, 14))) for _ in range(rows)]
    said = [
        " ".join(word if draw.random() < 0.7 else draw.choice(WORDS) for word in text.split())
        for text in truth
    ]
    return [text[: draw.choice([0, 9, 99, 99])] for text in said], truth


def statistics_of(said: list[str], truth: list[str]) -> Floats:
    """Behind columns that are somebody else's."""
    return np.concatenate(
        [np.ones((len(said), FIRST)), Overlap(FIRST).of_rows(said, truth)], axis=1
    )


def by_the_libraries(said: list[str], truth: list[str]) -> dict[str, float]:
    scorer = RougeScorer(ROUGE)
    pairs = [scorer.score(target, text) for target, text in zip(truth, said, strict=True)]
    return {
        **{name: float(np.mean([pair[name].fmeasure for pair in pairs])) for name in ROUGE},
        "bleu": BLEU().corpus_score(said, [truth]).score / 100,
        "chrf": CHRF().corpus_score(said, [truth]).score / 100,
    }


@pytest.mark.parametrize("seed", range(4))
def test_metrics_of_sums_are_those_of_the_libraries_over_the_whole_set(seed: int) -> None:
    said, truth = some_texts(seed)
    found = scores_of(list(METRICS.values()), statistics_of(said, truth))
    assert found == pytest.approx(by_the_libraries(said, truth), rel=1e-12)
    assert all(0.1 < value < 0.95 for value in found.values())


def test_metrics_of_a_resample_are_those_of_its_texts() -> None:
    said, truth = some_texts(7)
    statistics = statistics_of(said, truth)
    counts = np.random.default_rng(0).multinomial(len(said), np.ones(60) / 60, size=3)
    found = {name: metric.of(counts @ statistics) for name, metric in METRICS.items()}
    for i, drawn in enumerate(counts):
        rows = np.repeat(np.arange(60), drawn)
        expected = by_the_libraries([said[r] for r in rows], [truth[r] for r in rows])
        assert {name: values[i] for name, values in found.items()} == pytest.approx(expected)


@pytest.mark.parametrize("same", [True, False])
def test_texts_that_are_all_right_or_share_nothing_score_one_or_zero(same: bool) -> None:
    truth = ["one two three four five six"] * 3
    found = scores_of(list(METRICS.values()), statistics_of(truth if same else ["zzz"] * 3, truth))
    assert found == dict.fromkeys(METRICS, float(same))


def test_what_was_not_generated_is_not_known() -> None:
    nothing = np.concatenate([np.ones((4, FIRST)), Overlap(FIRST).of_nothing(4)], axis=1)
    assert np.isfinite(nothing).all()  # the optimism of a search leaves out what is not
    assert scores_of(list(METRICS.values()), nothing) == {}
    assert all(metric.thorough for metric in METRICS.values())


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_pseudo_rows_are_all_right_and_all_wrong_and_weigh_one_row(metric: Metric) -> None:
    statistics = statistics_of(*some_texts(1))
    assert metric.pseudo_rows
    right, wrong = metric.pseudo_rows(statistics.sum(axis=0))
    # Six rows of each: a row alone may be of half a word.
    assert metric.of(6 * right) == pytest.approx(1.0)
    assert metric.of(6 * wrong) == 0.0
    assert right[0] == wrong[0] == 1.0
    with_both = metric.of(statistics.sum(axis=0) + right + wrong)
    assert abs(with_both - metric.of(statistics.sum(axis=0))) < 0.02


def test_rouge_reads_a_to_z_and_digits_alone() -> None:
    texts = ["\u043a\u043e\u0442", "\u732b", "...", "na\u00efve", "7"]
    assert [rouge_reads(text) for text in texts] == [False, False, False, True, True]
    scores = rouge(texts, texts)[:, 0].tolist()
    assert scores == [0.0, 0.0, 0.0, 1.0, 1.0]
