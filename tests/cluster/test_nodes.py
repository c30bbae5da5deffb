"""What the dashboard tells of nodes and jobs, as rows of a table."""

from typing import Any

import pytest

from unfreeze.cluster.nodes import (
    COLUMNS,
    Amount,
    Node,
    free,
    nodes_of,
    row,
    running_jobs,
    usage_of,
)


def node(name: str, **changes: Any) -> dict[str, Any]:
    """One node of /api/v0/nodes, as far as it is read."""
    return {
        "node_id": f"{name}-id",
        "node_name": name,
        "node_ip": "127.0.0.1",
        "is_head_node": False,
        "state": "ALIVE",
        "state_message": None,
        "start_time_ms": 1000,
        "resources_total": {"CPU": 2.0, "memory": 1e9, "object_store_memory": 500_000_000.0},
        "labels": {"ray.io/node-id": "x", "zone": "a"},
    } | changes


def seen(name: str, **changes: Any) -> dict[str, Any]:
    """The same node of /nodes?view=summary."""
    raylet = {"nodeId": f"{name}-id", "objectStoreUsedMemory": 100_000_000}
    return {"mem": [8_000_000_000, 6_000_000_000, 25.0, 2_000_000_000], "raylet": raylet | changes}


def nodes(
    *listed: dict[str, Any],
    of: tuple[Any, ...] = (),
    draining: tuple[str, ...] = (),
    **usage: str,
) -> list[Node]:
    """What becomes of the two answers; usage by name."""
    resources = {f"{name}-id": lines for name, lines in usage.items()}
    return nodes_of(
        {"data": {"result": {"result": [*listed]}}},
        {"data": {"summary": [*of], "nodeLogicalResources": resources}},
        draining,
    )


def cells(*listed: dict[str, Any], of: tuple[Any, ...] = (), **usage: str) -> dict[str, str]:
    (found,) = nodes(*listed, of=of, **usage)
    return dict(zip(COLUMNS, row(found), strict=True))


def test_a_node_is_a_row() -> None:
    usage = "1.0/2.0 CPU\n0.5/1.0 GPU\n0B/466.0MiB memory"
    assert cells(node("a"), of=(seen("a"),), a=usage) == {
        "node": "a",
        "address": "127.0.0.1",
        "role": "worker",
        "CPUs": "1/2",
        "GPUs": "0.5/1",
        "memory GB": "2.0/8.0",
        "store GB": "0.1/0.5",
        "state": "alive",
        "labels": "zone=a",
    }


def test_what_is_not_known_of_a_new_node_is_said() -> None:
    found = cells(node("a"))
    assert (found["CPUs"], found["GPUs"], found["memory GB"]) == ("?/2", "0/0", "0.0/0.0")
    assert cells(node("a", resources_total={}), a="0B/1.0GiB memory")["CPUs"] == "0/0"


def test_a_dead_node_says_why_and_has_nothing() -> None:
    why = "Unexpected termination: health check failed due to missing too many heartbeats"
    found = cells(node("a", state="DEAD", state_message=why), a="1.0/2.0 CPU")
    assert found["state"] == "dead (unexpected termination)"
    assert found["CPUs"] == found["memory GB"] == "-"


def test_a_node_that_drains_is_alive_and_takes_no_work() -> None:
    usage = {"a": "0.0/2.0 CPU", "b": "1.0/2.0 CPU"}
    found = nodes(node("a"), node("b"), node("c", state="DEAD"), draining=("a-id", "c-id"), **usage)
    assert [each.state for each in found] == ["draining", "alive", "dead"]
    assert free(found) == (1.0, 0.0)


def test_the_head_is_first_and_the_dead_are_last() -> None:
    found = nodes(
        node("dead", state="DEAD", start_time_ms=5000),
        node("worker-1", start_time_ms=2000),
        node("worker-2", start_time_ms=3000),
        node("head", is_head_node=True),
    )
    assert [each.name for each in found] == ["head", "worker-2", "worker-1", "dead"]
    assert found[0].role == "head"


def test_a_node_without_a_name_has_the_start_of_its_id() -> None:
    assert cells(node("a", node_name="", node_id="0123456789ab"))["node"] == "01234567"


@pytest.mark.parametrize(
    ("line", "name", "amount"),
    [
        ("0.0/2.0 CPU", "CPU", Amount(0.0, 2.0)),
        (
            "1.5/2.0 CPU (1.5 used of 2.0 reserved in placement groups)",
            "CPU",
            Amount(1.5, 2.0),
        ),
        ("512B/1.5GiB memory", "memory", Amount(512.0, 1.5 * 2**30)),
        ("0B/476.84MiB object_store_memory", "object_store_memory", Amount(0, 476.84 * 2**20)),
    ],
)
def test_usage_is_read_as_ray_writes_it(line: str, name: str, amount: Amount) -> None:
    assert usage_of(f"0.0/1.0 other\n{line}\n")[name] == amount


def test_our_jobs_are_named_and_others_counted() -> None:
    jobs = [
        {"submission_id": "a-1", "status": "RUNNING", "metadata": {"run": "s3://b/a"}},
        {"submission_id": "b-1", "status": "SUCCEEDED", "metadata": {"run": "s3://b/b"}},
        {"submission_id": "c-1", "status": "PENDING", "metadata": None},
        {"submission_id": None, "status": "RUNNING", "metadata": {}},
    ]
    found = running_jobs(jobs)
    assert found.ours == ({"handle": "a-1", "run": "s3://b/a", "status": "running"},)
    assert found.others == 2
