"""Token classification: a tag for each word, such as those of named entities."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from unfreeze.jobs.data.batches import padded
from unfreeze.jobs.data.label_names import label_name, sorted_labels
from unfreeze.jobs.data.token_store import Examples
from unfreeze.jobs.metrics import Floats, Metric
from unfreeze.jobs.tasks.entities import (
    OUTSIDE,
    FlatEntities,
    Ints,
    TagSet,
    breaches,
    read_entities,
    scheme_in,
    types_in,
)
from unfreeze.jobs.tasks.entity_report import entity_sections
from unfreeze.jobs.tasks.entity_scores import FIRST, LOSS, RIGHT, TERMS, WORDS, EntityScores
from unfreeze.jobs.tasks.task import (
    Arrays,
    BadRow,
    Decode,
    Learned,
    Role,
    Row,
    Section,
    Seen,
    Task,
    TaskOptions,
    Units,
)
from unfreeze.jobs.tasks.word_probe import WordProbe
from unfreeze.jobs.tasks.word_windows import (
    NO_WORD,
    PlacedWords,
    WordEncoder,
    place_words,
)

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedTokenizerBase

    from unfreeze.jobs.data.token_store import Split

NOT_SCORED = -100  # torch's own mark for what the loss leaves out


class TokenClassificationOptions(TaskOptions):
    """A tag for each word."""

    name: Literal["token-classification"] = "token-classification"
    """Which task."""
    scheme: Literal["auto", "bio", "bioes", "none"] = "auto"
    """How the model's tags mark entities: bio, bioes, or auto for that of the training rows. Rows
    may have others (IOB1, BILOU): they are translated. none: each word has a tag of its own, such
    as its part of speech."""
    stride: Annotated[int, Field(ge=0)] | None = None
    """Tokens that neighbouring windows of a long row share; by default a quarter of a window."""

    @property
    def roles(self) -> tuple[Role, ...]:
        return (
            Role("tokens", "words", column="tokens"),
            Role("tags", "labels", column="tags", is_target=True),
        )

    @property
    def metric_names(self) -> tuple[str, ...]:
        of_entities = ("f1", "precision", "recall", "macro_f1")
        if self.scheme == "none":
            return "accuracy", *of_entities, "loss"
        return *of_entities, "accuracy", "loss"

    def conclude(self, counts: Mapping[str, int]) -> tuple[Learned, list[str]]:
        """The scheme that fewest tags break, and how many do."""
        if self.scheme == "none":
            return {"scheme": "none"}, []
        scheme, remarks = scheme_in(counts)
        return {"scheme": scheme if self.scheme == "auto" else self.scheme}, remarks

    def labels_in(self, declared: Sequence[str]) -> list[str]:
        """Types, and O."""
        return list(declared) if self.scheme == "none" else types_in(declared)


class TokenClassification(WordProbe, Task):
    """A tag for each word.

    The first token of a word stands for the word; the loss is a mean over words. A long row is
    several examples, its windows, and each of its words counts in one of them: where it has the
    most context. A word of which the tokenizer leaves nothing is O, and has no part in the loss.
    """

    auto_model = "AutoModelForTokenClassification"

    def __init__(self, options: TokenClassificationOptions, learned: Learned) -> None:
        self.options, self.learned = options, learned

    @cached_property
    def tags(self) -> TagSet:
        """The tags that the model gives."""
        return TagSet(self.learned["types"], self.learned["scheme"])

    @property
    def known_labels(self) -> list[str]:
        return self.tags.types if self.options.scheme == "none" else [*self.tags.types, OUTSIDE]

    def look(self, row: Row) -> Seen:
        tokens = row["tokens"]
        if not isinstance(tokens, list):
            raise BadRow("tokens", "expected a list of words, found none")
        if not all(isinstance(word, str) for word in tokens):
            raise BadRow("tokens", "expected a list of words, found one that is no text")
        if not (text := " ".join(tokens)).strip():
            raise BadRow("tokens", "expected words, found none")
        if "tags" not in row:
            return Seen((text,))
        tags = _tags(row)
        if self.options.scheme == "none":
            return Seen((text,), tuple(sorted(set(tags))))
        try:
            entities = read_entities(tags)
        except ValueError as error:
            text = f"expected O or tags like B-PER, found {error}; plain ones need task.scheme=none"
            raise BadRow("tags", text) from None
        labels = {entity.type for entity in entities} | {OUTSIDE} & set(tags)
        counts = {"tags": len(tags)}
        for scheme, count in breaches(tags, entities).items():
            counts |= {scheme: count, f"{scheme} rows": int(count > 0)}
        return Seen((text,), tuple(sorted(labels)), counts)

    def learn(self, labels: Collection[str], declared: Sequence[str] | None) -> Learned:
        names = self.options.labels_in(declared) if declared else sorted_labels(labels)
        has_outside = self.options.scheme == "none"
        return {"types": [name for name in names if has_outside or name != OUTSIDE]}

    def encode(
        self, rows: Sequence[Row], tokenizer: "PreTrainedTokenizerBase", max_length: int
    ) -> Examples:
        """One example for each window."""
        encoder = WordEncoder(tokenizer, max_length, self.options.stride)
        sequences: dict[str, list[Sequence[int]]] = {"input_ids": [], "word_of": []}
        words, row_of, weights = [], [], []
        for number, windows in enumerate(encoder.encode([row["tokens"] for row in rows])):
            row = rows[number]
            ids = self.tags.ids(_tags(row)) if "tags" in row else []
            for window in windows:
                sequences["input_ids"].append(window.tokens)
                sequences["word_of"].append(window.word_of)
                if ids:
                    labels = [NOT_SCORED if w == NO_WORD else ids[w] for w in window.word_of]
                    sequences.setdefault("labels", []).append(labels)
                weights.append(len(window.word_of) - window.word_of.count(NO_WORD))
            words += [len(row["tokens"])] * len(windows)
            row_of += [number] * len(windows)
        return Examples({**sequences}, {"words": words}, row_of, weights, encoder.cut_off)

    def pack(self, max_length: int) -> int | None:
        return None

    def configuration(self) -> dict[str, Any]:
        if not self.learned:
            return {}
        return {
            "num_labels": len(self.tags.names),
            "id2label": dict(enumerate(self.tags.names)),
            "label2id": {name: i for i, name in enumerate(self.tags.names)},
        }

    def collate(self, split: "Split", examples: Units, pad_id: int) -> Arrays:
        fill = {"input_ids": pad_id, "word_of": NO_WORD, "labels": NOT_SCORED}
        batch = padded(split, examples, fill)
        return {name: batch[name] for name in batch if name not in ("word_of", "words")}

    def model_inputs(
        self, model: "nn.Module", batch: Mapping[str, "torch.Tensor"]
    ) -> dict[str, Any]:
        return {name: batch[name] for name in ("input_ids", "attention_mask")}

    def loss(self, outputs: Any, batch: Mapping[str, "torch.Tensor"]) -> "torch.Tensor":
        """Cross-entropy of the words."""
        from torch.nn.functional import cross_entropy

        logits, labels = outputs.logits.float().flatten(0, 1), batch["labels"].flatten()
        return cross_entropy(logits, labels, ignore_index=NOT_SCORED, reduction="sum")

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        found = EntityScores(len(self.tags.types)).metrics()
        return tuple(found[name] for name in self.options.metric_names)

    def keep(
        self, model: "nn.Module", batch: Mapping[str, "torch.Tensor"], *, thorough: bool
    ) -> dict[str, "torch.Tensor"]:
        """The likeliest tag of each token, and how likely it is; the loss of each example."""
        import torch
        from torch.nn.functional import cross_entropy

        logits = model(**self.model_inputs(model, batch)).logits.float()
        found = {"guess": logits.argmax(-1).to(torch.int16)}
        if "labels" in batch:
            classes_second = logits.transpose(1, 2)
            losses = cross_entropy(
                classes_second, batch["labels"], ignore_index=NOT_SCORED, reduction="none"
            )
            found["loss"] = losses.sum(1)
        if thorough:
            found["score"] = logits.softmax(-1).amax(-1)
        return found

    def _truth(self, split: "Split", units: Units, placed: PlacedWords) -> Ints:
        """The ids of all words. Those that are in no example are read from their rows."""
        begins = split.offsets_of("labels")[split.examples_of(units)]
        truth = np.full(placed.offsets[-1], NOT_SCORED, np.int64)
        truth[placed.words] = split.sequences["labels"][begins[placed.examples] + placed.columns]
        lost = np.flatnonzero(truth == NOT_SCORED)
        rows = np.unique(np.searchsorted(placed.offsets, lost, side="right") - 1)
        for row, data in zip(rows, split.rows(units[rows]), strict=True):
            truth[placed.offsets[row] : placed.offsets[row + 1]] = self.tags.ids(_tags(data))
        return truth

    def statistics(self, kept: Arrays, split: "Split", units: Units, decode: Decode) -> Floats:
        """Those of `entity_scores`."""
        placed = place_words(split, units)
        guess = placed.spread(kept["guess"], self.tags.nothing).astype(np.int64)
        truth = self._truth(split, units, placed)
        owners = np.repeat(np.arange(len(units)), np.diff(placed.offsets))
        columns = np.ones((len(units), FIRST))
        columns[:, LOSS] = np.bincount(placed.rows, kept["loss"], len(units))
        columns[:, TERMS] = np.bincount(owners[placed.words], minlength=len(units))
        columns[:, RIGHT] = np.bincount(owners, guess == truth, len(units))
        columns[:, WORDS] = np.diff(placed.offsets)
        return np.concatenate([columns, self.tags.counts(guess, truth, placed.offsets)], axis=1)

    def predictions(
        self, kept: Arrays, split: "Split", units: Units, decode: Decode
    ) -> Iterator[dict[str, Any]]:
        """A tag for each word, as the model says it; and the entities that the tags mark, with
        their words [start, end) and the mean probability of these. True tags are given repaired."""
        placed = place_words(split, units)
        guess = placed.spread(kept["guess"], self.tags.nothing).astype(np.int64)
        scores = placed.spread(kept["score"], 1.0)
        truth = self._truth(split, units, placed) if "labels" in split.sequences else None
        entities = self.tags.entities(guess, placed.offsets[:-1])
        first = np.searchsorted(entities.starts, placed.offsets)
        for row, data in enumerate(split.rows(units)):
            mine = slice(placed.offsets[row], placed.offsets[row + 1])
            said: dict[str, Any] = {} if truth is None else {"tags": self.tags.tags(truth[mine])}
            said["predicted"] = self.tags.tags(guess[mine])
            if self.options.scheme == "none":
                yield said | {"scores": [round(float(score), 6) for score in scores[mine]]}
                continue
            said["entities"] = [
                self._entity(data["tokens"], entities, i, mine.start, scores)
                for i in range(first[row], first[row + 1])
            ]
            yield said

    def _entity(
        self, tokens: Sequence[str], entities: FlatEntities, i: int, begin: int, scores: np.ndarray
    ) -> dict[str, Any]:
        start, end = int(entities.starts[i]), int(entities.ends[i])
        return {
            "type": self.tags.types[entities.types[i]],
            "text": " ".join(tokens[start - begin : end - begin]),
            "start": start - int(begin),
            "end": end - int(begin),
            "score": round(float(scores[start:end].mean()), 6),
        }

    def finish(self, kept: Arrays, split: "Split") -> tuple[Learned, dict[str, float]]:
        return {}, {}

    def sections(self, predictions: Sequence[Mapping[str, Any]], judged: str) -> list[Section]:
        """The scores of each type, and the rows with most mistakes."""
        return entity_sections(predictions, judged, self.tags)


def _tags(row: Row) -> list[str]:
    """The names of a row's tags. Raises BadRow."""
    tags = row["tags"]
    if not isinstance(tags, list):
        raise BadRow("tags", f"expected a list of tags, found {'text' if tags else 'none'}")
    if len(tags) != len(row["tokens"]):
        found = "more" if len(tags) > len(row["tokens"]) else "fewer"
        raise BadRow("tags", f"expected as many tags as words, found {found}")
    names = [name for tag in tags if (name := label_name(tag)) is not None]
    if len(names) < len(tags):
        raise BadRow("tags", "expected a tag for each word, found a word without one")
    return names
