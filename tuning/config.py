"""Every setting of a search, described where it is defined. Reading files is search_file.py's."""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    model_validator,
)

from unfreeze.jobs.lengths import Length, Span
from unfreeze.jobs.metrics import Mode
from unfreeze.jobs.settings import Settings

Searcher = Literal["random", "grid", "optuna"]
Kind = Literal["choice", "uniform", "loguniform", "randint"]
KINDS: tuple[Kind, ...] = ("choice", "uniform", "loguniform", "randint")

_FLOAT_WITHOUT_POINT = re.compile(r"[-+]?\d+[eE][-+]?\d+")


def _floats_without_point(value: Any) -> Any:
    """YAML reads 1e-5 as text; a job setting would take it, but a table would show text."""
    if not isinstance(value, list | tuple):
        return value
    return [
        float(part) if isinstance(part, str) and _FLOAT_WITHOUT_POINT.fullmatch(part) else part
        for part in value
    ]


Values = Annotated[
    tuple[JsonValue, ...], BeforeValidator(_floats_without_point), Field(min_length=1)
]
OneOrMoreValues = Annotated[
    Values,
    BeforeValidator(
        lambda value: value if isinstance(value, list | tuple) else [value],
        json_schema_input_type=JsonValue,
    ),
]


class Dimension(Settings):
    """What one setting of the job may be: exactly one of choice, uniform, loguniform, randint."""

    choice: Values | None = None
    """Any of these values: numbers, texts, lists, mappings."""
    uniform: tuple[float, float] | None = None
    """[low, high]: any number between them."""
    loguniform: tuple[float, float] | None = None
    """[low, high], 0 < low: any number between them, each power of ten equally likely."""
    randint: tuple[int, int] | None = None
    """[low, high]: a whole number; low is possible, high is not (as in Ray Tune and numpy)."""
    unit: Literal["ep", "st"] | None = None
    """Makes a number a length: 2 with ep is "2ep". st goes with randint only.

    Fractions of an epoch are rounded to two decimals.
    """
    when: dict[str, OneOrMoreValues] | None = None
    """{other.setting: value or list of values}: drawn only when the other settings of the space
    are drawn with one of these values. Otherwise the job's own setting stands. A value that is
    a list itself stands in a list: [[head, layer.11]]."""

    @model_validator(mode="before")
    @classmethod
    def _is_mapping(cls, value: Any) -> Any:
        if not isinstance(value, dict | Dimension):
            got = type(value).__name__
            kinds = ", ".join(KINDS)
            raise ValueError(f"expected one of {kinds}, as in {{choice: [a, b]}}, got {got}")
        return value

    @model_validator(mode="after")
    def _is_possible(self) -> "Dimension":
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none"
            raise ValueError(f"expected exactly one of {', '.join(KINDS)}, got {got}")
        if self.kind != "choice":
            low, high = self.bounds
            if not low < high:
                raise ValueError(f"{self.kind}: expected [low, high] with low < high")
            if self.kind == "loguniform" and low <= 0:
                raise ValueError(f"loguniform: expected low > 0, got {low}")
            if self.unit == "st" and self.kind != "randint":
                raise ValueError("unit: steps come whole, so st goes with randint only")
        elif self.unit:
            raise ValueError('unit: goes with numbers; write the unit into the values, as in "2ep"')
        return self

    @property
    def kind(self) -> Kind:
        """Which of the four it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def bounds(self) -> tuple[float, float]:
        """[low, high] of the numeric kinds."""
        bounds = self.uniform or self.loguniform or self.randint
        assert bounds is not None, "a choice has no bounds"
        return bounds


def _more_than_nothing(span: Span) -> Span:
    if not span.value:
        raise ValueError("a trial needs some training before it can be judged")
    return span


class SchedulerConfig(Settings):
    """Which trials are stopped early. A lone string is its kind."""

    kind: Literal["asha", "median", "none"] = "asha"
    """asha: the worse part of the trials at each rung (Li et al., 2020); median: those below the
    median of the others' means (Golovin et al., 2017); none: every trial runs its length."""
    grace: Annotated[Length, AfterValidator(_more_than_nothing)] = Span(1, "ep")
    """No trial is stopped before this much training since unfreezing."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """asha keeps one trial in so many at each rung; rungs are so many times apart."""


class FinalistsConfig(Settings):
    """The best trials are run again with other seeds before one of them is believed."""

    top: Annotated[int, Field(ge=1)] = 3
    """How many trials are run again."""
    seeds: Annotated[int, Field(ge=1)] = 3
    """How many seeds for each of them."""


class LoggingConfig(Settings):
    """What other programs show trials while they run."""

    tensorboard: str | None = None
    """Folder for TensorBoard."""
    mlflow: str | None = None
    """Tracking uri of an MLflow server."""


def _some_dimensions(space: dict[str, Dimension]) -> dict[str, Dimension]:
    if not space:
        raise ValueError("name at least one setting to search over")
    return space


class SearchConfig(Settings):
    """Many fine-tunings that differ in a few settings."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    """Identity of the search in the store; by default the file's name."""
    job: dict[str, Any]
    """The job that trials vary: the path of its file (relative to this file), or its settings."""
    space: Annotated[dict[str, Dimension], AfterValidator(_some_dimensions)]
    """What trials differ in, by dotted key of the job: `phases.1.learning_rate`."""
    metric: Annotated[
        str | None,
        BeforeValidator(lambda v: v.removeprefix("validation/") if isinstance(v, str) else v),
    ] = None
    """What trials are compared by, on the validation rows: accuracy or validation/accuracy.
    By default the job's training.metric; if given, it is the job's training.metric."""
    mode: Mode | None = None
    """max or min; follows from the metric, so it is only checked."""
    trials: Annotated[int, Field(ge=1)] | None = None
    """How many, at most; by default 24, or the whole grid."""
    searcher: Searcher = "random"
    """What is tried next: random; grid, every combination; optuna, what went well (TPE)."""
    scheduler: Annotated[
        SchedulerConfig, BeforeValidator(lambda v: {"kind": v} if isinstance(v, str) else v)
    ] = SchedulerConfig()
    """Which trials are stopped early."""
    lanes: Annotated[
        Annotated[int, Field(ge=1), Tag("<number>")] | Annotated[Literal["auto"], Tag("<auto>")],
        Discriminator(lambda value: "<number>" if isinstance(value, int | float) else "<auto>"),
    ] = "auto"
    """Worker groups that serve trials side by side; auto: as many as the cluster has room for."""
    sharing: bool = True
    """Compute what several trials begin with only once. Same metrics either way."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the draws from the space. That of the training is the job's."""
    max_failures: Annotated[int, Field(ge=0)] = 3
    """How often one trial is tried again when its lane dies."""
    checkpoint_every_s: Annotated[float, Field(ge=0)] = 60
    """A running trial writes a checkpoint at most so often, in seconds."""
    finalists: FinalistsConfig = FinalistsConfig()
    """What the best trials must pass."""
    logging: LoggingConfig = LoggingConfig()
    """Where to log trials besides the run's own files."""

    def to_data(self) -> dict[str, Any]:
        """As plain data, by the names that people write."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
