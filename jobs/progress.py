"""All that must survive a restart, beside the weights and moments."""

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from unfreeze.jobs.metrics import Mode
from unfreeze.jobs.phases import Phase


@dataclass
class Progress:
    """Where a job is. The position in the data follows from `step`, random draws too."""

    step: int = 0
    """Optimizer steps taken."""
    phase: int = 0
    """Index of the phase that is being trained."""
    phase_start: int = 0
    """Step at which it began."""
    phase_seconds: float = 0.0
    """Time spent training in it, over all attempts."""
    validated: tuple[int, float] | None = None
    """Step and metric of the newest validation."""
    best_metric: float | None = None
    """Best validation metric so far."""
    best_step: int | None = None
    """Step at which it was reached."""
    phase_best: float | None = None
    """Best validation metric within the phase."""
    stale: int = 0
    """Validations of the phase since its best."""
    tokens: int = 0
    """Tokens trained on, padding not counted."""
    phases: list[dict[str, Any]] = field(default_factory=list)
    """What came of the phases that have ended."""
    shared_steps: int = 0
    """Steps at the beginning that were not trained here but taken over from another run."""
    shared_seconds: float = 0.0
    """What training those steps took where they were trained, without validations."""
    resumed_from: list[int] = field(default_factory=list)
    """Steps from which the job went on after a stop."""

    @property
    def step_in_phase(self) -> int:
        return self.step - self.phase_start

    @property
    def metric_here(self) -> float | None:
        """The validation metric at this very step."""
        return self.validated[1] if self.validated and self.validated[0] == self.step else None

    def phase_is_over(self, phase: Phase) -> bool:
        """Whether the phase has run its length, or has stopped getting better."""
        return self.step_in_phase >= phase.max_steps or self.is_on_plateau(phase)

    def is_on_plateau(self, phase: Phase) -> bool:
        return phase.patience is not None and self.stale >= phase.patience

    def enter_next_phase(self) -> None:
        self.phase += 1
        self.phase_start, self.phase_seconds = self.step, 0.0
        self.phase_best, self.stale = None, 0

    def note_validation(self, metric: float, mode: Mode) -> bool:
        """Takes in a validation metric; whether it is the best so far."""
        self.validated = (self.step, metric)
        if math.isnan(metric):  # compares as better than nothing, and nothing as better than it
            self.stale += 1
            return False
        if self.phase_best is None or _better(metric, self.phase_best, mode):
            self.phase_best, self.stale = metric, 0
        else:
            self.stale += 1
        if self.best_metric is not None and not _better(metric, self.best_metric, mode):
            return False
        self.best_metric, self.best_step = metric, self.step
        return True

    def become(self, other: "Progress") -> None:
        """Takes over all of another's."""
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(other, name))

    def note_shared(self) -> None:
        """All that was trained so far was trained by others."""
        self.shared_steps = self.step
        self.shared_seconds = self.phase_seconds + sum(phase["seconds"] for phase in self.phases)
        self.resumed_from = []

    def to_data(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> "Progress":
        return replace(cls(), **{k: v for k, v in data.items() if k in cls.__dataclass_fields__})


def _better(metric: float, than: float, mode: Mode) -> bool:
    return metric > than if mode == "max" else metric < than
