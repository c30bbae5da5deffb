"""Text-to-text: a source is rewritten into a target. Summaries, translations, rewriting."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from unfreeze.jobs.data.batches import padded
from unfreeze.jobs.data.token_store import Examples
from unfreeze.jobs.encoder import Encoder
from unfreeze.jobs.errors import ModelError
from unfreeze.jobs.metrics import Floats, Metric, ratio_of
from unfreeze.jobs.settings import Settings
from unfreeze.jobs.tasks.generation import Decoding, generate, make_usual
from unfreeze.jobs.tasks.overlap_metrics import Overlap, rouge
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
from unfreeze.jobs.tasks.token_loss import IGNORED, summed_loss, token_scores
from unfreeze.jobs.tasks.written_texts import written_texts

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedTokenizerBase

    from unfreeze.jobs.data.token_store import Split

TARGET_LENGTH = 128
_LOSS, _TOKENS, _RIGHT, _OVERLAP = 1, 2, 3, 4  # columns of the statistics


class Writing(Settings):
    """How texts are generated, for the scores and the predictions."""

    beams: Annotated[int, Field(ge=1)] = 1
    """Beams of the search; 1: always the likeliest token (greedy)."""
    new_tokens: Annotated[int, Field(ge=1)] | None = None
    """Most tokens that are generated; by default task.max_target_length, else 128 or what the model
    has positions for."""
    length_penalty: float | None = None
    """With beams: more than 0 favours long texts, less than 0 short ones; null: the model's own."""
    no_repeat_ngram_size: Annotated[int, Field(ge=0)] | None = None
    """No n-gram of so many tokens comes twice, 0: any may; null: the model's own."""

    @model_validator(mode="after")
    def _penalty_needs_beams(self) -> Self:
        if self.length_penalty is not None and self.beams == 1:
            raise ValueError("length_penalty has no effect without beams; set beams to 2 or more")
        return self


class Text2TextGenerationOptions(TaskOptions):
    """A text is rewritten into another."""

    name: Literal["text2text-generation"] = "text2text-generation"
    """Which task."""
    prefix: str = ""
    """Put before each source, such as T5's "summarize: "."""
    max_target_length: Annotated[int, Field(ge=2)] | None = None
    """Longest target in tokens; what is longer is cut. By default 128, but at most max_length."""
    decoding: Writing = Writing()
    """How texts are generated."""
    # The head is pretrained as well, and mostly tied to the embeddings: BART's has no weights at
    # all that are its own. The top of the decoder is what speaks the new language first.
    usual_phases: ClassVar[tuple[dict[str, str], ...]] = (
        {"train": "last:2", "for": "1ep"},
        {"train": "all", "for": "3ep"},
    )
    has_new_head: ClassVar[bool] = False
    not_in_examples: ClassVar[frozenset[str]] = frozenset({"decoding"})

    @property
    def roles(self) -> tuple[Role, ...]:
        return (
            Role("source", column="source"),
            Role("target", column="target", is_target=True),
        )

    @property
    def lengths(self) -> Mapping[str, int]:
        given = {
            "max_target_length": self.max_target_length,
            "decoding.new_tokens": self.decoding.new_tokens,
        }
        return {name: length for name, length in given.items() if length}

    @property
    def metric_names(self) -> tuple[str, ...]:
        return tuple(metric.name for metric in Text2TextGeneration.metrics)


