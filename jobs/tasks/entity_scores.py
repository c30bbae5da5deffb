"""The metrics of tagged words and of the entities that the tags mark, as functions of sums."""

import numpy as np

from unfreeze.jobs.metrics import Floats, LabelCounts, Metric, ratio, ratio_of

ROW, LOSS, TERMS, RIGHT, WORDS, FIRST = range(6)
"""The statistics of a row: 1; the sum of the losses of its words, and of how many; how many words
are right, and how many there are. From FIRST on, for each type: entities that were found, that were
predicted, and that are there."""


class EntityScores:
    """As in seqeval (its default mode): an entity is found if first word, last word and type are
    right. `f1`, precision and recall are over the entities of all types ("micro")."""

    def __init__(self, types: int) -> None:
        self._types = types

    def metrics(self) -> dict[str, Metric]:
        """By name."""
        metrics = (
            self._micro("f1", of_true=True, of_predicted=True),
            self._micro("precision", of_predicted=True),
            self._micro("recall", of_true=True),
            LabelCounts(FIRST, self._types).macro_f1("macro_f1"),
            ratio_of("accuracy", RIGHT, WORDS),
            ratio_of("loss", LOSS, TERMS),
        )
        return {metric.name: metric for metric in metrics}

    def _parts(self, sums: Floats) -> tuple[Floats, Floats, Floats]:
        both, predicted, truth = np.split(sums[..., FIRST:], 3, axis=-1)
        return both, predicted, truth

    def _micro(self, name: str, *, of_true: bool = False, of_predicted: bool = False) -> Metric:
        """What was found, of the mean of the entities that are there and that were predicted, or of
        one of them. If there are none of these, but of the others, nothing is right: 0."""

        def of(sums: Floats) -> Floats:
            both, predicted, true = (part.sum(axis=-1) for part in self._parts(sums))
            share = ratio(
                both * (of_true + of_predicted), of_true * true + of_predicted * predicted
            )
            result: Floats = np.where(np.isnan(share) & (true + predicted > 0), 0.0, share)
            return result

        return Metric(name, of, pseudo_rows=self._right_and_wrong)

    def _right_and_wrong(self, sums: Floats) -> tuple[Floats, Floats]:
        """With the entities of an average row, and as many that were predicted."""
        right, wrong = np.zeros_like(sums), np.zeros_like(sums)
        *_, true = self._parts(sums / max(1.0, sums[ROW]))
        right[ROW] = wrong[ROW] = 1.0
        right[FIRST:] = np.concatenate([true, true, true])
        wrong[FIRST:] = np.concatenate([np.zeros_like(true), true, true])
        return right, wrong
