"""Findings in the data, all at once, before anything is trained. Pure: no Ray, no torch, no files.

A check takes what it needs of the rows (a key for the text, a label) so that it works on data sets
that do not fit into memory.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import combinations
from typing import Literal

FEW_ROWS = 10
SMALL_SHARE = 0.01
"""A label with less than either is warned about: its share of a batch of 32 is mostly nothing, and
on a validation share of a tenth its score rests on no row or one."""

ALLOW_OVERLAP_HINT = "; take them out, or set data.allow_overlap=true"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about the data that its owner should know."""

    severity: Literal["error", "warning"]
    text: str


@dataclass(frozen=True, slots=True)
class Rows:
    """What the checks see of a source's rows, in the source's order."""

    keys: list[bytes | None]
    """`text_key` of the text; None where there is none."""
    labels: list[str | None]
    """None where there is none."""


def check_columns(split: str, wanted: Mapping[str, str], kinds: Mapping[str, str]) -> list[Finding]:
    """`wanted` maps roles (text, label) to columns; `kinds` the columns that are there to types."""
    findings = []
    for role, column in wanted.items():
        where = f"data.{split}: column {column!r} ({role})"
        if column not in kinds:
            near = get_close_matches(column, kinds, 1, 0.5)
            hint = f"did you mean {near[0]}? " if near else ""
            there = ", ".join(kinds)
            findings.append(Finding("error", f"{where} is missing; {hint}there are: {there}"))
            continue
        kind = kinds[column]
        if role == "label" and not _can_be_label(kind):
            problem = f"{where} holds {kind}; expected one name or whole number for each row"
            findings.append(Finding("error", problem))
        if role != "label" and kind not in ("string", "large_string", "null"):
            findings.append(Finding("error", f"{where} holds {kind}; expected text"))
    return findings


def check_rows(split: str, rows: Rows) -> list[Finding]:
    """Findings within one source: no rows, empty texts, no labels, labels that contradict."""
    if not rows.keys:
        return [Finding("error", f"data.{split}: there are no rows")]
    findings = []
    empty = [i for i, key in enumerate(rows.keys, 1) if key is None]
    if empty:
        findings.append(Finding("error", f"data.{split}: {_counted(empty)} no text"))
    missing = [i for i, label in enumerate(rows.labels, 1) if label is None]
    if missing:
        findings.append(Finding("error", f"data.{split}: {_counted(missing)} no label"))
    if torn := _contradictions(rows):
        text = f"data.{split}: {_counted(torn)} the text of an earlier row with another label"
        findings.append(Finding("warning", text))
    return findings


def check_overlap(sources: Mapping[str, Rows], *, allow: bool) -> list[Finding]:
    """Texts that stand in two sources: an error unless allowed.

    Compared by `text_key`, so without case and white space; rows are of the later split.
    """
    findings = []
    for first, second in combinations(sources, 2):
        known = {key for key in sources[first].keys if key is not None}
        shared = [i for i, key in enumerate(sources[second].keys, 1) if key in known]
        if not shared:
            continue
        text = f"data.{second}: {_counted(shared)} a text that stands in {first} too"
        text += "" if allow else ALLOW_OVERLAP_HINT
        findings.append(Finding("warning" if allow else "error", text))
    return findings


def check_labels(splits: Mapping[str, Sequence[str]], known: Iterable[str] = ()) -> list[Finding]:
    """Findings about the labels of the splits as they will be used, shares cut out.

    `known` are names that the label column declares, in rows or not.
    """
    train = Counter(splits["train"])
    findings = []
    if len(train) == 1:
        text = f"data.train: all rows have the label {_names(train)}; there is nothing to learn"
        findings.append(Finding("error", text))
    elif single := [label for label, rows in train.items() if rows == 1]:
        text = f"data.train: only 1 row has the label {_names(single)}; give more rows or merge it"
        findings.append(Finding("error", text))
    few = max(FEW_ROWS, SMALL_SHARE * train.total())
    if rare := [label for label, rows in train.items() if 1 < rows < few]:
        counts = [f"{label} ({train[label]})" for label in sorted(rare, key=lambda x: train[x])]
        text = (
            f"data.train: of {train.total()} rows, few have the label {_names(counts, order=False)}"
        )
        findings.append(Finding("warning", text))
    if unused := sorted(set(known) - train.keys()):
        text = f"data.train: no row has the label {_names(unused)}, which the column declares"
        findings.append(Finding("warning", text))
    for split, labels in splits.items():
        if split != "train" and labels:
            findings += _compared_with_train(split, set(labels), train.keys())
    return findings


def _compared_with_train(
    split: str, labels: Collection[str], train: Collection[str]
) -> list[Finding]:
    findings = []
    if unknown := [label for label in labels if label not in train]:
        text = f"data.{split}: the label {_names(unknown)} is not in train, which has "
        findings.append(Finding("error", text + _names(train)))
    if unseen := [label for label in train if label not in labels]:
        text = f"data.{split}: no row has the label {_names(unseen)}, so nothing is known about it"
        findings.append(Finding("warning", text))
    return findings


def _contradictions(rows: Rows) -> list[int]:
    """Rows whose text stood before with another label; numbers from 1."""
    first: dict[bytes, str] = {}
    return [
        i
        for i, (key, label) in enumerate(zip(rows.keys, rows.labels, strict=True), 1)
        if key is not None and label is not None and first.setdefault(key, label) != label
    ]


def _can_be_label(kind: str) -> bool:
    return kind.startswith(("int", "uint", "float")) or kind in (
        *("string", "large_string", "bool", "null", "label"),
    )


def _counted(rows: Sequence[int], at_most: int = 5) -> str:
    """ "3 rows have (rows 1, 5, 9)", up to a verb's object."""
    numbers = ", ".join(map(str, rows[:at_most])) + (" ..." if len(rows) > at_most else "")
    if len(rows) == 1:
        return f"1 row (row {numbers}) has"
    return f"{len(rows)} rows (rows {numbers}) have"


def _names(labels: Iterable[str], at_most: int = 8, *, order: bool = True) -> str:
    names = sorted(labels) if order else list(labels)
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + more
