"""What a task is: all in a fine-tuning that depends on what is learned.

A task is one file here and one line in `__init__.py`. Nothing else asks which task it is. The file
holds two things: the options that people may set under `task:`, and the task itself, which turns
rows into examples, a model's output into a loss, and what it says into metrics and predictions.

    rows --look--> checked, split --encode--> examples on disk --collate--> a batch --> the model
    the model's output --loss--> a step
                       --keep--> what is kept of each example --statistics--> metrics, intervals
                                                              --predictions--> what people read
"""

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from unfreeze.jobs.data.token_store import Examples
from unfreeze.jobs.metrics import Floats, Metric
from unfreeze.jobs.settings import Settings

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedTokenizerBase

    from unfreeze.jobs.data.token_store import Split

Row = Mapping[str, Any]
"""A row by roles; None, or no entry, where it has nothing."""
Learned = dict[str, Any]
"""What a task takes from the training rows, as JSON: the names of the labels and the like."""
Arrays = dict[str, NDArray[Any]]
Units = NDArray[np.int64]
"""Numbers of the things that are scored one by one: rows, or blocks of a running text."""
Decode = Callable[[Sequence[int]], str]
"""Turns tokens into text, without the special ones."""

RoleKind = Literal["text", "label", "labels", "number", "words", "answers", "messages"]


@dataclass(frozen=True, slots=True)
class Role:
    """A column that a task reads."""

    name: str
    kind: RoleKind = "text"
    column: str | None = None
    """What the column is called unless data.columns says otherwise; None: it is optional, and
    read only if data.columns names it."""
    is_target: bool = False
    """It holds what is to be predicted: new rows do not have it."""


class TaskOptions(Settings):
    """What people may set under `task:`. A lone name is the task with its usual options."""

    name: str
    """Which task."""
    usual_phases: ClassVar[tuple[dict[str, str], ...]] = (
        {"train": "head", "for": "1ep"},
        {"train": "all", "for": "3ep"},
    )
    """The phases of a job that names none: the new head, then everything."""
    has_new_head: ClassVar[bool] = True
    """The head is not pretrained, so alone it is trained at the high rate of new weights."""
    not_in_examples: ClassVar[frozenset[str]] = frozenset()
    """Options that leave the examples as they are: with others, the same examples are used."""

    @property
    def of_examples(self) -> dict[str, Any]:
        """The options that decide what the examples are, and what is learned from their rows."""
        return self.model_dump(mode="json", exclude=set(self.not_in_examples))

    @property
    def in_words(self) -> str:
        """The task, with the options that decide which columns it has."""
        return self.name

    @property
    @abstractmethod
    def roles(self) -> tuple[Role, ...]:
        """The columns that are read."""

    @property
    def lengths(self) -> Mapping[str, int]:
        """Settings that are lengths which the model must be able to take, beside max_length."""
        return {}

    @property
    @abstractmethod
    def metric_names(self) -> tuple[str, ...]:
        """Metrics that may choose the best checkpoint; the first does if nobody says."""

    def labels_in(self, declared: Sequence[str]) -> Sequence[str]:
        """The labels, as `look` tells them, that there are by the names that a column declares."""
        return declared

    def conclude(self, counts: Mapping[str, int]) -> tuple["Learned", list[str]]:
        """From the sums of `Seen.counts` over a source: what is learned if it is the one to train
        on, and sentences that its owner should read."""
        return {}, []


class BadRow(ValueError):
    """A row does not fit."""

    def __init__(self, role: str, problem: str) -> None:
        """`problem`: what was expected and what is there, such as "expected text, got 3"."""
        super().__init__(role, problem)
        self.role, self.problem = role, problem


@dataclass(frozen=True, slots=True)
class Seen:
    """What the checks see of a row."""

    texts: tuple[str, ...]
    """What makes it the same row as another. Never blank."""
    labels: tuple[str, ...] = ()
    """Names of its labels, which shares are stratified by and whose balance is looked at."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Numbers that are summed up over the rows of a source, for `TaskOptions.conclude`."""
    group: str | None = None
    """A text that rows share which must stay together when shares are cut, such as the context of
    questions. Rows of equal `texts` have the same."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """Counts with a row and a column for each label."""

    labels: Sequence[str]
    counts: Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Table:
    """Cells are numbers or words; columns of numbers are set to the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Texts:
    """Things to read."""

    items: Sequence[tuple[str, str]]
    """What is said of each, the first of it in bold up to a semicolon; and the text itself. A line
    that begins with "> " is set apart."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report about the predictions."""

    title: str
    note: str
    """A sentence under the title."""
    body: Matrix | Table | Texts | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """What a linear model is to say of a frozen trunk's features, to compare pretrained models."""

    kind: Literal["class", "labels", "number"]
    truth: NDArray[Any]
    """For each place: the number of its class; [places, labels] of 0 and 1; or a number."""
    classes: int = 1
    """How many logits a place has."""
    at: tuple[Units, Units] | None = None
    """The example of each place, counted from 0, and the token in it; None: each example is one."""


