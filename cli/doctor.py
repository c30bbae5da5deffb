"""`unfreeze cluster doctor`"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING

import click

from unfreeze.cli.options import AS_JSON

if TYPE_CHECKING:  # they take seconds, or bring what --help has no need of
    from unfreeze.cli.store_findings import Answers
    from unfreeze.cluster.doctor.facts import Examination, Unanswered
    from unfreeze.storage import ObjectStore
    from unfreeze.storage.probe import StoreProbe

QUICK_OBJECT_BYTES = 1024**2


@click.command("doctor")
@click.option(
    "--address",
    help="Ray cluster, HOST:PORT or auto; default: that of `cluster up`, or a Ray of its own here.",
)
@click.option("--store", metavar="URI", help="Also try this store from every node.")
@click.option("--endpoint", help="S3 server of --store: its url, or embedded.")
@click.option("--job", "file", metavar="FILE.yaml", help="Try the store of this job or search.")
@click.option("--quick", is_flag=True, help="Send 1 MB at a time, and between fewer pairs.")
@AS_JSON
def command(
    address: str | None,
    store: str | None,
    endpoint: str | None,
    file: str | None,
    quick: bool,
    as_json: bool,
) -> None:
    """Look at every node of a cluster; say what is wrong, and how to mend it.

    Exits with 1 if there is an error. Warnings are none.
    """
    from unfreeze.cli.store_findings import judge_store
    from unfreeze.cluster.doctor.findings import exit_code, in_order, judge, summary

    if address and address.startswith("ray://"):
        raise click.UsageError(
            f"{address}: Ray's client does not see the nodes' own clocks and sessions; expected "
            "Ray's own address, HOST:PORT, or auto"
        )
    opened = _open_store(store, endpoint, file)
    # Ray prints the death of nodes to stdout, which belongs to the page or the JSON.
    with redirect_stdout(sys.stderr), _telling() as tell:
        found, answers = _examine(address, opened, quick, tell)
    findings = judge(found)
    if opened:
        findings += judge_store(opened.uri, answers)
    findings = in_order(findings)
    if as_json:
        told = {
            **asdict(found),
            "answers": {name: asdict(answer) for name, answer in answers.items()},
            "store": opened.uri if opened else None,
            "findings": [asdict(finding) for finding in findings],
            "summary": summary(findings),
        }
        click.echo(json.dumps(told))
    else:
        from rich.console import Console

        from unfreeze.cli.doctor_view import show

        width = None if sys.stdout.isatty() else 120
        show(found, answers, findings, Console(highlight=False, width=width))
    sys.exit(exit_code(findings))


def _open_store(store: str | None, endpoint: str | None, file: str | None) -> "ObjectStore | None":
    """The store that was named, one that gives up soon. Raises UsageError, UserMistake, InvalidUri,
    EmbeddedStoreError."""
    if file and (store or endpoint):
        raise click.UsageError("--job names the store: leave --store and --endpoint out")
    if endpoint and not store:
        raise click.UsageError("--endpoint is the S3 server of --store: name that, too")
    if file:
        from unfreeze.cli.runs import is_search_file
        from unfreeze.jobs import load_job
        from unfreeze.tuning.search_file import load_search

        job = load_search(file).job if is_search_file(file) else load_job(file)
        store, endpoint = job.storage.uri, job.storage.endpoint
    if store is None:
        return None
    from unfreeze.storage import RetryPolicy, open_store

    return open_store(store, endpoint=endpoint, policy=RetryPolicy(attempts=2))


def _examine(
    address: str | None, store: "ObjectStore | None", quick: bool, tell: Callable[[str], None]
) -> "tuple[Examination, Answers]":
    """The cluster, and what each machine says of the store."""
    from unfreeze.cluster import connect
    from unfreeze.cluster.doctor.examine import QUICK, THOROUGH, examine
    from unfreeze.cluster.local.state import running_cluster

    if address is None and (local := running_cluster()):
        address = local.address
    with _trying(store, quick) as (check, answers):
        tell("connecting")
        with connect(address):
            found = examine(check, thoroughness=QUICK if quick else THOROUGH, tell=tell)
        answers |= found.answers
    return found, answers


@contextmanager
def _trying(
    store: "ObjectStore | None", quick: bool
) -> "Iterator[tuple[Callable[[], StoreProbe] | None, dict[str, StoreProbe | Unanswered]]]":
    """What is to be run on the nodes, and where the answers go: this machine's is there. The marker
    for the nodes lasts as long as the block."""
    from unfreeze.cluster.doctor.software import THIS_MACHINE
    from unfreeze.storage import StorageError
    from unfreeze.storage.probe import PROBE_BYTES, probe, put_marker

    if store is None:
        yield None, {}
        return
    num_bytes = QUICK_OBJECT_BYTES if quick else PROBE_BYTES
    here = probe(store, num_bytes=num_bytes)
    key = None
    try:
        key = None if here.failed else put_marker(store)
    except StorageError as error:
        here = replace(here, failed="put", problem=str(error))
    answers: dict[str, StoreProbe | Unanswered] = {THIS_MACHINE: here}
    try:
        yield partial(probe, store, num_bytes=num_bytes, marker_key=key), answers
    finally:
        try:
            store.delete([key] if key else [])
        except StorageError as error:
            answers[THIS_MACHINE] = replace(here, failed="delete", problem=str(error))


@contextmanager
def _telling() -> Iterator[Callable[[str], None]]:
    """Says on stderr what is being done, where there is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda doing: None
        return
    with console.status("") as status:
        yield lambda doing: status.update(f"{doing} ...")
