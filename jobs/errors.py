"""What can go wrong in a job.

JobError
 |- UserMistake          the job file, its data or its files are wrong: exit code 2
 |   |- ConfigError      settings, all mistakes at once
 |   |- DataError        findings in the data, all at once
 |   |- ModelError       the model cannot be loaded, or has no stack of equal layers
 |   `- CheckpointMismatch   the job file no longer fits the run that it would resume
 |- LossNotFinite        training diverged; the weights were not updated with it
 |- RunStopped           whoever follows the run wants no more of it
 |- NodeLeaving          the workers leave after a notice, with a checkpoint in the store
 |- OutOfMemory          workers ran out of memory again, with half the micro-batch
 |- CheckpointNotKept    the last checkpoint of the job could not be written
 |- TrainingFailed       workers failed for good, or more often than the job allows
 `- PredictionFailed     workers died again and again over the same rows
"""

from collections.abc import Sequence


class JobError(Exception):
    """Something went wrong in a job."""


class UserMistake(JobError, ValueError):
    """The person who wrote the job can mend it. One line for each mistake."""

    def __init__(self, mistakes: Sequence[str] | str) -> None:
        self.mistakes = [mistakes] if isinstance(mistakes, str) else list(mistakes)
        super().__init__(self.mistakes)

    def __str__(self) -> str:
        return "\n".join(self.mistakes)


class ConfigError(UserMistake):
    """The job file has mistakes."""


class DataError(UserMistake):
    """The data cannot be trained on as they are."""


class ModelError(UserMistake):
    """The model cannot be used."""


class CheckpointMismatch(UserMistake):
    """A run of this name exists, and was made with settings that cannot be continued."""


class LossNotFinite(JobError):
    """The loss is not a number, or infinite. The weights were not updated with it."""

    def __init__(self, value: float, step: int = -1, phase: str = "") -> None:
        super().__init__(value, step, phase)
        self.value, self.step, self.phase = value, step, phase

    def __str__(self) -> str:
        return (
            f"the loss is {self.value} at step {self.step} (phase {self.phase}); the model was not "
            "updated with it. Lower the learning rate, add warmup, or use fp32 or bf16"
        )


class RunStopped(JobError):
    """Whoever follows the run wants no more of it. Raised on all ranks after the same step."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step

    def __str__(self) -> str:
        return f"stopped after step {self.step}"


class NodeLeaving(JobError):
    """The workers leave after a notice. Raised on all ranks, with this step in the store."""

    def __init__(self, step: int, asked: bool = False) -> None:
        """`asked`: the driver wanted it; else a machine goes away."""
        super().__init__(step, asked)
        self.step, self.asked = step, asked

    def __str__(self) -> str:
        return f"left after step {self.step}"


class OutOfMemory(JobError):
    """Workers ran out of memory, and a smaller micro-batch did not or cannot help."""


class CheckpointNotKept(JobError):
    """The last checkpoint could not be written, so the result would be lost."""


class TrainingFailed(JobError):
    """The workers failed for a reason that would come again, or more often than
    scale.max_failures allows."""


class PredictionFailed(JobError):
    """Workers died again and again over the same rows, or as they loaded the model."""
