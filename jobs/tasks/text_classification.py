"""Text classification: one label for each text, or for each pair of texts."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from unfreeze.jobs.batches import padded
from unfreeze.jobs.encoder import Encoder
from unfreeze.jobs.label_names import label_name, sorted_labels
from unfreeze.jobs.metrics import Floats, LabelCounts, Metric, mean_of
from unfreeze.jobs.tasks.task import (
    Arrays,
    BadRow,
    Decode,
    Learned,
    Matrix,
    Role,
    Row,
    Section,
    Seen,
    Table,
    Task,
    TaskOptions,
    Texts,
    Units,
)
from unfreeze.jobs.token_store import Examples

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedTokenizerBase

    from unfreeze.jobs.token_store import Split

MAX_LABELS = 20  # in the confusion matrix: smaller cells cannot be read
WORST = 20


class TextClassificationOptions(TaskOptions):
    """One label for each text."""

    name: Literal["text-classification"] = "text-classification"
    """Which task."""

    @property
    def roles(self) -> tuple[Role, ...]:
        return (
            Role("text", column="text"),
            Role("text_pair"),
            Role("label", "label", column="label", is_target=True),
        )

    @property
    def metric_names(self) -> tuple[str, ...]:
        return "accuracy", "f1", "weighted_f1", "loss"


class TextClassification(Task):
    """One label for each text."""

    auto_model = "AutoModelForSequenceClassification"

    def __init__(self, options: TextClassificationOptions, learned: Learned) -> None:
        self.options, self.learned = options, learned

    @property
    def labels(self) -> list[str]:
        """Names of the label ids."""
        names: list[str] = self.learned["labels"]
        return names

    def look(self, row: Row) -> Seen:
        texts = [row["text"], *([row["text_pair"]] if "text_pair" in row else [])]
        for role, text in zip(("text", "text_pair"), texts, strict=False):
            if not (text or "").strip():
                raise BadRow(role, "expected text, found none")
        if "label" not in row:
            return Seen(tuple(texts))
        label = label_name(row["label"])
        if label is None:
            raise BadRow("label", "expected a label, found none")
        return Seen(tuple(texts), (label,))

    def learn(self, labels: Collection[str], declared: Sequence[str] | None) -> Learned:
        return {"labels": list(declared) if declared else sorted_labels(labels)}

    def encode(
        self, rows: Sequence[Row], tokenizer: "PreTrainedTokenizerBase", max_length: int
    ) -> Examples:
        encoder = Encoder(tokenizer, max_length)
        pairs = [row["text_pair"] for row in rows] if "text_pair" in rows[0] else None
        tokens, token_types = encoder.encode([row["text"] for row in rows], pairs)
        sequences: dict[str, Sequence[Sequence[int]]] = {"input_ids": tokens}
        if token_types is not None:
            sequences["token_type_ids"] = token_types
        values = {}
        if "label" in rows[0]:
            id_of = {label: i for i, label in enumerate(self.labels)}
            values["labels"] = [id_of[label_name(row["label"]) or ""] for row in rows]
        return Examples(sequences, values, cut_off=encoder.cut_off)

    def pack(self, max_length: int) -> int | None:
        return None

    def configuration(self) -> dict[str, Any]:
        if not self.learned:
            return {}
        return {
            "num_labels": len(self.labels),
            "id2label": dict(enumerate(self.labels)),
            "label2id": {label: i for i, label in enumerate(self.labels)},
        }

    def collate(self, split: "Split", examples: Units, pad_id: int) -> Arrays:
        return padded(split, examples, {"input_ids": pad_id, "token_type_ids": 0})

    def model_inputs(
        self, model: "nn.Module", batch: Mapping[str, "torch.Tensor"]
    ) -> dict[str, Any]:
        return {name: tensor for name, tensor in batch.items() if name not in ("labels", "weights")}

    def loss(self, outputs: Any, batch: Mapping[str, "torch.Tensor"]) -> "torch.Tensor":
        """Cross-entropy."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs.logits.float(), batch["labels"], reduction="sum")

    @cached_property
    def _counts(self) -> LabelCounts:
        return LabelCounts(3, len(self.labels))

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        return (
            mean_of("accuracy", 1),
            self._counts.macro_f1(),
            self._counts.weighted_f1(),
            mean_of("loss", 2),
        )

    def keep(
        self, model: "nn.Module", batch: Mapping[str, "torch.Tensor"], *, thorough: bool
    ) -> dict[str, "torch.Tensor"]:
        return {"logits": model(**self.model_inputs(model, batch)).logits.float()}

    def statistics(self, kept: Arrays, split: "Split", units: Units, decode: Decode) -> Floats:
        """1, whether the label is right, the cross-entropy, and the counts of each label."""
        logits, truth = kept["logits"], split.values["labels"][units]
        predicted = logits.argmax(axis=1)
        own = _log_softmax(logits)[np.arange(len(truth)), truth]
        which = np.arange(len(self.labels))
        counts = self._counts.of_rows(predicted[:, None] == which, truth[:, None] == which)
        first = np.stack([np.ones(len(truth)), predicted == truth, -own], axis=1)
        return np.concatenate([first, counts], axis=1)

    def predictions(
        self,
        kept: Arrays,
        split: "Split",
        units: Units,
        decode: Decode,
    ) -> Iterator[dict[str, Any]]:
        """The label, and the probability of each, in fp32 to six places."""
        truth = split.values.get("labels")
        for unit, logits in zip(units, kept["logits"], strict=True):
            probabilities = np.exp(_log_softmax(logits[None]))[0]
            label = {} if truth is None else {"label": self.labels[truth[unit]]}
            yield label | {
                "predicted": self.labels[int(logits.argmax())],
                "probabilities": {
                    label: round(float(p), 6)
                    for label, p in zip(self.labels, probabilities, strict=True)
                },
            }

    def finish(self, kept: Arrays, split: "Split") -> tuple[Learned, dict[str, float]]:
        return {}, {}

    def sections(self, predictions: Sequence[Mapping[str, Any]], judged: str) -> list[Section]:
        """Which labels were taken for which, and the wrong predictions that were most certain."""
        wrong = [p for p in predictions if p["label"] != p["predicted"]]
        return [*self._confusion(predictions, wrong, judged), _worst(predictions, wrong, judged)]

    def _confusion(
        self,
        predictions: Sequence[Mapping[str, Any]],
        wrong: Sequence[Mapping[str, Any]],
        judged: str,
    ) -> list[Section]:
        if not predictions:
            return []
        share = f"{100 * len(wrong) / len(predictions):.1f} %"
        note = f"{len(wrong):,} of {len(predictions):,} {judged} rows are wrong ({share})."
        pairs = Counter((p["label"], p["predicted"]) for p in predictions)
        if len(self.labels) <= MAX_LABELS:
            counts = [[pairs[label, other] for other in self.labels] for label in self.labels]
            note += " Cells count rows; the shade is the share of the true label."
            return [Section("Confusion", note, Matrix(self.labels, counts))]
        of_label = Counter(p["label"] for p in predictions)
        ranked = sorted(((n, p) for p, n in pairs.items() if p[0] != p[1]), reverse=True)[:WORST]
        rows = [(*pair, n, f"{100 * n / of_label[pair[0]]:.1f} %") for n, pair in ranked]
        columns = ("true label", "predicted", "rows", "of the label")
        return [Section("Most confused labels", note, Table(columns, rows))]


def _worst(
    predictions: Sequence[Mapping[str, Any]], wrong: Sequence[Mapping[str, Any]], judged: str
) -> Section:
    title = "Worst mistakes"
    if not predictions:
        return Section(title, "No predictions to look at.")
    if not wrong:
        return Section(title, f"None: every prediction on {judged} rows is right.")

    def probability(prediction: Mapping[str, Any], key: str) -> float:
        return float((prediction.get("probabilities") or {}).get(prediction[key], 0.0))

    ranked = sorted(wrong, key=lambda p: (-probability(p, "predicted"), p["row"]))
    items = []
    for p in ranked[:WORST]:
        said = f"{p['label']} \u2192 {p['predicted']}"
        if sure := probability(p, "predicted"):
            said += (
                f" with {100 * sure:.1f} %; {p['label']} got {100 * probability(p, 'label'):.1f} %"
            )
        texts = [p[key] for key in ("text", "text_pair") if key in p]
        items.append((f"{said}; row {p['row']}", "\n> ".join(texts)))
    note = f"The wrong predictions on {judged} rows that the model was most certain of."
    return Section(title, note, Texts(items))


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
