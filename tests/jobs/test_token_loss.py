"""The loss over a vocabulary, part by part."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from unfreeze.jobs.tasks import token_loss
from unfreeze.jobs.tasks.token_loss import IGNORED, summed_loss, token_scores


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_loss, "AT_ONCE", 100)  # 5 tokens of 20 words


def some_logits(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    targets = torch.randint(0, 20, (3, 7))
    targets[0, 2:5] = targets[2, -1] = IGNORED
    return (3 * torch.randn(3, 7, 20)).to(dtype), targets


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_parts_have_the_loss_and_the_gradient_of_the_whole(dtype: torch.dtype) -> None:
    logits, targets = some_logits(dtype)
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss = summed_loss(ours, targets)
    expected = cross_entropy(
        theirs.float().view(-1, 20), targets.view(-1), reduction="sum", ignore_index=IGNORED
    )
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    loss.backward()
    expected.backward()
    assert ours.grad is not None and theirs.grad is not None
    assert torch.allclose(ours.grad, theirs.grad, rtol=1e-5, atol=1e-7)


def test_no_more_than_a_part_stands_in_memory_in_fp32() -> None:
    logits, targets = some_logits(torch.bfloat16)
    sizes: list[int] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype == torch.float32:
            sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        summed_loss(logits.requires_grad_(), targets)
    assert sum(sizes) == 0  # of the forward pass nothing is kept for the backward pass but logits


def test_where_nothing_is_to_be_predicted_the_loss_is_nothing_and_has_a_gradient() -> None:
    logits, targets = some_logits()
    loss = summed_loss(logits.requires_grad_(), torch.full_like(targets, IGNORED))
    loss.backward()
    assert loss.item() == 0 and logits.grad is not None and not logits.grad.any()


def test_scores_of_single_tokens_add_up_to_the_loss() -> None:
    logits, targets = some_logits()
    losses, right = token_scores(logits, targets)
    assert losses.shape == right.shape == targets.shape
    assert losses.sum().item() == pytest.approx(summed_loss(logits, targets).item(), rel=1e-6)
    assert torch.equal(right, logits.argmax(dim=-1) == targets)
    assert not losses[targets == IGNORED].any() and not right[targets == IGNORED].any()
