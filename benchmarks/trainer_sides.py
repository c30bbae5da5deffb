"""The sides of throughput.py: the same steps through unfreeze and through the HF Trainer."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, Dataset
from turn_taking import TurnTaker

from unfreeze.jobs.checkpointing import BackgroundWriter
from unfreeze.jobs.inputs import gather_inputs
from unfreeze.jobs.job_file import parse_job
from unfreeze.jobs.libraries import import_deepspeed
from unfreeze.jobs.loop import train_step
from unfreeze.jobs.phases import Phase
from unfreeze.jobs.portable import PortableState
from unfreeze.jobs.progress import Progress
from unfreeze.jobs.run import Run
from unfreeze.jobs.worker import keep_quiet, open_run
from unfreeze.storage import open_store


@dataclass(frozen=True)
class Trace:
    """What one rank saw, by step."""

    losses: list[float]
    """Mean over the examples of the global batch."""
    tokens: list[int]
    """Of the global batch, padding not counted."""
    optimizer: str
    """What updated the weights."""


def job_settings(demo: Path, scratch: Path, *, steps: int, zero_stage: int) -> dict[str, Any]:
    """Full fine-tuning on the demo's reviews: no dropout, constant rate, so that losses compare."""
    return {
        "name": "throughput",
        "model": {"path": str(demo / "all-MiniLM-L6-v2"), "dropout": 0.0},
        "task": "text-classification",
        "data": {
            "train": str(demo / "reviews" / "train.jsonl"),
            "validation": 0.05,
            "max_length": 128,
        },
        "phases": [
            {
                "train": "all",
                "for": f"{steps}st",
                "learning_rate": 3e-5,
                "schedule": "constant",
                "warmup": 0.0,
            }
        ],
        "training": {"batch_size": 32, "precision": "fp32", "seed": 0},
        "deepspeed": {"zero_stage": zero_stage},
        "scale": {"workers": 2, "gpus_per_worker": 0},
        "storage": str(scratch / "store"),
    }


def train_with_unfreeze(turns: TurnTaker, settings: dict[str, Any]) -> Trace:
    """The loop of `unfreeze train`, without validation and checkpoints."""
    run, phase = _open(settings)
    progress = Progress()
    with run.open_engine(phase, PortableState(run.model_plan.sizes), progress) as engine:
        turns.begin()
        while not progress.phase_is_over(phase):
            train_step(run, engine, progress)
            turns.after_step()
        optimizer = _describe(engine.engine.optimizer)
    losses = [line["loss"] for line in run.metrics if line["kind"] == "train"]
    return Trace(losses, _tokens(run, phase), optimizer)


def train_with_hugging_face(
    turns: TurnTaker, settings: dict[str, Any], scratch: Path, our_zero: bool
) -> Trace:
    """`Trainer.train` with DeepSpeed on the same batches; what costs time and trains nothing is
    off. `our_zero`: with unfreeze's ZeRO settings, else with DeepSpeed's defaults."""
    run, phase = _open(settings)
    zero = run.deepspeed["zero_optimization"]
    import_deepspeed()  # with its shm op off, which would be compiled for half a minute
    import accelerate
    import transformers

    # By itself, accelerate takes DeepSpeed without a GPU for a world of one process.
    os.environ.update(ACCELERATE_USE_DEEPSPEED="true", ACCELERATE_TORCH_DEVICE="cpu")
    accelerate.PartialState(backend="gloo")

    class BatchTrainer(transformers.Trainer):
        """Takes the batches as they are: ready made, and this rank's own."""

        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.losses: list[torch.Tensor] = []

        def get_train_dataloader(self) -> DataLoader[Any]:
            return DataLoader(_Batches(run, phase.max_steps), batch_size=None, num_workers=0)

        def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
            loss: torch.Tensor = super().training_step(*args, **kwargs)
            self.losses.append(loss)
            return loss

    class TakeTurns(transformers.TrainerCallback):
        """Tells the turn taker where training is."""

        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            turns.begin()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            turns.after_step()

    arguments = _training_arguments(run, phase, scratch, our_zero)
    trainer = BatchTrainer(model=run.build_model(), args=arguments, callbacks=[TakeTurns()])
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    engine: Any = trainer.deepspeed
    assert engine.zero_optimization_stage() == zero["stage"]
    assert not our_zero or engine.zero_contiguous_gradients() == zero["contiguous_gradients"]
    assert trainer.args.world_size == dist.get_world_size() and torch.get_num_threads() == 1
    losses = torch.stack(trainer.losses).double()
    dist.all_reduce(losses)  # ranks have equally many rows, so the mean of means is the mean
    losses /= dist.get_world_size()
    return Trace(losses.tolist(), _tokens(run, phase), _describe(engine.optimizer))


def _training_arguments(run: Run, phase: Phase, scratch: Path, our_zero: bool) -> Any:
    """The job's settings in the Trainer's words."""
    import transformers

    zero = run.deepspeed["zero_optimization"]
    training = run.job.training
    return transformers.TrainingArguments(
        output_dir=str(scratch / "trainer"),
        deepspeed={
            "train_batch_size": "auto",
            "train_micro_batch_size_per_gpu": "auto",
            "gradient_accumulation_steps": "auto",
            "gradient_clipping": "auto",
            "zero_optimization": dict(zero) if our_zero else {"stage": zero["stage"]},
            "steps_per_print": 2**31 - 1,
        },
        accelerator_config={"use_configured_state": True},
        max_steps=phase.max_steps,
        per_device_train_batch_size=run.batches.micro_batch_size,
        gradient_accumulation_steps=run.batches.micro_batches,
        learning_rate=phase.learning_rate,
        lr_scheduler_type="constant",
        warmup_steps=0,
        weight_decay=training.weight_decay,
        adam_beta1=training.betas[0],
        adam_beta2=training.betas[1],
        adam_epsilon=training.eps,
        max_grad_norm=training.max_grad_norm,
        # If on, BERT's loss comes out `world` times too large: it ignores the count given to it.
        average_tokens_across_devices=False,
        seed=training.seed,
        bf16=False,
        fp16=False,
        logging_strategy="no",
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
    )


class _Batches(Dataset[dict[str, torch.Tensor]]):
    """This rank's part of each global batch, made when it is asked for."""

    def __init__(self, run: Run, steps: int) -> None:
        self._run, self._steps = run, steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> dict[str, torch.Tensor]:
        (micro_batch,) = self._run.micro_batches(self._run.batch(step))
        return {name: part for name, part in micro_batch.inputs.items() if name != "weights"}


def _open(settings: dict[str, Any]) -> tuple[Run, Phase]:
    job = parse_job(settings)
    store = open_store(job.storage.uri).under(job.name)
    run = open_run(gather_inputs(job), keep_quiet, store, BackgroundWriter())
    (phase,) = run.phases
    whole = len(run.data.splits["train"]) // run.batches.batch_size
    assert run.batches.micro_batches == 1 and phase.max_steps <= whole, "batches must be equal"
    return run, phase


def _tokens(run: Run, phase: Phase) -> list[int]:
    lengths = run.data.splits["train"].lengths
    return [int(lengths[run.batch(step)].sum()) for step in range(phase.max_steps)]


def _describe(optimizer: Any) -> str:
    """Names of the optimizers from the outermost to torch's own, and whether that one is fused."""
    names = []
    while True:
        names.append(type(optimizer).__name__)
        inner = getattr(optimizer, "optimizer", None)
        if inner is None:
            break
        optimizer = inner
    return f"{' > '.join(names)}{' (fused)' if optimizer.defaults.get('fused') else ''}"
