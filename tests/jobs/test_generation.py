"""Generated text, and what is measured of it."""

from typing import Any

import pytest
import tiny_language
import torch
from transformers import AutoModelForCausalLM

from unfreeze.jobs.tasks.generation import (
    Decoding,
    distinct,
    generate,
    left_padded,
    repetition,
    room,
)

PROMPTS = [torch.arange(5, 5 + size) for size in (3, 9, 6)]


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp(request.param)
    tiny_language.write_model(folder, kind=request.param, initializer_range=0.4)
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def greedy_by_hand(model: Any, prompt: torch.Tensor, count: int) -> list[int]:
    ids = prompt[None]
    with torch.no_grad():
        for _ in range(count):
            ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(dim=-1)], dim=1)
    found: list[int] = ids[0, len(prompt) :].tolist()
    return found


def test_prompts_of_different_lengths_go_on_as_each_does_alone(model: Any) -> None:
    tokens, counts = generate(model, left_padded(PROMPTS, 0), Decoding(new_tokens=12))
    for prompt, row, count in zip(PROMPTS, tokens, counts, strict=True):
        assert row[:count].tolist() == greedy_by_hand(model, prompt, 12)[:count]


def test_text_ends_before_its_end_token(model: Any) -> None:
    said = greedy_by_hand(model, PROMPTS[1], 6)
    end = next(i for i, token in enumerate(said) if token not in said[:i] and i)
    before = model.generation_config.eos_token_id
    model.generation_config.eos_token_id = [said[end], 1]
    try:
        tokens, counts = generate(model, left_padded(PROMPTS[1:2], 0), Decoding(new_tokens=6))
    finally:
        model.generation_config.eos_token_id = before
    assert counts.tolist() == [end] and tokens[0, :end].tolist() == said[:end]


def test_drawn_text_depends_on_its_seed_and_not_on_its_neighbours(model: Any) -> None:
    decoding = Decoding(new_tokens=10, top_p=1.0)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    together, _ = generate(model, left_padded(PROMPTS, 0), decoding, seeds=[1, 2, 3])
    assert torch.equal(torch.rand(3), expected)  # the draws of others are left alone
    alone, _ = generate(model, left_padded(PROMPTS[1:2], 0), decoding, seeds=[2])
    other, _ = generate(model, left_padded(PROMPTS[1:2], 0), decoding, seeds=[4])
    size = alone.shape[1]
    assert torch.equal(together[1, :size], alone[0])
    assert not torch.equal(other[0, :size], alone[0])


def test_a_prompt_and_what_follows_fit_into_the_positions(model: Any) -> None:
    assert room(model, 20) == (44, 20)
    assert room(model, 500) == (32, 32)


def test_rows_are_padded_on_the_left() -> None:
    found = left_padded([torch.tensor([4, 5, 6]), torch.tensor([7])], 9)
    assert found["input_ids"].tolist() == [[4, 5, 6], [9, 9, 7]]
    assert found["attention_mask"].tolist() == [[1, 1, 1], [0, 0, 1]]


def test_repetition_counts_the_4_grams_that_stood_before() -> None:
    assert repetition([1, 2, 3, 4] * 3) == pytest.approx(1 - 4 / 9)
    assert repetition(range(20)) == 0
    assert repetition([1] * 8) == pytest.approx(4 / 5)
    assert repetition([1, 2, 3]) is None


def test_distinct_n_is_the_share_of_different_n_grams() -> None:
    assert distinct([1, 2, 1, 2], 1) == 0.5
    assert distinct([1, 2, 1, 2], 2) == pytest.approx(2 / 3)
    assert distinct([], 1) is None
