"""What is trained when, and at which rate."""

from itertools import pairwise
from typing import Any

import pytest

from unfreeze.jobs import ConfigError, parse_job
from unfreeze.jobs.phases import BODY_LEARNING_RATE, HEAD_LEARNING_RATE, Phase, plan_phases

BLOCKS = ("embeddings", "layer.0", "layer.1", "layer.2", "head")
PER_EPOCH = 100


def plan(*phases: dict[str, Any], **training: Any) -> list[Phase]:
    settings = {
        "name": "job",
        "model": "models/tiny",
        "task": "text-classification",
        "data": {"train": "train.jsonl"},
        "phases": list(phases),
        "training": training,
    }
    return plan_phases(parse_job(settings), BLOCKS, PER_EPOCH)


def rates(phase: Phase) -> list[float]:
    return [phase.rate_at(step) for step in range(phase.max_steps)]


def test_a_phase_knows_its_blocks_and_its_length() -> None:
    head, top, rest = plan(
        {"train": "head", "for": "0.5ep"}, {"train": "last:1", "for": "7st"}, {"train": "all"}
    )
    assert (head.blocks, head.max_steps) == (("head",), 50)
    assert (top.blocks, top.max_steps) == (("layer.2", "head"), 7)
    assert (rest.blocks, rest.max_steps) == (BLOCKS, 100)
    assert [p.index for p in (head, top, rest)] == [0, 1, 2]
    assert [p.name for p in (head, top, rest)] == ["head", "last:1", "all"]


def test_new_heads_learn_faster_than_pretrained_layers_by_default() -> None:
    head, rest = plan({"train": "head"}, {"train": "all"})
    assert (head.learning_rate, rest.learning_rate) == (HEAD_LEARNING_RATE, BODY_LEARNING_RATE)
    assert HEAD_LEARNING_RATE > BODY_LEARNING_RATE


def test_only_the_last_phase_warms_up_and_falls_by_default() -> None:
    head, rest = plan({"train": "head"}, {"train": "all"})
    assert (head.schedule, head.warmup_steps) == ("constant", 0)
    assert (rest.schedule, rest.warmup_steps) == ("linear", 6)
    assert set(rates(head)) == {HEAD_LEARNING_RATE}


def test_training_settings_hold_for_all_phases_and_a_phases_own_go_before_them() -> None:
    first, second = plan(
        {"train": "head"},
        {"train": "all", "schedule": "constant", "warmup": 0},
        schedule="cosine",
        warmup=0.1,
    )
    assert (first.schedule, first.warmup_steps) == ("cosine", 10)
    assert (second.schedule, second.warmup_steps) == ("constant", 0)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_the_rate_rises_to_its_peak_and_never_is_zero_or_above_it(schedule: str) -> None:
    (phase,) = plan(
        {"train": "all", "learning_rate": 1.0, "warmup": 0.1, "schedule": schedule, "for": "100st"}
    )
    found = rates(phase)
    assert found[:10] == pytest.approx([(i + 1) / 11 for i in range(10)])
    assert found[10] == 1.0
    assert all(0 < rate <= 1 for rate in found)
    falls = [high - low for high, low in pairwise(found[10:])]
    assert all(fall == 0 if schedule == "constant" else fall > 0 for fall in falls)


def test_a_linear_rate_falls_by_the_same_amount_at_each_step() -> None:
    (phase,) = plan({"train": "all", "learning_rate": 1.0, "warmup": 0, "for": "10st"})
    assert rates(phase) == pytest.approx([1 - i / 10 for i in range(10)])


def test_a_cosine_rate_is_half_in_the_middle() -> None:
    (phase,) = plan(
        {"train": "all", "learning_rate": 1.0, "warmup": 0, "schedule": "cosine", "for": "10st"}
    )
    assert phase.rate_at(5) == pytest.approx(0.5)
    assert phase.rate_at(9) == pytest.approx(0.0245, abs=1e-4)


@pytest.mark.parametrize(("length", "warmup"), [("1st", 0.0), ("1st", 1.0), ("3st", 1.0)])
def test_the_shortest_phases_have_rates_too(length: str, warmup: float) -> None:
    (phase,) = plan({"train": "all", "learning_rate": 1.0, "warmup": warmup, "for": length})
    assert all(0 < rate <= 1 for rate in rates(phase))


def test_warmup_counts_in_shares_of_the_phase() -> None:
    short, long = plan(
        {"train": "head", "for": "50st", "warmup": 0.1}, {"train": "all", "for": "2ep"}, warmup=0.5
    )
    assert (short.warmup_steps, long.warmup_steps) == (5, 100)


@pytest.mark.parametrize("length", ["0ep", "1st", "3ep", "1000st"])
def test_a_phases_rates_do_not_depend_on_the_length_of_another(length: str) -> None:
    second = {"train": "all", "for": "2ep"}
    expected = plan({"train": "head"}, second)
    changed = plan({"train": "head", "for": length}, second)
    assert rates(changed[1]) == rates(expected[1])
    third = plan({"train": "head"}, second | {"for": length})
    if length != "0ep":
        assert rates(third[0]) == rates(expected[0])


def test_phases_of_different_lengths_begin_alike_when_their_rate_is_constant() -> None:
    short, long = (
        plan({"train": "head", "for": length}, {"train": "all"})[0] for length in ("1ep", "4ep")
    )
    assert rates(long)[:PER_EPOCH] == rates(short)


def test_layers_have_less_of_the_rate_the_deeper_they_are() -> None:
    (phase,) = plan({"train": "all", "layer_decay": 0.5})
    shares = [phase.share_of_rate(block, BLOCKS) for block in BLOCKS]
    assert shares == [0.5**4, 0.5**3, 0.5**2, 0.5, 1]


def test_without_layer_decay_all_blocks_have_the_whole_rate() -> None:
    (phase,) = plan({"train": "last:1"})
    assert {phase.share_of_rate(block, BLOCKS) for block in BLOCKS} == {1.0}


def test_a_plateau_runs_at_most_its_longest_and_its_schedule_is_made_for_that() -> None:
    until = {"until": "plateau", "patience": 3, "at_most": "2ep"}
    plateau, fixed = (plan({"train": "all", "for": length})[0] for length in (until, "2ep"))
    assert (plateau.max_steps, plateau.patience, fixed.patience) == (200, 3, None)
    assert rates(plateau) == rates(fixed)


def test_a_phase_of_no_length_keeps_its_place() -> None:
    skipped, rest = plan({"train": "head", "for": "0ep"}, {"train": "all"})
    assert (skipped.index, skipped.max_steps) == (0, 0)
    assert (rest.index, rest.max_steps) == (1, 100)


def test_a_job_of_phases_without_length_is_refused() -> None:
    with pytest.raises(ConfigError, match="phases: all are empty, so there is nothing to train"):
        plan({"train": "head", "for": "0ep"}, {"train": "all", "for": "0st"})


def test_every_phase_with_an_unknown_block_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        plan({"train": "haed"}, {"train": "all"}, {"train": ["head", "layer.9"]})
    first, second = error.value.mistakes
    assert first.startswith("phases.0.train: 'haed' matches no block; the blocks are embeddings")
    assert second.startswith("phases.2.train: 'layer.9' matches no block")


def test_the_last_phase_that_runs_warms_up_and_falls_by_default() -> None:
    expected = plan({"train": "all"})[0]
    found = plan({"train": "all"}, {"train": "head", "for": "0ep"})[0]
    assert rates(found) == rates(expected)