class Task(Protocol):
    """A task with its options, and with what it has learned from the training rows.

    Tasks are made by `open_task` and hold nothing else, so that any worker can have one. A task
    inherits from here what it does like most others: the members that have a value or a body.
    """

    options: TaskOptions
    learned: Learned
    new_rows: bool = False
    """The rows are new ones, to be predicted (`predict` says so): none is scored."""
    compares_before: bool = False
    """What the pretrained model scores and says belongs into the result."""

    @property
    def unit_name(self) -> str:
        """What people call units, where they are counted."""
        return "rows"

    @property
    def known_labels(self) -> Collection[str] | None:
        """The labels that were learned, as `look` tells them; None: any will do."""
        labels: list[str] | None = self.learned.get("labels")
        return labels

    # Rows and examples

    def look(self, row: Row) -> Seen:
        """Checks a row. Raises BadRow."""

    def learn(self, labels: Collection[str], declared: Sequence[str] | None) -> Learned:
        """From the labels of the training rows; `declared` are those that the column names."""

    def encode(
        self, rows: Sequence[Row], tokenizer: "PreTrainedTokenizerBase", max_length: int
    ) -> Examples:
        """Rows that `look` let pass, as examples. Rows without targets are rows to predict."""

    def pack(self, max_length: int) -> int | None:
        """Tokens of each example, if examples are cut out of the stream of all rows; else None."""

    # The model

    auto_model: str
    """The class of transformers that has the pretrained trunk and the head."""

    def configuration(self) -> dict[str, Any]:
        """Changes to the model's configuration; none if nothing was learned yet."""

    def check_model(self, model: "nn.Module") -> list[str]:
        """Looks at a model before it is used, on any rank; what people should know about it."""
        return []

    def collate(self, split: "Split", examples: Units, pad_id: int) -> Arrays:
        """A batch; see `batches.padded`. Made-up contents for no examples."""

    def model_inputs(
        self, model: "nn.Module", batch: Mapping[str, "torch.Tensor"]
    ) -> dict[str, Any]:
        """What the model takes, from a batch. `model` is asked what it needs, and not run."""

    def tokens(self, batch: Mapping[str, "torch.Tensor"]) -> "torch.Tensor":
        """How many tokens a step on the batch is said to have: all that are no padding."""
        return batch["attention_mask"].sum()

    def loss(self, outputs: Any, batch: Mapping[str, "torch.Tensor"]) -> "torch.Tensor":
        """Summed over its terms, in fp32."""

    # Scores

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All that it measures, in the order in which people want to see it."""

    def keep(
        self, model: "nn.Module", batch: Mapping[str, "torch.Tensor"], *, thorough: bool
    ) -> dict[str, "torch.Tensor"]:
        """Runs the model; what is kept for each example, [examples, ...].

        `thorough` after training, and where the metric needs it: then it may take its time.
        """

    def statistics(self, kept: Arrays, split: "Split", units: Units, decode: Decode) -> Floats:
        """[len(units), k], the first of which is 1; `kept` has the examples of the units."""

    def predictions(
        self,
        kept: Arrays,
        split: "Split",
        units: Units,
        decode: Decode,
    ) -> Iterator[dict[str, Any]]:
        """For each unit what the model says, in JSON's terms."""

    def finish(self, kept: Arrays, split: "Split") -> tuple[Learned, dict[str, float]]:
        """After training, from the validation rows: more that is learned, and numbers about it."""

    def further_scores(self, kept: Arrays, split: "Split") -> dict[str, float]:
        """Numbers about all rows of a split that are no functions of sums over its units, such as
        areas under curves. Asked after training, of the task with all that it has learned."""
        return {}

    # Comparing pretrained models

    def probe(self, split: "Split", units: Units) -> Probe | None:
        """What a linear model is asked about the examples of the units; None: there is no such."""
        return None

    def keep_probed(self, logits: Floats, split: "Split", units: Units) -> Arrays:
        """What `keep` keeps of a model with these logits at the places of `probe`: [places, k].
        Asked only of tasks that have a probe."""
        raise NotImplementedError

    def sections(self, predictions: Sequence[Mapping[str, Any]], judged: str) -> list[Section]:
        """What the report shows of the predictions on the rows of the split `judged`."""
