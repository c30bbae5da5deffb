"""Every setting of a job, described where it is defined. Reading files is job_file.py's."""

from pathlib import PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from unfreeze.jobs.lengths import Length, Span
from unfreeze.jobs.metrics import TRAITS, Mode
from unfreeze.jobs.settings import Settings
from unfreeze.jobs.tasks import AnyTask

Precision = Literal["fp32", "bf16", "fp16"]
Schedule = Literal["constant", "linear", "cosine"]


def _short_for(key: str) -> BeforeValidator:
    """Lets a lone string stand for an object whose `key` it is."""
    return BeforeValidator(
        lambda value: {key: str(value)} if isinstance(value, str | PurePath) else value
    )


def _number_if_possible(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _number_or(other: str) -> Discriminator:
    """Tells a number from what else may stand in its place. Tags in <> are cut from messages."""
    return Discriminator(
        lambda value: "<number>" if isinstance(value, int | float) else f"<{other}>"
    )


class ModelConfig(Settings):
    """The pretrained model. A lone string is its path."""

    path: str
    """Folder, hub id, or s3:// uri."""
    revision: str | None = None
    """Branch, tag or commit of a hub model."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model. Off unless you know its author."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """One dropout rate for the whole model; null keeps the model's own rates."""


class SourceConfig(Settings):
    """Where rows come from. A lone string is its path."""

    path: str
    """File, glob, folder, s3:// uri, or hub id; jsonl, csv, parquet, arrow or txt."""
    name: str | None = None
    """Configuration of a hub data set."""
    split: str | None = None
    """Split of a hub data set; by default the one of the same name as the setting."""
    revision: str | None = None
    """Branch, tag or commit of a hub data set."""
    rows: Literal["document", "paragraph", "line"] | None = None
    """What a row of a text file (.txt) is: all of it (the default), a paragraph, or a line."""


Source = Annotated[SourceConfig, _short_for("path")]
Share = Annotated[float, Field(gt=0, lt=1)]
ShareOrSource = Annotated[
    Annotated[Share, Tag("<number>")] | Annotated[Source, Tag("<source>")],
    _number_or("source"),
    BeforeValidator(_number_if_possible),
]


class DataConfig(Settings):
    """The rows to learn from, to choose by, and to judge by."""

    train: Source
    """Rows to learn from."""
    validation: ShareOrSource = 0.1
    """Rows to choose by: a source, or a share of train (stratified, always the same rows)."""
    test: ShareOrSource | None = None
    """Rows to judge by, touched once at the end: a source, or a share of train."""
    general: Source | None = None
    """Rows of another kind, scored before and after training: they show what was forgotten."""
    columns: dict[str, str] = Field(default_factory=dict)
    """What the task reads from which column, such as {text: body}; else each by its own name."""
    max_length: Annotated[int, Field(ge=4)] | None = None
    """Longest input in tokens; what is longer is cut. By default 256, or the model's own limit."""
    allow_overlap: bool = False
    """Go on although texts of one split stand in another."""
    on_bad_row: Literal["stop", "skip"] = "stop"
    """Rows that do not fit: stop and name them, or leave them out and count them."""
    num_proc: Annotated[int, Field(ge=1)] | None = None
    """Processes that tokenize; by default one for each core of the machine."""

    @property
    def shares(self) -> dict[str, float]:
        """The splits that are shares of train."""
        given = {"validation": self.validation, "test": self.test}
        return {split: share for split, share in given.items() if isinstance(share, float)}


class Plateau(Settings):
    """Train until the validation metric stops getting better."""

    until: Literal["plateau"]
    """Says that this is a plateau."""
    patience: Annotated[int, Field(ge=1)] = 2
    """Validations without a new best before the phase ends."""
    at_most: Length = Span(6, "ep")
    """The phase ends here at the latest. Its schedule is made for this length."""


class PhaseConfig(Settings):
    """A span of the job during which one fixed set of blocks is trained."""

    train: Annotated[
        tuple[str, ...],
        BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
        Field(min_length=1),
    ]
    """Blocks to train: head, all, last:N (top N layers and the head), names or patterns."""
    length: Annotated[
        Annotated[Length, Tag("<length>")] | Annotated[Plateau, Tag("<plateau>")],
        Discriminator(
            lambda value: "<plateau>" if isinstance(value, dict | Plateau) else "<length>"
        ),
    ] = Field(alias="for", default=Span(1, "ep"))
    """How long: "2ep", "0.5ep", "100st", or {until: plateau, patience: 2, at_most: 6ep}."""
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Peak learning rate; by default 1e-3 when only the head is trained, else 3e-5."""
    schedule: Schedule | None = None
    """By default that of `training`."""
    warmup: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of the phase during which the rate rises; by default that of `training`."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The rate of each layer, as a share of the rate of the layer above it (ELECTRA: 0.8)."""

    @property
    def longest(self) -> Span:
        """The length, or the most that a plateau may take."""
        return self.length.at_most if isinstance(self.length, Plateau) else self.length


Beta = Annotated[float, Field(ge=0, lt=1)]


class TrainingConfig(Settings):
    """How all phases are trained."""

    batch_size: Annotated[int, Field(ge=1)] = 32
    """Examples per optimizer step, over all workers."""
    micro_batch_size: Annotated[int, Field(ge=1)] | None = None
    """Most examples that one worker handles at once; null: its whole share of the batch."""
    precision: Precision | None = None
    """fp32, bf16 or fp16; by default bf16 on accelerators that have it, else fp32."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW's, not for biases and norms (BERT, ELECTRA)."""
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """AdamW's."""
    eps: Annotated[float, Field(gt=0)] = 1e-6
    """AdamW's; 1e-6 and bias correction make small-data runs stable (Mosbach et al., 2021)."""
    warmup: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of each phase; by default 0.06 in the last phase and none before it."""
    schedule: Schedule | None = None
    """By default linear in the last phase and constant before it."""
    max_grad_norm: Annotated[float, Field(ge=0)] = 1.0
    """Gradients are clipped to this norm; 0 switches clipping off."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    metric: str | None = None
    """Validation metric that picks the best checkpoint and ends a plateau; each task has its own
    (classification: accuracy, f1, ...), and all have loss."""
    validate_every: Length = Span(1, "ep")
    """How often the validation rows are scored; always at the end of a phase too."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Decides the new head's weights, the order of examples, and dropout."""


Count = Annotated[int, Field(ge=1)]


def _in_order(limits: tuple[int, int]) -> tuple[int, int]:
    if limits[0] > limits[1]:
        raise ValueError(f"expected [fewest, most], got {list(limits)}")
    return limits


class ScaleConfig(Settings):
    """How many workers, and what each gets."""

    workers: (
        Annotated[
            Annotated[Count, Tag("<number>")]
            | Annotated[tuple[Count, Count], AfterValidator(_in_order), Tag("<range>")],
            Discriminator(
                lambda value: "<range>" if isinstance(value, list | tuple) else "<number>"
            ),
        ]
        | None
    ) = None
    """Training processes, or [fewest, most]: as many as the cluster has room for at the time. By
    default one for each accelerator of the cluster, else two."""
    gpus_per_worker: Annotated[float, Field(ge=0)] | None = None
    """By default 1 if the cluster has accelerators, else 0."""
    cpus_per_worker: Annotated[float, Field(gt=0)] = 1
    """CPU cores for each worker."""
    max_failures: Annotated[int, Field(ge=0)] = 3
    """How often in a row workers may die without getting further before the job gives up."""

    @property
    def range(self) -> tuple[int, int] | None:
        """Fewest and most workers, if the job says so."""
        return self.workers if isinstance(self.workers, tuple) else None


class CheckpointsConfig(Settings):
    """When checkpoints are written, and which are kept."""

    every: Length = Span(1, "ep")
    """How often; always at the end of a phase and at a new best too."""
    keep_latest: Annotated[int, Field(ge=1)] = 1
    """Newest checkpoints to keep."""
    keep_best: Annotated[int, Field(ge=1)] = 1
    """Best checkpoints to keep, by training.metric."""


class StorageConfig(Settings):
    """Where runs are kept. A lone string is its uri."""

    uri: str = "runs"
    """s3://bucket/prefix, or a folder that all workers see."""
    endpoint: str | None = None
    """S3-compatible server: its url, or "embedded" for one that is started here; null: AWS."""


class JobConfig(Settings):
    """One fine-tuning."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    """Identity of the job in the store; by default the file's name."""
    model: Annotated[ModelConfig, _short_for("path")]
    """The pretrained model."""
    task: AnyTask
    """What is learned."""
    data: DataConfig
    """The rows."""
    phases: Annotated[tuple[PhaseConfig, ...], Field(min_length=1)]
    """What is trained, for how long, at which rate. By default the head, then everything."""
    training: TrainingConfig = TrainingConfig()
    """How."""
    deepspeed: Annotated[
        dict[str, Any], BeforeValidator(lambda v: {"config": v} if isinstance(v, str) else v)
    ] = Field(default_factory=lambda: {"zero_stage": 2})
    """{zero_stage: 0-3}, any other DeepSpeed settings, or the path of a DeepSpeed config file."""
    scale: ScaleConfig = ScaleConfig()
    """On what."""
    checkpoints: CheckpointsConfig = CheckpointsConfig()
    """When to checkpoint."""
    storage: Annotated[StorageConfig, _short_for("uri")] = StorageConfig()
    """Where to."""

    @model_validator(mode="after")
    def _write_out_the_metric(self) -> Self:
        if self.training.metric is None:
            training = self.training.model_copy(update={"metric": self.task.metric_names[0]})
            object.__setattr__(self, "training", training)
        return self

    @property
    def metric(self) -> str:
        """The metric that picks the best."""
        assert self.training.metric, "it is written out above"
        return self.training.metric

    @property
    def mode(self) -> Mode:
        """Whether that metric should be high ("max") or low ("min")."""
        return TRAITS[self.metric].mode

    @property
    def columns(self) -> dict[str, str]:
        """Roles to the columns that are read, in a fixed order."""
        named = {role.name: role.column for role in self.task.roles} | self.data.columns
        return {role: column for role, column in named.items() if column is not None}

    def to_data(self) -> dict[str, Any]:
        """As plain data, by the names that people write."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
