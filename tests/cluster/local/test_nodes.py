"""What the nodes of a local cluster get, and how they are started."""

import os
import sys
from pathlib import Path

import pytest

from unfreeze.cluster import NotEnoughResources
from unfreeze.cluster.local.nodes import (
    Machine,
    NodeShape,
    Ports,
    Wanted,
    differences,
    head_and_workers,
    more_workers,
    node_environment,
    start_command,
    visible_gpus,
)

MACHINE = Machine(8, ("0", "1", "2", "3"))
PORTS = Ports(gcs=1001, dashboard=1002, client=1003)
WORKER = NodeShape("worker-1", 2, ("0",))


def test_a_head_that_is_alone_has_everything() -> None:
    assert head_and_workers(Wanted(), MACHINE) == [NodeShape("head", 8, ("0", "1", "2", "3"))]
    (head,) = head_and_workers(Wanted(0, 2, 1), MACHINE)
    assert head == NodeShape("head", 2, ("0",))


def test_a_head_with_workers_has_nothing_and_they_share() -> None:
    assert head_and_workers(Wanted(workers=2), MACHINE) == [
        NodeShape("head", 0, ()),
        NodeShape("worker-1", 4, ("0", "1")),
        NodeShape("worker-2", 4, ("2", "3")),
    ]


def test_a_worker_has_a_cpu_at_least() -> None:
    workers = head_and_workers(Wanted(workers=3), Machine(2, ()))[1:]
    assert [worker.cpus for worker in workers] == [1, 1, 1]


def test_more_gpus_than_there_are_is_refused() -> None:
    with pytest.raises(NotEnoughResources, match="2 nodes with 3 GPUs need 6; 4 are free"):
        head_and_workers(Wanted(workers=2, gpus_per_node=3), MACHINE)


def test_workers_that_are_added_get_what_is_free_and_new_names() -> None:
    running = [NodeShape("worker-1", 3, ("0",)), NodeShape("worker-4", 3, ("2",))]
    seen = ["head", "worker-1", "worker-3", "worker-4"]
    assert more_workers(Wanted(), MACHINE, running, 4, names=seen) == [
        NodeShape("worker-5", 3, ("1",)),
        NodeShape("worker-6", 3, ("3",)),
    ]
    (first,) = more_workers(Wanted(cpus_per_node=1, gpus_per_node=0), MACHINE, [], 1)
    assert first == NodeShape("worker-1", 1, ())


@pytest.mark.parametrize(
    ("count", "visible", "names"),
    [
        (2, "", ("0", "1")),
        (2, "3,5", ("3", "5")),
        (1, "GPU-abc", ("GPU-abc",)),
        (0, "", ()),
    ],
)
def test_gpus_are_those_that_we_may_use(count: int, visible: str, names: tuple[str, ...]) -> None:
    assert visible_gpus(count, {"CUDA_VISIBLE_DEVICES": visible}) == names


def test_what_differs_from_what_was_asked_for_is_said() -> None:
    head, workers = NodeShape("head", 0, ()), [WORKER, NodeShape("worker-2", 2, ())]
    assert differences(Wanted(), head, workers) == []
    assert differences(Wanted(workers=3), head, workers) == []
    assert differences(Wanted(workers=1), head, workers) == [
        "it has 2 workers, not 1; to change that, first run `unfreeze cluster down`"
    ]
    (cpus, gpus) = differences(Wanted(2, 4, 0), head, [WORKER])
    assert cpus.startswith("worker-1 has 2 CPUs; ")
    assert gpus.startswith("worker-1 has 1 GPUs; ")
    (trains,) = differences(Wanted(workers=1), NodeShape("head", 2, ()), [])
    assert trains.startswith("its head has 2 CPUs and trains, too; ")


def test_everything_is_on_loopback() -> None:
    for node in (NodeShape("head", 0, ()), WORKER):
        command = start_command(node, PORTS, Path("/tmp/ray"))
        assert "--node-ip-address=127.0.0.1" in command
        assert "--block" in command
    head = start_command(NodeShape("head", 0, ()), PORTS, Path("/tmp/ray"))
    assert "--dashboard-host=127.0.0.1" in head
    assert {"--head", "--port=1001", "--dashboard-port=1002", "--temp-dir=/tmp/ray"} <= {*head}
    worker = start_command(WORKER, PORTS, Path("/tmp/ray"))
    assert {"--address=127.0.0.1:1001", "--num-cpus=2", "--num-gpus=1"} <= {*worker}
    assert "--head" not in worker


def test_a_node_has_our_environment_and_the_token_by_its_path() -> None:
    given = {
        "PATH": "/bin",
        "AWS_PROFILE": "mine",
        "RAY_ADDRESS": "10.0.0.1:6379",
        "RAY_AUTH_TOKEN": "s3cret",
        "RAY_AUTH_MODE": "disabled",
    }
    found = node_environment(given, WORKER, PORTS, Path("/home/me/ray-token"))
    assert "s3cret" not in repr(found)
    assert "RAY_ADDRESS" not in found
    assert found["AWS_PROFILE"] == "mine"
    assert found["RAY_AUTH_MODE"] == "token"
    assert found["RAY_AUTH_TOKEN_PATH"] == "/home/me/ray-token"
    assert found["RAY_API_SERVER_ADDRESS"] == "http://127.0.0.1:1002"
    assert found["CUDA_VISIBLE_DEVICES"] == "0"
    assert found["PATH"] == os.pathsep.join([str(Path(sys.executable).parent), "/bin"])
