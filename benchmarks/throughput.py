# .venv/bin/python benchmarks/throughput.py [--quick] [--zero-stage 2]
"""Training throughput of unfreeze against the Hugging Face Trainer with DeepSpeed, on two CPUs.

Needs `make setup` and `python examples/fetch_demo.py`; takes some 7 minutes, --quick 2. Leave the
machine, of which it needs 10 GB of memory, alone meanwhile.

All sides train all of all-MiniLM-L6-v2 on the demo's reviews: the same rows in the same order,
padded alike, the same initial weights, fp32, AdamW (torch's, fused) with the same settings,
constant rate, the same ZeRO stage, two gloo processes with one thread each. Dropout is off, so
that the losses of all steps must agree (checked: 1e-4 relative): then it was the same work.

- unfreeze: `train_step` of jobs/loop.py in an engine as `unfreeze train` opens it.
- HF Trainer: DeepSpeed's settings as they are by default; logging, saving, evaluation, progress
  bar and data loader processes off.
- HF Trainer, our zero: the same with the ZeRO settings that unfreeze chooses on a CPU.

A round starts fresh processes for every side. Then the sides take turns of a few steps each on the
same batches, in an order that rotates; while one side computes, the others wait without using the
CPU. Start-up and the first steps are not counted. Per turn, tokens/s is the real tokens (no
padding) by the wall time between barriers, and CPU s/step what all ranks used, all threads. A
ratio is the median over turns of the two sides' ratio in the same turn; above 1, unfreeze is
better. The ratios against the HF Trainer are also given against the second way to run it
(..._our_zero): what is left there is due to the training loops alone.
"""

import argparse
import json
import signal
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer_sides import Trace, job_settings, train_with_hugging_face, train_with_unfreeze
from turn_taking import ProcessError, ProcessGroup, Turn

OURS, THEIRS, THEIRS_OUR_ZERO = "unfreeze", "HF Trainer", "HF Trainer, our zero"
WORLD = 2
WARM_UP = 3
LOSS_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    turns: int
    """Counted turns of each side in a round."""
    steps: int
    """Steps of a turn."""


QUICK, FULL = Size(rounds=1, turns=3, steps=6), Size(rounds=3, turns=5, steps=8)


@dataclass(frozen=True)
class Speed:
    """Of one side in one turn."""

    tokens_per_second: float
    cpu_seconds_per_step: float


@dataclass(frozen=True)
class Round:
    """One round: by side, the turns in order, and what rank 0 saw."""

    speeds: dict[str, list[Speed]]
    traces: dict[str, Trace]


