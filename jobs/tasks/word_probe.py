"""What a linear model is asked about words, to compare pretrained models for tagging."""

from typing import TYPE_CHECKING, Any

import numpy as np

from unfreeze.jobs.metrics import Floats
from unfreeze.jobs.tasks.label_scores import log_softmax
from unfreeze.jobs.tasks.task import Arrays, Probe, Units
from unfreeze.jobs.tasks.word_windows import place_words

if TYPE_CHECKING:
    from unfreeze.jobs.data.token_store import Split


class WordProbe:
    """A part of a task that tags words: the first token of a word stands for it."""

    tags: Any

    def probe(self, split: "Split", units: Units) -> Probe | None:
        placed = place_words(split, units)
        begins = split.offsets_of("labels")[split.examples_of(units)]
        truth = split.sequences["labels"][begins[placed.examples] + placed.columns]
        at = placed.examples, placed.columns
        return Probe("class", np.asarray(truth, np.int64), len(self.tags.names), at)

    def keep_probed(self, logits: Floats, split: "Split", units: Units) -> Arrays:
        asked = self.probe(split, units)
        assert asked is not None and asked.at is not None
        examples, columns = asked.at
        count = len(split.examples_of(units))
        guess = np.zeros((count, int(columns.max()) + 1), np.int16)
        guess[examples, columns] = logits.argmax(axis=1)
        own = log_softmax(logits)[np.arange(len(logits)), asked.truth]
        return {"guess": guess, "loss": np.bincount(examples, -own, count)}
