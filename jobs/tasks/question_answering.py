"""Extractive question answering: the words of a context that answer a question, or none."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from unfreeze.jobs.data.batches import padded
from unfreeze.jobs.data.token_store import Examples
from unfreeze.jobs.metrics import Floats, Metric, mean_of, ratio_of
from unfreeze.jobs.tasks.answers import answers_of, best_threshold, compared, located
from unfreeze.jobs.tasks.answers_shown import answers_shown
from unfreeze.jobs.tasks.spans import Guess, Span, guesses
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
from unfreeze.jobs.tasks.windows import CHAR_ENDS, CHAR_STARTS, LABELS, NULLS, WindowEncoder

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedTokenizerBase

    from unfreeze.jobs.data.token_store import Split

THRESHOLD = "null_score_threshold"
ANSWERABLE = "answerable"
BEST = 3  # of the spans, in a prediction
_ROW, _LOSS, _WINDOWS, _EXACT, _F1, _WITH, _F1_WITH, _WITHOUT, _RIGHT_WITHOUT = range(9)


class QuestionAnsweringOptions(TaskOptions):
    """The words of a context that answer a question."""

    name: Literal["question-answering"] = "question-answering"
    """Which task."""
    stride: Annotated[int, Field(ge=0)] | None = None
    """Tokens that a window of a long context shares with the one before: an answer of up to one
    token more is whole in one of them. By default 128, but at most a third of data.max_length."""
    n_best: Annotated[int, Field(ge=1)] = 20
    """Spans of a context that an answer is chosen from; its probability is that among them."""
    max_answer_length: Annotated[int, Field(ge=1)] = 30
    """Longest answer that is given, in tokens."""

    not_in_examples: ClassVar[frozenset[str]] = frozenset({"n_best", "max_answer_length"})

    @property
    def roles(self) -> tuple[Role, ...]:
        return (
            Role("question", column="question"),
            Role("context", column="context"),
            Role("answers", "answers", column="answers", is_target=True),
        )

    @property
    def metric_names(self) -> tuple[str, ...]:
        return "f1", "exact_match", "loss"


class QuestionAnswering(Task):
    """The words of a context that answer a question."""

    auto_model = "AutoModelForQuestionAnswering"

    def __init__(self, options: QuestionAnsweringOptions, learned: Learned) -> None:
        self.options, self.learned = options, learned

    def look(self, row: Row) -> Seen:
        for role in ("question", "context"):
            if not (row[role] or "").strip():
                raise BadRow(role, "expected text, found none")
        if "answers" in row:
            located(answers_of(row["answers"]), row["context"])
        return Seen((row["question"], row["context"]), group=row["context"])

    def learn(self, labels: Collection[str], declared: Sequence[str] | None) -> Learned:
        return {}

    def encode(
        self, rows: Sequence[Row], tokenizer: "PreTrainedTokenizerBase", max_length: int
    ) -> Examples:
        """One example for each window, trained on the first answer (as in BERT's program).

        A row is cut off if its question is, or if no window has that answer whole.
        """
        sequences: dict[str, Any] = {}
        values: dict[str, Any] = {NULLS: []}
        row_of: list[int] = []
        cut_off = 0
        encoder = WindowEncoder(tokenizer, max_length, self.options.stride)
        contexts = [row["context"] for row in rows]
        every = encoder.encode([row["question"].strip() for row in rows], contexts)
        for number, (row, windowed) in enumerate(zip(rows, every, strict=True)):
            for name, parts in windowed.sequences.items():
                sequences.setdefault(name, []).extend(parts)
            values[NULLS] += windowed.nulls
            row_of += [number] * len(windowed.nulls)
            is_cut = windowed.question_is_cut
            if "answers" in row:
                place = located(answers_of(row["answers"]), row["context"])
                labels, is_whole = windowed.labels(place)
                values.setdefault(LABELS, []).extend(labels)
                values.setdefault(ANSWERABLE, []).extend([place is not None] * len(labels))
                is_cut |= place is not None and not is_whole
            cut_off += is_cut
        return Examples(sequences, values, row_of, cut_off=cut_off)

    def pack(self, max_length: int) -> int | None:
        return None

    def configuration(self) -> dict[str, Any]:
        """Two scores for each token, whatever the model had before; and what was learned."""
        return {"num_labels": 2, **self.learned}

    def collate(self, split: "Split", examples: Units, pad_id: int) -> Arrays:
        fill = {"input_ids": pad_id, "token_type_ids": 0, CHAR_STARTS: 0, CHAR_ENDS: 0}
        batch = padded(split, examples, fill)
        if not len(examples):  # the made-up one has two tokens
            batch |= {name: 0 * batch[name] for name in (NULLS, LABELS) if name in batch}
        return batch

    def model_inputs(
        self, model: "nn.Module", batch: Mapping[str, "torch.Tensor"]
    ) -> dict[str, Any]:
        names = ("input_ids", "attention_mask", "token_type_ids")
        return {name: batch[name] for name in names if name in batch}

    def loss(self, outputs: Any, batch: Mapping[str, "torch.Tensor"]) -> "torch.Tensor":
        """For each window the mean of two cross-entropies, of the first token and of the last.

        Over the tokens that may be a part of an answer, and the null. Hugging Face's models take
        the padding too, and so their loss depends on what else is in the batch.
        """
        from torch.nn.functional import cross_entropy

        allowed = batch[CHAR_ENDS] > batch[CHAR_STARTS]
        allowed = allowed.scatter(1, batch[NULLS][:, None], True)
        starts, ends = (
            cross_entropy(logits.float().masked_fill(~allowed, -math.inf), labels, reduction="sum")
            for logits, labels in zip(
                (outputs.start_logits, outputs.end_logits), batch[LABELS].unbind(1), strict=True
            )
        )
        return (starts + ends) / 2

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (
            mean_of("f1", _F1),
            mean_of("exact_match", _EXACT),
            ratio_of("has_answer_f1", _F1_WITH, _WITH),
            ratio_of("no_answer_accuracy", _RIGHT_WITHOUT, _WITHOUT),
            ratio_of("loss", _LOSS, _WINDOWS),
        )

    def keep(
        self, model: "nn.Module", batch: Mapping[str, "torch.Tensor"], *, thorough: bool
    ) -> dict[str, "torch.Tensor"]:
        """[examples, tokens, 2]: the scores of each token as the first and as the last."""
        import torch

        outputs = model(**self.model_inputs(model, batch))
        return {"logits": torch.stack([outputs.start_logits, outputs.end_logits], -1).float()}

    def _guesses(
        self, kept: Arrays, split: "Split", units: Units, count: int = 1
    ) -> Iterator[Guess]:
        longest = self.options.max_answer_length
        return guesses(kept["logits"], split, units, longest=longest, count=count)

    def _threshold(self, split: "Split") -> float:
        """The learned one. As long as there is none it is 0, between the two; but where every row
        has an answer, "no answer" is never said."""
        found = self.learned.get(THRESHOLD, None if _all_have_answers(split) else 0.0)
        return math.inf if found is None else float(found)

    def statistics(self, kept: Arrays, split: "Split", units: Units, decode: Decode) -> Floats:
        """1, the loss of all windows, how many there are, exact match and F1; then for rows with
        an answer 1 and F1, and for rows without one 1 and whether that is what was said."""
        table = np.zeros((len(units), 9))
        threshold, said = self._threshold(split), self._guesses(kept, split, units)
        for line, row, guess in zip(table, split.rows(units), said, strict=True):
            texts = _texts(row)
            exact, f1 = compared(_words(guess.answer(threshold), row), texts)
            line[: _F1 + 1] = 1, guess.loss, guess.windows, exact, f1
            line[[_WITH, _F1_WITH] if texts else [_WITHOUT, _RIGHT_WITHOUT]] = 1, f1
        return table

    def predictions(
        self, kept: Arrays, split: "Split", units: Units, decode: Decode
    ) -> Iterator[dict[str, Any]]:
        """The answer, "" for none, with its characters of the context; its probability among the
        best spans and, where that may be said, no answer; and the first of those spans."""
        threshold = self._threshold(split)
        said = self._guesses(kept, split, units, self.options.n_best)
        for row, guess in zip(split.rows(units), said, strict=True):
            choices: list[Span | None] = [*guess.spans]
            scores = [span[0] for span in guess.spans]
            if threshold < math.inf or not choices:
                choices, scores = [*choices, None], [*scores, guess.null]
            shares = np.exp(np.array(scores) - max(scores))
            listed = [
                {
                    "text": _words(span, row),
                    "score": round(float(share), 6),
                    "start": span and span[1],
                    "end": span and span[2],
                }
                for span, share in zip(choices, shares / shares.sum(), strict=True)
            ]
            best = listed[0 if guess.answer(threshold) else -1]
            prediction: dict[str, Any] = {"predicted": best["text"]}
            prediction |= {key: best[key] for key in ("score", "start", "end")}
            prediction["n_best"] = listed[: min(BEST, len(guess.spans))]
            if "answers" in row:
                exact, f1 = compared(_words(guess.answer(threshold), row), _texts(row))
                prediction |= {"exact_match": exact, "f1": round(f1, 6)}
            yield prediction

    def finish(self, kept: Arrays, split: "Split") -> tuple[Learned, dict[str, float]]:
        """The threshold for "no answer" with the highest F1; None if every row has an answer."""
        if _all_have_answers(split):
            return {THRESHOLD: None}, {}
        units = np.arange(split.units)
        rows, said = split.rows(units), self._guesses(kept, split, units)
        found = [
            (
                guess.margin,
                compared(_words(guess.answer(math.inf), row), _texts(row))[1],
                compared("", _texts(row))[1],
            )
            for row, guess in zip(rows, said, strict=True)
        ]
        return {THRESHOLD: best_threshold(*np.array(found).T)}, {}

    def sections(self, predictions: Sequence[Mapping[str, Any]], judged: str) -> list[Section]:
        """Rows with and without an answer, and the wrong answers that were most certain."""
        return answers_shown(predictions, judged)


def _words(span: Span | None, row: Row) -> str:
    text: str = row["context"][span[1] : span[2]] if span else ""
    return text


def _texts(row: Row) -> list[str]:
    return [answer.text for answer in answers_of(row["answers"])]


def _all_have_answers(split: "Split") -> bool:
    return ANSWERABLE in split.values and bool(split.values[ANSWERABLE].all())