def main() -> int:
    """Measures, prints, and checks that all sides did the same work."""
    demo = Path(__file__).resolve().parents[1] / ".cache" / "demo"
    parser = argparse.ArgumentParser(
        description="Training throughput against the Hugging Face Trainer with DeepSpeed."
    )
    parser.add_argument("--quick", action="store_true", help="two minutes, a rough number")
    parser.add_argument("--zero-stage", type=int, choices=range(4), default=2)
    options = parser.parse_args()
    if not all((demo / name / ".complete").exists() for name in ("all-MiniLM-L6-v2", "reviews")):
        print("throughput: first run python examples/fetch_demo.py", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the processes are ended
    size = QUICK if options.quick else FULL
    try:
        with tempfile.TemporaryDirectory(prefix="throughput-") as scratch:
            rounds = [
                measure(demo, Path(scratch), size, options.zero_stage, number)
                for number in range(size.rounds)
            ]
    except KeyboardInterrupt:
        return 130
    except ProcessError as error:
        print(f"throughput: {error}", file=sys.stderr)
        return 1
    speeds = {
        side: [speed for each in rounds for speed in each.speeds[side]] for side in rounds[0].speeds
    }
    print_table(speeds, rounds[0].traces, size, options.zero_stage)
    apart = max(largest_difference(each.traces) for each in rounds)
    print(f"largest relative difference of a loss: {apart:.1e} (allowed: {LOSS_TOLERANCE:.0e})")
    if not apart <= LOSS_TOLERANCE:
        print("throughput: the sides did not do the same work", file=sys.stderr)
        return 1
    print(json.dumps({"ratios": ratios(speeds)}))
    return 0


def measure(demo: Path, scratch: Path, size: Size, zero_stage: int, number: int) -> Round:
    """One round in fresh processes."""
    turns = [WARM_UP, *[size.steps] * size.turns]
    settings = job_settings(demo, scratch, steps=sum(turns), zero_stage=zero_stage)
    with ExitStack() as stack:
        groups: dict[str, ProcessGroup] = {}

        def start(side: str, task: Any, *args: Any) -> None:
            groups[side] = ProcessGroup(task, turns, settings, *args, world=WORLD)
            stack.callback(groups[side].close)
            groups[side].wait_until_ready()

        start(OURS, train_with_unfreeze)
        start(THEIRS, train_with_hugging_face, scratch, False)
        start(THEIRS_OUR_ZERO, train_with_hugging_face, scratch, True)
        sides = list(groups)
        measured: dict[str, list[list[Turn]]] = {side: [] for side in sides}
        for turn in range(len(turns)):
            first = (turn + number) % len(sides)
            for side in sides[first:] + sides[:first]:
                measured[side].append(groups[side].take_turn())
        traces = {side: group.results()[0] for side, group in groups.items()}
    speeds: dict[str, list[Speed]] = {}
    for side in sides:
        tokens = traces[side].tokens
        speeds[side] = [
            Speed(
                sum(tokens[sum(turns[:i]) : sum(turns[: i + 1])]) / ranks[0].seconds,
                sum(rank.cpu_seconds for rank in ranks) / turns[i],
            )
            for i, ranks in enumerate(measured[side])
            if i > 0  # the warm-up
        ]
    print(f"round {number + 1} of {size.rounds} done", flush=True)
    return Round(speeds, traces)


def largest_difference(traces: Mapping[str, Trace]) -> float:
    """Between the losses of unfreeze and of the others, relative, over all steps."""
    ours = traces[OURS].losses
    return max(
        abs(own - other) / abs(own)
        for trace in traces.values()
        for own, other in zip(ours, trace.losses, strict=True)
    )


def ratios(speeds: Mapping[str, Sequence[Speed]]) -> dict[str, float]:
    """How many times better unfreeze is: median over the turns."""
    found = {}
    for side, name in ((THEIRS, ""), (THEIRS_OUR_ZERO, "_our_zero")):
        pairs = list(zip(speeds[OURS], speeds[side], strict=True))
        faster = [ours.tokens_per_second / other.tokens_per_second for ours, other in pairs]
        leaner = [other.cpu_seconds_per_step / ours.cpu_seconds_per_step for ours, other in pairs]
        found[f"tokens_per_s_vs_hf_trainer{name}"] = round(statistics.median(faster), 3)
        found[f"cpu_s_vs_hf_trainer{name}"] = round(statistics.median(leaner), 3)
    return found


def print_table(
    speeds: Mapping[str, Sequence[Speed]], traces: Mapping[str, Trace], size: Size, zero_stage: int
) -> None:
    """Median and spread of all sides, and what updated the weights."""
    print(
        f"\nZeRO-{zero_stage}, {WORLD} processes, {size.rounds} x {size.turns} turns "
        f"of {size.steps} steps a side"
    )
    header = f"{'':22}{'tokens/s':>9} {'(lowest-highest)':>17}{'CPU s/step':>12} {'(...)':>14}"
    print(f"{header}  optimizer")
    for side, of_side in speeds.items():
        tokens = [speed.tokens_per_second for speed in of_side]
        cpu = [speed.cpu_seconds_per_step for speed in of_side]
        print(
            f"{side:22}{statistics.median(tokens):9.0f} "
            f"{f'({min(tokens):.0f}-{max(tokens):.0f})':>17}"
            f"{statistics.median(cpu):12.3f} {f'({min(cpu):.3f}-{max(cpu):.3f})':>14}  "
            f"{traces[side].optimizer}"
        )


if __name__ == "__main__":
    sys.exit(main())
