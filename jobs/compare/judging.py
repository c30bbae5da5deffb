"""How well a candidate does before any fine-tuning, as statistics of the training rows.

Where a head is new, a linear model on frozen features stands for it. Where it is pretrained, the
model is scored as it is, in bits for each byte of text.
"""

from math import log
from pathlib import Path

import numpy as np

from unfreeze.jobs.compare.candidate import Candidate
from unfreeze.jobs.compare.facts import facts_of
from unfreeze.jobs.compare.frozen import FrozenPass, frozen_pass
from unfreeze.jobs.compare.linear import out_of_fold, turned
from unfreeze.jobs.compare.ranking import Judged
from unfreeze.jobs.config import JobConfig
from unfreeze.jobs.data.tokenizer import decoder
from unfreeze.jobs.errors import ConfigError
from unfreeze.jobs.metrics import Floats, Metric, ratio_of
from unfreeze.jobs.tasks import open_task
from unfreeze.jobs.tasks.task import Task

REPEATS = 2
"""Cross-validations, each with other folds; statistics are their mean."""
BITS = "bits_per_byte"
"""What pretrained heads are compared by: it does not depend on how a tokenizer cuts a text."""
BYTES_TO_TRAIN = 16
"""For a parameter: it, its gradient and Adam's two moments, in fp32."""


def is_probed(task: Task) -> bool:
    """Whether a linear model can stand for the task's head."""
    return type(task).probe is not Task.probe


def check_comparable(job: JobConfig) -> None:
    """Raises ConfigError if models cannot be compared for this task before they are fine-tuned."""
    if not is_probed(open_task(job.task)) and job.task.has_new_head:
        raise ConfigError(
            f"task: {job.task.in_words} cannot be compared without fine-tuning: its head is new, "
            "and no linear model of a token's features does what it does"
        )


def judge(candidate: Candidate, cache: Path) -> Judged:
    """Raises ModelError."""
    passed = frozen_pass(candidate, cache)
    batch = candidate.job.training.micro_batch_size or candidate.job.training.batch_size
    facts = facts_of(candidate)
    return Judged(
        name=candidate.name,
        statistics=_statistics(candidate, passed),
        judged_by=candidate.judged_by,
        facts=facts,
        costs=passed.costs,
        training_bytes=BYTES_TO_TRAIN * facts.parameters + passed.costs.activation_bytes * batch,
        was_kept=passed.was_kept,
    )


def metric_of(candidate: Candidate) -> Metric:
    """What candidates are ranked by: the job's metric, or bits per byte."""
    name = candidate.job.metric if candidate.probe else BITS
    own = {metric.name: metric for metric in candidate.task.metrics}
    return own[name] if name in own else ratio_of(BITS, 1, 2)


def _statistics(candidate: Candidate, passed: FrozenPass) -> Floats:
    """[units, k]"""
    task, split, units = candidate.task, candidate.split, candidate.units
    if candidate.probe is None:
        has_bits = any(metric.name == BITS for metric in task.metrics)
        return passed.values if has_bits else _bits_and_bytes(candidate, passed.values)
    at = candidate.probe.at
    groups = np.arange(len(units))
    if at is not None:
        groups = split.units_of(split.examples_of(units))[at[0]]
    decode, features = decoder(candidate.tokenizer), turned(passed.values)
    repeats = [
        task.statistics(
            task.keep_probed(
                out_of_fold(features, candidate.probe, groups, seed=seed), split, units
            ),
            split,
            units,
            decode,
        )
        for seed in range(REPEATS)
    ]
    mean: Floats = np.mean(repeats, axis=0)
    return mean


def _bits_and_bytes(candidate: Candidate, statistics: Floats) -> Floats:
    """1, the bits that a row's target costs, and its bytes: [units, 3]."""
    task, split, units = candidate.task, candidate.split, candidate.units
    loss = next(metric for metric in task.metrics if metric.name == "loss")
    examples = split.examples_of(units)
    owners = np.searchsorted(units, split.units_of(examples))
    terms = np.bincount(owners, split.weights[examples], len(units))
    targets = [role.name for role in task.options.roles if role.is_target]
    texts = ["".join(row[target] for target in targets) for row in split.rows(units)]
    sizes = [len(text.encode("utf-8", "surrogatepass")) for text in texts]
    bits = np.nan_to_num(loss.of(statistics)) * terms / log(2)
    return np.stack([np.ones(len(units)), bits, np.array(sizes, np.float64)], axis=1)
