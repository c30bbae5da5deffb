"""How much generated texts share with what they should be: ROUGE, BLEU, chrF.

Each is computed by its field's own library, from counts of a row that add up over rows. BLEU and
chrF of many rows are functions of those sums, as the libraries define them; ROUGE is a mean.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unfreeze.jobs.metrics import Floats, Metric, ratio

ROUGE = ("rouge1", "rouge2", "rougeL")
BLEU_ORDER = 4
CHRF_ORDER = 6


class Overlap:
    """Statistics of generated texts against their targets, and the metrics that they make.

    The first says whether a text was generated at all. Then come the F1 of ROUGE-1, -2 and -L; for
    BLEU the words generated, the words of the target, and for n-grams of 1 to 4 words how many are
    right, and how many there are; for chrF, for n-grams of 1 to 6 characters, how many were
    generated, are in the target, and are in both.
    """

    columns = 1 + len(ROUGE) + (2 + 2 * BLEU_ORDER) + 3 * CHRF_ORDER
    """How many statistics these are."""

    def __init__(self, first: int) -> None:
        """`first`: the column where these statistics begin."""
        self._first = first
        bleu = first + 1 + len(ROUGE)
        chrf = bleu + 2 + 2 * BLEU_ORDER
        self._bleu, self._chrf = slice(bleu, chrf), slice(chrf, chrf + 3 * CHRF_ORDER)

    def of_rows(self, said: Sequence[str], truth: Sequence[str]) -> Floats:
        """[rows, columns]. Words are those of each library: for ROUGE runs of a-z and 0-9 without
        stemming, for BLEU those of its tokenizer 13a."""
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF

        parts: list[Floats] = [np.ones((len(said), 1)), rouge(said, truth)]
        for library in (BLEU(), CHRF()):
            # What the library sums up itself, also for its own bootstrap; it has no public name.
            counts = library._extract_corpus_statistics(said, [truth])
            parts.append(np.array(counts, np.float64))
        return np.concatenate(parts, axis=1)

    def of_nothing(self, rows: int) -> Floats:
        """[rows, columns] for rows for which nothing was generated."""
        return np.zeros((rows, self.columns))

    def metrics(self) -> tuple[Metric, ...]:
        """ROUGE, BLEU and chrF, as shares; nan where nothing was generated."""
        rouge = (self._rouge(name, self._first + 1 + i) for i, name in enumerate(ROUGE))
        return (
            *rouge,
            self._corpus_metric("bleu", self._bleu, _bleu, _right_and_wrong_bleu),
            self._corpus_metric("chrf", self._chrf, _chrf, _right_and_wrong_chrf),
        )

    def _rouge(self, name: str, column: int) -> Metric:
        def of(sums: Floats) -> Floats:
            return ratio(sums[..., column], sums[..., self._first])

        def right_and_wrong(sums: Floats) -> tuple[Floats, Floats]:
            right, wrong = self._blank_rows(sums)
            right[column] = 1.0
            return right, wrong

        return Metric(name, of, column=column, pseudo_rows=right_and_wrong, thorough=True)

    def _corpus_metric(
        self,
        name: str,
        columns: slice,
        score: Callable[[list[Any]], float],
        ends: Callable[[Floats], tuple[Floats, Floats]],
    ) -> Metric:
        """`score`: sums of the columns -> the metric. `ends`: means of the columns -> those of a
        row that is all right, and all wrong."""

        def of(sums: Floats) -> Floats:
            flat = sums.reshape(-1, sums.shape[-1])
            found = [
                score(line[columns].tolist()) if line[self._first] else np.nan for line in flat
            ]
            return np.array(found, np.float64).reshape(sums.shape[:-1])

        def right_and_wrong(sums: Floats) -> tuple[Floats, Floats]:
            right, wrong = self._blank_rows(sums)
            right[columns], wrong[columns] = ends(sums[columns] / max(1.0, sums[self._first]))
            return right, wrong

        return Metric(name, of, pseudo_rows=right_and_wrong, thorough=True)

    def _blank_rows(self, sums: Floats) -> tuple[Floats, Floats]:
        right, wrong = np.zeros_like(sums), np.zeros_like(sums)
        right[0] = wrong[0] = right[self._first] = wrong[self._first] = 1.0
        return right, wrong


def rouge(said: Sequence[str], truth: Sequence[str], names: Sequence[str] = ROUGE) -> Floats:
    """The F1 of each row for each name, [rows, names]."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(names)
    scores = (scorer.score(*pair) for pair in zip(truth, said, strict=True))
    found = [[score[name].fmeasure for name in names] for score in scores]
    return np.array(found, np.float64).reshape(-1, len(names))


def rouge_reads(text: str) -> bool:
    """Whether ROUGE finds a word in it: it knows no letters but a to z, and no digits but 0-9."""
    return any(char.isascii() and char.isalnum() for char in text)


def _bleu(sums: list[Any]) -> float:
    from sacrebleu.metrics.bleu import BLEU

    generated, target, *counts = sums
    right, there = counts[:BLEU_ORDER], counts[BLEU_ORDER:]
    words = round(generated), round(target)  # a share of a row may be added to the sums
    found = BLEU.compute_bleu(right, there, *words, smooth_method="exp")
    return min(1.0, float(found.score) / 100)  # rounding may go over it


def _chrf(sums: list[Any]) -> float:
    from sacrebleu.metrics.chrf import CHRF

    return min(1.0, float(CHRF()._compute_f_score(sums)) / 100)


def _right_and_wrong_bleu(means: Floats) -> tuple[Floats, Floats]:
    """Of the length of the average target."""
    right, wrong = means.copy(), means.copy()
    there = means[2 + BLEU_ORDER :]
    right[0] = wrong[0] = means[1]
    right[2 : 2 + BLEU_ORDER], wrong[2 : 2 + BLEU_ORDER] = there, 0.0
    return right, wrong


def _right_and_wrong_chrf(means: Floats) -> tuple[Floats, Floats]:
    """Of the length of the average target."""
    right, wrong = means.copy(), means.copy()
    right[0::3] = wrong[0::3] = right[2::3] = means[1::3]
    wrong[2::3] = 0.0
    return right, wrong
