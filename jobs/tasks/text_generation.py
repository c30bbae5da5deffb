"""Text generation: a causal language model learns to go on with texts, prompts or chats."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from unfreeze.jobs.data.batches import padded
from unfreeze.jobs.data.token_store import Examples
from unfreeze.jobs.metrics import Floats, Metric, ratio, ratio_of
from unfreeze.jobs.tasks import packing, samples
from unfreeze.jobs.tasks.causal_examples import CausalEncoder
from unfreeze.jobs.tasks.chats import texts_of_chat
from unfreeze.jobs.tasks.generation import Decoding, generate, is_sharded, left_padded, room
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

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedTokenizerBase

    from unfreeze.jobs.data.token_store import Split

_LOSS, _TOKENS, _BYTES, _RIGHT = range(1, 5)  # columns of the statistics; the first is 1


METRICS = (
    ratio_of("loss", _LOSS, _TOKENS),
    Metric("perplexity", lambda sums: np.exp(ratio(sums[..., _LOSS], sums[..., _TOKENS]))),
    Metric("bits_per_byte", lambda sums: ratio(sums[..., _LOSS], sums[..., _BYTES]) / np.log(2)),
    ratio_of("next_token_accuracy", _RIGHT, _TOKENS),
)
"""Of the tokens that are to be predicted."""


class TextGenerationOptions(TaskOptions):
    """Text that goes on."""

    name: Literal["text-generation"] = "text-generation"
    """Which task."""
    form: Literal["text", "completion", "chat"] = "text"
    """What a row is: a text, a prompt with its completion, or the messages of a chat."""
    samples: Annotated[int, Field(ge=0)] = 8
    """How many rows of a split, evenly spread, the model goes on with for the report."""
    prompt_tokens: Annotated[int, Field(ge=1)] = 32
    """Tokens of a text that a sample begins with."""
    decoding: Decoding = Decoding()
    """How the samples, and the predictions for new rows, are generated."""

    # The head is the output layer, and often it is the embeddings' table: there is no new part to
    # begin with, and what is tied cannot be trained apart from the bottom.
    usual_phases: ClassVar[tuple[dict[str, str], ...]] = (
        {"train": "last:2", "for": "1ep"},
        {"train": "all", "for": "2ep"},
    )
    has_new_head: ClassVar[bool] = False
    not_in_examples: ClassVar[frozenset[str]] = frozenset({"samples", "prompt_tokens", "decoding"})

    @property
    def in_words(self) -> str:
        return f"{self.name} with form: {self.form}"

    @property
    def roles(self) -> tuple[Role, ...]:
        if self.form == "text":
            return (Role("text", column="text"),)
        if self.form == "chat":
            return (Role("messages", "messages", column="messages"),)
        return (
            Role("prompt", column="prompt"),
            Role("completion", column="completion", is_target=True),
        )

    @property
    def metric_names(self) -> tuple[str, ...]:
        return tuple(metric.name for metric in METRICS)


class TextGeneration(Task):
    """Text that goes on."""

    auto_model = "AutoModelForCausalLM"
    metrics = METRICS
    compares_before = True

    def __init__(self, options: TextGenerationOptions, learned: Learned) -> None:
        self.options: TextGenerationOptions = options
        self.learned = learned
        self.keeps_apart = True
        """Documents that share an example do not attend to each other."""

    @property
    def unit_name(self) -> str:
        """Rows, or what is cut out of the stream of all of them."""
        return "examples" if self.options.form == "text" and not self.new_rows else "rows"

    # Rows and examples

    def look(self, row: Row) -> Seen:
        if self.options.form == "chat":
            return Seen(texts_of_chat(row["messages"], new=self.new_rows))
        texts = [row[role.name] for role in self.options.roles if role.name in row]
        for role, text in zip(self.options.roles, texts, strict=False):
            if not (text or "").strip():
                raise BadRow(role.name, "expected text, found none")
        return Seen(tuple(texts))

    def learn(self, labels: Collection[str], declared: Sequence[str] | None) -> Learned:
        return {}

    def encode(
        self, rows: Sequence[Row], tokenizer: "PreTrainedTokenizerBase", max_length: int
    ) -> Examples:
        encoder = CausalEncoder(tokenizer, max_length)
        if self.options.form == "chat":
            return encoder.chats(rows, new=self.new_rows)
        role, *_ = (role.name for role in self.options.roles)
        texts = [row[role] for row in rows]
        if self.new_rows:
            return encoder.prompts(texts)
        if self.options.form == "text":
            return encoder.documents(texts)
        return encoder.completions(texts, [row["completion"] for row in rows])

    def pack(self, max_length: int) -> int | None:
        return max_length if self.options.form == "text" and not self.new_rows else None

    # The model

    def configuration(self) -> dict[str, Any]:
        return {}

    def check_model(self, model: "nn.Module") -> list[str]:
        if self.options.form == "text":
            self.keeps_apart = packing.keeps_apart(model)
        return [] if self.keeps_apart else [packing.TOGETHER]

    def collate(self, split: "Split", examples: Units, pad_id: int) -> Arrays:
        """Beside the ids: what each token is to predict (`targets`), and where in the examples that
        are samples the prompt lies (`prompts`, [examples, 2]; -1 elsewhere)."""
        batch = padded(split, examples, {"input_ids": pad_id, "token_bytes": 0, "is_target": 0})
        ids, width = batch["input_ids"], batch["input_ids"].shape[1]
        if split.rows_begin is None:
            is_target = batch["is_target"] > 0
        else:
            shown = examples if len(examples) else np.zeros(1, np.int64)
            batch["position_ids"] = packing.positions(split, shown, width)
            # Nothing in the document says what it begins with.
            is_target = (batch["attention_mask"] > 0) & (batch["position_ids"] > 0)
        batch["targets"] = np.full_like(ids, IGNORED)
        batch["targets"][:, :-1] = np.where(is_target[:, 1:], ids[:, 1:], IGNORED)
        batch["token_bytes"] = (batch["token_bytes"] * is_target).sum(axis=1)
        batch["prompts"] = np.full((len(ids), 2), -1)
        spread = np.linspace(0, len(split) - 1, self.options.samples).round()
        for i, example in enumerate(examples):
            if self.new_rows or example in spread:
                batch["prompts"][i] = self._prompt(split, int(example))
        batch["units"] = np.asarray(examples if len(examples) else [0], np.int64)
        return batch

    def _prompt(self, split: "Split", example: int) -> tuple[int, int]:
        """Where in an example the text lies that the model is to go on with."""
        if split.rows_begin is None:
            return 0, int(split.values["prompt_tokens"][example])
        start, size = packing.longest_piece(split, example)
        return start, start + max(1, min(self.options.prompt_tokens, size // 2))

    def model_inputs(
        self, model: "nn.Module", batch: Mapping[str, "torch.Tensor"]
    ) -> dict[str, Any]:
        # A cache is never read here, and keeps transformers from reading off the positions.
        inputs: dict[str, Any] = {"input_ids": batch["input_ids"], "use_cache": False}
        if "position_ids" in batch and self.keeps_apart:
            return inputs | {"position_ids": batch["position_ids"]}
        return inputs | {"attention_mask": batch["attention_mask"]}

    def loss(self, outputs: Any, batch: Mapping[str, "torch.Tensor"]) -> "torch.Tensor":
        """Cross-entropy of the tokens that are to be predicted."""
        return summed_loss(outputs.logits, batch["targets"])

    # Scores

    def keep(
        self, model: "nn.Module", batch: Mapping[str, "torch.Tensor"], *, thorough: bool
    ) -> dict[str, "torch.Tensor"]:
        kept = {"bytes": batch["token_bytes"], "tokens": (batch["targets"] != IGNORED).sum(dim=1)}
        if not self.new_rows:
            logits = model(**self.model_inputs(model, batch)).logits
            losses, right = token_scores(logits, batch["targets"])
            kept |= {"loss": losses.double().sum(dim=1), "right": right.sum(dim=1)}
        if thorough and not is_sharded(model):  # then not all ranks have as many samples
            kept |= self._write(model, batch)
        return kept

    def _write(self, model: Any, batch: Mapping[str, "torch.Tensor"]) -> dict[str, "torch.Tensor"]:
        """What the model goes on with after the prompts: tokens, and how many; -1 of no prompt."""
        import torch

        chosen = (batch["prompts"][:, 1] >= 0).nonzero()[:, 0]
        most, new_tokens = room(model, self.options.decoding.new_tokens)
        decoding = self.options.decoding.model_copy(update={"new_tokens": new_tokens})
        prompts = [
            batch["input_ids"][i, start:end][-most:]
            for i, (start, end) in zip(chosen, batch["prompts"][chosen].tolist(), strict=True)
        ]
        seeds = (
            {"greedy": None} if self.new_rows else {"greedy": None, "drawn": batch["units"][chosen]}
        )
        kept: dict[str, torch.Tensor] = {}
        for name, each in seeds.items():
            rows = torch.zeros((len(batch["input_ids"]), new_tokens), dtype=torch.int64)
            lengths = torch.full((len(rows),), -1)
            if prompts:
                inputs = left_padded(prompts, 0)  # any token will do: the mask hides it
                seed = None if each is None else each.tolist()
                found, counts = generate(model, inputs, decoding, seeds=seed)
                rows[chosen.cpu(), : found.shape[1]] = found.cpu()
                lengths[chosen.cpu()] = counts.cpu()
            kept |= {name: rows, f"{name}_tokens": lengths}
        return kept

    def statistics(self, kept: Arrays, split: "Split", units: Units, decode: Decode) -> Floats:
        """1, the cross-entropy, and the number of predicted tokens, of their bytes, and of those
        that were the likeliest."""
        columns = [kept[name] for name in ("loss", "tokens", "bytes", "right")]
        return np.stack([np.ones(len(units)), *columns], axis=1).astype(np.float64)

    def predictions(
        self, kept: Arrays, split: "Split", units: Units, decode: Decode
    ) -> Iterator[dict[str, Any]]:
        """The mean loss of a token, and of samples what was written."""
        for i, unit in enumerate(units):
            said: dict[str, Any] = {}
            if not self.new_rows:
                tokens = int(kept["tokens"][i])
                loss = round(float(kept["loss"][i]) / tokens, 6) if tokens else None
                said = {"loss": loss, "tokens": tokens}
            written = {
                name: _written(kept[name][i, : kept[f"{name}_tokens"][i]].tolist(), decode)
                for name in ("greedy", "drawn")
                if f"{name}_tokens" in kept and kept[f"{name}_tokens"][i] >= 0
            }
            if "greedy" in written:
                start, end = self._prompt(split, int(unit))
                prompt = decode(split.sequence("input_ids", int(unit))[start:end].tolist())
                said |= ({} if self.new_rows else {"prompt": prompt}) | written.pop("greedy")
            yield said | written

    def finish(self, kept: Arrays, split: "Split") -> tuple[Learned, dict[str, float]]:
        return {}, {}

    def sections(self, predictions: Sequence[Mapping[str, Any]], judged: str) -> list[Section]:
        return samples.sections(predictions, judged)


def _written(tokens: Sequence[int], decode: Decode) -> dict[str, Any]:
    return {"continuation": decode(tokens)} | samples.measures(tokens)
