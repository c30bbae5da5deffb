"""`unfreeze cluster doctor`: what it refuses before it connects, and its page."""

from dataclasses import replace
from io import StringIO

import pytest
from refusals import Run
from rich.console import Console

from unfreeze.cli.doctor_view import show
from unfreeze.cluster.doctor.facts import (
    ClockOffset,
    Dashboard,
    Examination,
    Finding,
    Machine,
    Node,
    Pair,
    Space,
)
from unfreeze.storage.probe import StoreProbe

MACHINE = Machine(
    versions={"python": "3.11.13", "ray": "2.60.0", "torch": None},
    code=None,
    torch_problem=None,
    cuda_build=None,
    driver=None,
    torch_gpus=0,
    gpu_devices=0,
    folders={"cache": Space("/cache", 90_000_000_000, 100_000_000_000)},
    shm_bytes=8_000_000_000,
    memory_bytes=32_000_000_000,
    memory_available_bytes=20_000_000_000,
    ray_processes=(),
)
HEAD = Node(
    name="10.0.0.1",
    node_id="aa",
    address="10.0.0.1",
    hostname="head",
    is_head=True,
    ray_gpus=0.0,
    object_store_bytes=1.0,
    machine=MACHINE,
    clock=ClockOffset(-0.0004, 0.001),
)
SILENT = replace(HEAD, name="10.0.0.2", is_head=False, machine=None, clock=None, problem="gone")
FOUND = Examination(
    session="session_1",
    this_machine=MACHINE,
    nodes=(HEAD, SILENT),
    pairs=(Pair(first="10.0.0.1", second="10.0.0.1", backend="gloo", bytes_per_s=1234e6),),
    pairs_left_out=0,
    dashboard=Dashboard(None),
)
FINDINGS = [
    Finding("error", "10.0.0.2", "it does not answer: [red]gone[/]", "start it again"),
    Finding("ok", "clocks", "within 0.002 s of the head's"),
]


def page(**answers: StoreProbe) -> list[str]:
    written = StringIO()
    show(FOUND, answers, FINDINGS, Console(file=written, width=120, highlight=False))
    return [line.rstrip() for line in written.getvalue().splitlines()]


def test_the_page_has_nodes_pairs_findings_and_a_count() -> None:
    lines = page()
    assert lines[0].split("  ")[0] == "node"
    row = " ".join(lines[1].split())
    assert row == "10.0.0.1 head 3.11.13 2.60.0 none 0 20.0 GB 90.0 GB 8.0 GB -0.000 s"
    assert lines[2].split() == ["10.0.0.2", *["-"] * 8]
    assert lines[5].split() == ["10.0.0.1", "gloo", "1,234"]
    assert lines[7:] == [
        "error  10.0.0.2: it does not answer: [red]gone[/]",
        "       fix: start it again",
        "ok     clocks: within 0.002 s of the head's",
        "1 error",
    ]


def test_the_store_has_columns_where_it_was_tried() -> None:
    lines = page(**{"10.0.0.1": StoreProbe(put_bytes_per_s=80e6)})
    assert lines[0].endswith("put MB/s  get MB/s")
    assert lines[1].split()[-2:] == ["80", "-"]
    assert lines[2].split()[-2:] == ["-", "-"]


@pytest.mark.usefixtures("nothing_is_started")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--endpoint", "http://x"], "--endpoint is the S3 server of --store: name that, too"),
        (["--job", "j.yaml", "--store", "s3://b"], "--job names the store"),
        (["--job", "no-such-file.yaml"], "no-such-file.yaml: no such file"),
        (["--store", "ftp://x"], "write s3://bucket/prefix, a folder, or file:///folder"),
        (["--store", "s3://bucket", "--endpoint", "nonsense"], "write 'embedded' or an http"),
        (["--address", "http://127.0.0.1:8265"], "expected Ray's own address"),
        (["--address", "ray://127.0.0.1:10001"], "expected Ray's own address"),
    ],
)
def test_mistakes_are_told_before_anything_is_started(
    run: Run, arguments: list[str], said: str
) -> None:
    code, lines = run("cluster", "doctor", *arguments)
    assert code == 2
    assert said in "\n".join(lines)
