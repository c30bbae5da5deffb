"""What a plan says of weights that two blocks share."""

from pathlib import Path

import pytest
import tiny_language
from transformers import AutoModelForCausalLM

from unfreeze.jobs.job_file import parse_job
from unfreeze.jobs.model import plan_model
from unfreeze.jobs.phases import frozen_ties, plan_phases
from unfreeze.jobs.plan import plan_job

PHASES = [{"train": "head"}, {"train": "last:2"}, {"train": "all"}, {"train": "embeddings"}]


def job(model: Path) -> dict[str, object]:
    return {
        "name": "j",
        "model": str(model),
        "task": "text-generation",
        "data": {"train": str(model / "rows.jsonl"), "max_length": 16},
        "phases": PHASES,
    }


@pytest.mark.parametrize(("kind", "tied"), [("gpt2", True), ("llama", False)])
def test_a_block_knows_which_blocks_use_its_weights(tmp_path: Path, kind: str, tied: bool) -> None:
    folder = tiny_language.write_model(tmp_path, kind=kind)
    model = AutoModelForCausalLM.from_pretrained(folder)
    plan = plan_model(model)
    lent = {block.name: block.lent_to for block in plan.blocks if block.lent_to}
    assert lent == ({"embeddings": ("head",)} if tied else {})
    # What a phase of the head alone would train: the last norm, or that and the output layer.
    assert plan.sizes["head"] == (2 * 32 if tied else 32 + model.config.vocab_size * 32)
    assert sum(plan.sizes.values()) == sum(p.numel() for p in model.parameters())
    phases = plan_phases(parse_job(job(folder)), plan.names, 10)
    notes = frozen_ties(phases, plan.blocks)
    assert [note.split(": ")[0] for note in notes] == (
        ["phase 0 (head)", "phase 1 (last:2)"] if tied else []
    )


def test_a_plan_says_what_its_phases_do_not_train(tmp_path: Path) -> None:
    folder = tiny_language.write_model(tmp_path)
    rows = [{"text": text} for text in tiny_language.texts(30)]
    tiny_language.write_lines(folder / "rows.jsonl", rows)
    plan = plan_job(parse_job(job(folder)))
    assert plan.to_data()["notes"] == plan.notes
    assert plan.notes[0] == (
        "phase 0 (head): head shares a weight with embeddings (tied), which is frozen, "
        "so that weight is frozen as well"
    )
    assert plan.trained_parameters(plan.phases[0]) == 64