class Text2TextGeneration(Task):
    """A text is rewritten into another."""

    auto_model = "AutoModelForSeq2SeqLM"
    overlap = Overlap(_OVERLAP)
    metrics: tuple[Metric, ...] = (
        ratio_of("loss", _LOSS, _TOKENS),
        *overlap.metrics(),
        ratio_of("next_token_accuracy", _RIGHT, _TOKENS),
    )

    def __init__(self, options: Text2TextGenerationOptions, learned: Learned) -> None:
        self.options: Text2TextGenerationOptions = options
        self.learned = learned

    def look(self, row: Row) -> Seen:
        for role in ("source", "target"):
            if role in row and not (row[role] or "").strip():
                raise BadRow(role, "expected text, found none")
        return Seen((row["source"],))

    def learn(self, labels: Collection[str], declared: Sequence[str] | None) -> Learned:
        return {}

    def encode(
        self, rows: Sequence[Row], tokenizer: "PreTrainedTokenizerBase", max_length: int
    ) -> Examples:
        sources = Encoder(tokenizer, max_length)
        ids, _ = sources.encode([self.options.prefix + row["source"] for row in rows])
        if "target" not in rows[0]:
            return Examples({"input_ids": ids}, cut_off=sources.cut_off)
        limit = self.options.max_target_length or min(TARGET_LENGTH, max_length)
        targets = Encoder(tokenizer, limit, targets=True)
        labels, _ = targets.encode([row["target"] for row in rows])
        either = zip(sources.was_cut, targets.was_cut, strict=True)
        return Examples(
            {"input_ids": ids, "labels": labels},
            weights=[float(len(each)) for each in labels],
            cut_off=sum(any(cut) for cut in either),
        )

    def pack(self, max_length: int) -> int | None:
        return None

    def configuration(self) -> dict[str, Any]:
        return {}

    def check_model(self, model: "nn.Module") -> list[str]:
        """What it generates of itself is then what is scored here. Raises ModelError."""
        if getattr(model.config, "decoder_start_token_id", None) is None:
            raise ModelError(
                "model: its config.json has no decoder_start_token_id: the token that its decoder "
                "begins with"
            )
        make_usual(model, self._decoding(model))
        return []

    def collate(self, split: "Split", examples: Units, pad_id: int) -> Arrays:
        return padded(split, examples, {"input_ids": pad_id, "labels": IGNORED})

    def model_inputs(
        self, model: "nn.Module", batch: Mapping[str, "torch.Tensor"]
    ) -> dict[str, Any]:
        return {
            "input_ids": batch["input_ids"],
            "attention_mask": batch["attention_mask"],
            "decoder_input_ids": _shifted(model, batch["labels"]),
            "use_cache": False,
        }

    def tokens(self, batch: Mapping[str, "torch.Tensor"]) -> "torch.Tensor":
        """Those of the sources, and those of the targets."""
        return super().tokens(batch) + (batch["labels"] != IGNORED).sum()

    def loss(self, outputs: Any, batch: Mapping[str, "torch.Tensor"]) -> "torch.Tensor":
        """Cross-entropy of each token of the target, given those before it."""
        return summed_loss(outputs.logits, batch["labels"])

    def keep(
        self, model: "nn.Module", batch: Mapping[str, "torch.Tensor"], *, thorough: bool
    ) -> dict[str, "torch.Tensor"]:
        kept = {}
        if "labels" in batch:
            logits = model(**self.model_inputs(model, batch)).logits
            losses, right = token_scores(logits, batch["labels"])
            kept = {"loss": losses.double().sum(dim=1), "right": right.sum(dim=1)}
        if thorough:
            inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
            decoding = self._decoding(model)
            kept["said"], kept["said_tokens"] = generate(model, inputs, decoding)
            # Some models (BART) are made to end where they may not go on.
            forced = getattr(model.generation_config, "forced_eos_token_id", None) is not None
            kept["cut_off"] = kept["said_tokens"] >= decoding.new_tokens - forced
        return kept

    def _decoding(self, model: Any) -> Decoding:
        chosen = self.options.decoding.model_dump(exclude={"new_tokens"})
        return Decoding(**chosen, new_tokens=self._limit(model))

    def _limit(self, model: Any) -> int:
        """Most tokens that are generated."""
        given = self.options.decoding.new_tokens or self.options.max_target_length
        positions = getattr(model.config, "max_position_embeddings", None)
        return given or min(TARGET_LENGTH, positions or TARGET_LENGTH)

    def statistics(self, kept: Arrays, split: "Split", units: Units, decode: Decode) -> Floats:
        """1, the cross-entropy, the target's tokens, how many are right, and the `Overlap`."""
        right = [kept["loss"], split.weights[units], kept["right"]]
        own = np.stack([np.ones(len(units)), *right], axis=1)
        if "said" in kept:
            truth = [row["target"] for row in split.rows(units)]
            overlap = self.overlap.of_rows(list(_texts(kept, decode)), truth)
        else:
            overlap = self.overlap.of_nothing(len(units))
        return np.concatenate([own, overlap], axis=1)

    def predictions(
        self, kept: Arrays, split: "Split", units: Units, decode: Decode
    ) -> Iterator[dict[str, Any]]:
        """The text, its tokens without the end token, and whether it ran into the limit; next to a
        target also its tokens, and ROUGE-L."""
        texts = list(_texts(kept, decode))
        counted = zip(texts, kept["said_tokens"], kept["cut_off"], strict=True)
        said: list[dict[str, Any]] = [
            {"predicted": text, "predicted_tokens": int(tokens), "cut_off": bool(cut)}
            for text, tokens, cut in counted
        ]
        if "labels" not in split.sequences:
            yield from said
            return
        scores = rouge(texts, [row["target"] for row in split.rows(units)], ("rougeL",))[:, 0]
        for one, tokens, score in zip(said, split.weights[units], scores, strict=True):
            yield one | {"target_tokens": int(tokens) - 1, "rougeL": round(float(score), 6)}

    def finish(self, kept: Arrays, split: "Split") -> tuple[Learned, dict[str, float]]:
        return {}, {}

    def sections(self, predictions: Sequence[Mapping[str, Any]], judged: str) -> list[Section]:
        """How long the texts are, the worst of them, and what they usually look like."""
        return written_texts(predictions, judged)


def _texts(kept: Arrays, decode: Decode) -> Iterator[str]:
    for row, tokens in zip(kept["said"], kept["said_tokens"], strict=True):
        yield decode(row[:tokens].tolist()).strip()


def _shifted(model: Any, labels: "torch.Tensor") -> "torch.Tensor":
    """What the decoder is given for these targets: the start token, then all but the last token.

    The models that do it in another way (mBART begins with the target's last token, its language)
    have a method of their own; M2M100 and Blenderbot have none.
    """
    if own := getattr(model, "prepare_decoder_input_ids_from_labels", None):
        shifted: torch.Tensor = own(labels=labels)
        return shifted
    shifted = labels.new_full(labels.shape, model.config.decoder_start_token_id)
    shifted[:, 1:] = labels[:, :-1]
    return shifted.masked_fill(shifted == IGNORED, model.config.pad_token_id)
