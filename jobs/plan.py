"""What a job would do, without doing it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unfreeze.jobs.config import JobConfig

if TYPE_CHECKING:  # torch is behind them, which takes seconds to import
    from unfreeze.jobs.inputs import Inputs
    from unfreeze.jobs.phases import Phase


@dataclass(frozen=True)
class JobPlan:
    """Blocks, phases and parameter counts of a job."""

    sizes: dict[str, int]
    """Parameters of each block, bottom to top."""
    phases: list["Phase"]
    steps_per_epoch: int
    rows: dict[str, int]
    """How much there is of each split."""
    unit_name: str
    """What that is called."""
    warnings: list[str]
    """What the checks of the data found, short of mistakes."""
    notes: list[str] = field(default_factory=list)
    """What the names of the phases do not say."""

    def trained_parameters(self, phase: "Phase") -> int:
        return sum(self.sizes[block] for block in phase.blocks)

    def to_data(self) -> dict[str, Any]:
        return {
            "blocks": self.sizes,
            "parameters": sum(self.sizes.values()),
            "steps_per_epoch": self.steps_per_epoch,
            "rows": self.rows,
            "unit_name": self.unit_name,
            "warnings": self.warnings,
            "notes": self.notes,
            "phases": [
                {
                    "index": phase.index,
                    "name": phase.name,
                    "blocks": list(phase.blocks),
                    "trained_parameters": self.trained_parameters(phase),
                    "max_steps": phase.max_steps,
                    "patience": phase.patience,
                    "learning_rate": phase.learning_rate,
                    "schedule": phase.schedule,
                    "warmup_steps": phase.warmup_steps,
                    "layer_decay": phase.layer_decay,
                }
                for phase in self.phases
            ],
        }


def plan_job(job: JobConfig, inputs: "Inputs | None" = None) -> JobPlan:
    """Reads the data and the model's configuration, not its weights. Raises UserMistake."""
    from unfreeze.jobs.inputs import gather_inputs
    from unfreeze.jobs.phases import frozen_ties, plan_phases

    inputs = inputs or gather_inputs(job)
    phases = plan_phases(job, inputs.model_plan.names, inputs.steps_per_epoch)
    return JobPlan(
        sizes=inputs.model_plan.sizes,
        phases=phases,
        steps_per_epoch=inputs.steps_per_epoch,
        **inputs.counted,
        warnings=inputs.data.warnings,
        notes=frozen_ties(phases, inputs.model_plan.blocks),
    )
