"""What `unfreeze cluster doctor` found, in the terminal: a page."""

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from unfreeze.cli.store_findings import Answers
from unfreeze.cli.words import size
from unfreeze.cluster.doctor.facts import Examination, Finding, Node, Pair, Severity
from unfreeze.cluster.doctor.findings import summary
from unfreeze.storage.probe import StoreProbe

_STYLES: Mapping[Severity, str] = {"error": "bold red", "warning": "yellow", "ok": "green"}
_NOT_KNOWN = "-"
MB = 1e6


def show(
    found: Examination, answers: Answers, findings: Sequence[Finding], console: Console
) -> None:
    """The nodes with what is left of memory and disk, the pairs, the findings in the order given,
    and a line that counts them."""
    columns = ["node", "Python", "Ray", "torch", "GPUs", "memory", "disk", "/dev/shm", "clock"]
    columns += ["put MB/s", "get MB/s"] if answers else []
    rows = [
        _node_row(node) + (_store_cells(node, answers) if answers else []) for node in found.nodes
    ]
    _print_table(console, columns, rows)
    if found.pairs:
        console.print()
        _print_table(console, ["pair", "all-reduce", "MB/s"], map(_pair_row, found.pairs))
    console.print()
    listed = Table.grid(padding=(0, 2))
    listed.add_column(no_wrap=True)
    listed.add_column(overflow="fold")
    for finding in findings:
        said = Text(f"{finding.subject}: {finding.text}")
        if finding.fix:
            said.append(f"\nfix: {finding.fix}", "cyan")
        listed.add_row(Text(finding.severity, _STYLES[finding.severity]), said)
    console.print(listed)
    console.print(Text(summary(findings), "bold"))


def _node_row(node: Node) -> list[str]:
    name = f"{node.name} head" if node.is_head else node.name
    machine = node.machine
    if machine is None:
        return [name, *[_NOT_KNOWN] * 8]
    versions = [machine.versions.get(package) or "none" for package in ("python", "ray", "torch")]
    return [
        name,
        *versions,
        f"{machine.torch_gpus}",
        size(machine.memory_available_bytes),
        size(min(space.free_bytes for space in machine.folders.values())),
        size(machine.shm_bytes),
        f"{node.clock.seconds:+.3f} s" if node.clock else _NOT_KNOWN,
    ]


def _store_cells(node: Node, answers: Answers) -> list[str]:
    probe = answers.get(node.name)
    if not isinstance(probe, StoreProbe):
        return [_NOT_KNOWN] * 2
    return [_speed(probe.put_bytes_per_s), _speed(probe.get_bytes_per_s)]


def _pair_row(pair: Pair) -> list[str]:
    return [pair.name, pair.backend, _speed(pair.bytes_per_s)]


def _speed(bytes_per_s: float | None) -> str:
    return _NOT_KNOWN if bytes_per_s is None else f"{bytes_per_s / MB:,.0f}"


def _print_table(console: Console, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """The first column to the left, the others to the right."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    for place, name in enumerate(columns):
        side: JustifyMethod = "right" if place else "left"
        table.add_column(name, justify=side, overflow="fold", no_wrap=not place)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
