"""Which nodes are paired, and how they talk."""

import pytest

from unfreeze.cluster.doctor.examine import nodes_of
from unfreeze.cluster.doctor.pair_bandwidth import choose_backend, pairs_of


def test_each_node_is_paired_with_each() -> None:
    assert pairs_of(["a", "b", "c"], "a") == [("a", "b"), ("a", "c"), ("b", "c")]
    assert len(pairs_of([str(i) for i in range(8)], "0")) == 28


def test_one_node_is_paired_with_itself() -> None:
    assert pairs_of(["a"], "a") == [("a", "a")]
    assert pairs_of(["a"], "a", few=True) == [("a", "a")]


def test_of_many_nodes_a_ring_and_the_head_with_each() -> None:
    nodes = [str(i) for i in range(10)]
    pairs = pairs_of(nodes, "3")
    ring = {frozenset((str(i), str((i + 1) % 10))) for i in range(10)}
    star = {frozenset(("3", node)) for node in nodes if node != "3"}
    assert {frozenset(pair) for pair in pairs} == ring | star
    assert len(pairs) == len(ring | star)


def test_few_pairs_of_two_nodes_are_one() -> None:
    assert pairs_of(["a", "b"], "a", few=True) == [("a", "b")]


def test_a_head_that_does_not_answer_is_in_no_pair() -> None:
    assert all("head" not in pair for pair in pairs_of(["a", "b", "c", "d"], "", few=True))


@pytest.mark.parametrize(
    ("first", "second", "same_node", "expected"),
    [
        (1, 1, False, "nccl"),
        (0, 4, False, "gloo"),
        (4, 0, False, "gloo"),
        (1, 1, True, "gloo"),
        (2, 2, True, "nccl"),
        (0, 0, True, "gloo"),
    ],
)
def test_nccl_is_for_two_ranks_with_a_gpu_each(
    first: int, second: int, same_node: bool, expected: str
) -> None:
    assert choose_backend(first, second, same_node=same_node) == expected


def listed(
    node_id: str, address: str, *, alive: bool = True, **resources: float
) -> dict[str, object]:
    return {
        "NodeID": node_id,
        "Alive": alive,
        "NodeManagerAddress": address,
        "NodeManagerHostname": f"host-of-{address}",
        "Resources": resources,
    }


def test_nodes_are_the_living_ones_the_head_first() -> None:
    head = listed("cc", "10.0.0.9", **{"node:__internal_head__": 1.0, "object_store_memory": 5.0})
    nodes = nodes_of(
        [
            listed("bb", "10.0.0.2", GPU=2.0),
            listed("dd", "10.0.0.1", alive=False),
            head,
        ]
    )
    assert [(n.name, n.is_head, n.ray_gpus) for n in nodes] == [
        ("10.0.0.9", True, 0.0),
        ("10.0.0.2", False, 2.0),
    ]
    assert nodes[0].object_store_bytes == 5.0
    assert nodes[1].hostname == "host-of-10.0.0.2"


def test_nodes_that_share_an_address_are_told_apart() -> None:
    ids = ["a1b2c3d4", "ffeeddcc"]
    nodes = nodes_of([listed(node_id, "127.0.0.1") for node_id in ids])
    assert [node.name for node in nodes] == ["127.0.0.1 (a1b2c3)", "127.0.0.1 (ffeedd)"]
