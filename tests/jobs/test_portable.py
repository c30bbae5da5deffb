"""State that any number of workers can take up, in one process with a group of one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from unfreeze.jobs.portable import (
    MOMENTS,
    WEIGHT,
    PortableState,
    block_of_file,
    weight_files,
)

SIZES = {"embeddings": 100, "layer.0": 40, "layer.1": 40, "head": 5}


@pytest.fixture(scope="module", autouse=True)
def group_of_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    store = dist.FileStore(str(tmp_path_factory.mktemp("group") / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def owners(monkeypatch: pytest.MonkeyPatch, world: int) -> dict[str, int]:
    monkeypatch.setattr(dist, "get_world_size", lambda: world)
    state = PortableState(SIZES)
    return {block: state.owner(block) for block in SIZES}


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_blocks_are_shared_out_by_size(monkeypatch: pytest.MonkeyPatch, world: int) -> None:
    found = owners(monkeypatch, world)
    loads = [sum(SIZES[b] for b, owner in found.items() if owner == r) for r in range(world)]
    assert max(loads) <= max(100, -(-sum(SIZES.values()) // world))
    assert set(found.values()) == set(range(min(world, len(SIZES))))


def test_all_ranks_agree_whatever_the_order_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    backwards = PortableState(dict(reversed(SIZES.items())))
    assert {b: backwards.owner(b) for b in SIZES} == owners(monkeypatch, 2)


def test_a_block_that_the_model_does_not_have_has_no_owner() -> None:
    with pytest.raises(KeyError, match=r"layer\.9"):
        PortableState(SIZES).owner("layer.9")


def test_a_rank_keeps_its_own_blocks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    state = PortableState(SIZES)
    for block in SIZES:
        state.put(block, WEIGHT, "w", torch.ones(2))
    assert set(state.mine) == {block for block in SIZES if state.owner(block) == 0}


def filled(block: str = "head") -> PortableState:
    state = PortableState(SIZES, {block: 3})
    for number, kind in enumerate([WEIGHT, *MOMENTS]):
        for name in ("head.weight", "head.bias"):
            state.put(block, kind, name, torch.full((2, 3), float(number)) + len(name))
    return state


def test_what_was_put_is_handed_out_to_the_last_bit() -> None:
    state = PortableState(SIZES)
    tensor = torch.randn(7, 5).t()
    state.put("head", WEIGHT, "w", tensor)
    assert torch.equal(state.hand_out("head", WEIGHT, "w", tensor), tensor)


def test_a_tensor_that_changes_later_does_not_change_what_was_put() -> None:
    state, tensor = PortableState(SIZES), torch.zeros(3)
    state.put("head", WEIGHT, "w", tensor)
    tensor += 1
    assert torch.equal(state.hand_out("head", WEIGHT, "w", tensor), torch.zeros(3))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_tensors_are_kept_in_fp32_and_apart_from_the_graph(dtype: torch.dtype) -> None:
    state = PortableState(SIZES)
    state.put("head", WEIGHT, "w", torch.ones(3, dtype=dtype, requires_grad=True))
    kept = state.mine["head"]["weight:w"]
    assert kept.dtype == torch.float32
    assert not kept.requires_grad
    assert kept.is_contiguous()


def test_shares_do_not_change_when_the_state_takes_new_tensors() -> None:
    state = filled()
    shares = state.shares()
    state.put("head", WEIGHT, "head.bias", torch.zeros(2, 3))
    state.adam_steps["head"] = 9
    state.put("layer.0", WEIGHT, "w", torch.zeros(1))
    assert shares.adam_steps == {"head": 3}
    assert set(shares.mine) == {"head"}
    assert not torch.equal(shares.mine["head"]["weight:head.bias"], torch.zeros(2, 3))


def test_files_hold_weights_and_moments_apart_and_give_the_same_state_again() -> None:
    state = filled()
    files = state.files_of("head")
    assert sorted(files) == ["head.moments.safetensors", "head.weights.safetensors"]
    again = PortableState(SIZES)
    for name, data in files.items():
        again.take_file(name, data)
    assert again.mine["head"].keys() == state.mine["head"].keys()
    assert all(torch.equal(t, state.mine["head"][k]) for k, t in again.mine["head"].items())


def test_equal_blocks_are_equal_bytes() -> None:
    assert filled().files_of("head") == filled().files_of("head")


def test_weights_may_be_taken_up_without_moments(tmp_path: Path) -> None:
    files = filled("layer.1").files_of("layer.1")
    (name,) = weight_files(files)
    again = PortableState(SIZES)
    again.take_file(name, files[name])
    assert set(again.mine["layer.1"]) == {"weight:head.weight", "weight:head.bias"}


@pytest.mark.parametrize("block", ["embeddings", "layer.0", "layer.11", "head"])
def test_a_files_name_says_its_block(block: str) -> None:
    for kind in ("weights", "moments"):
        assert block_of_file(f"{block}.{kind}.safetensors") == block
