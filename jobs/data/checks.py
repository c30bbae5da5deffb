"""Findings in the data, all at once, before anything is trained. Pure: no Ray, no torch, no files.

A check takes what it needs of the rows (a key for the text, a label) so that it works on data sets
that do not fit into memory.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unfreeze.jobs.data.row_names import Locate, by_number, counted, in_rows
from unfreeze.jobs.data.seen_rows import SeenRows, numbered
from unfreeze.jobs.nearest import nearest
from unfreeze.jobs.tasks.task import Role, RoleKind

LISTS = "lists or objects"
"""How `dataset` calls the type of a column that holds no single values."""
FEW_ROWS = 10
SMALL_SHARE = 0.01
"""A label with less than either is warned about: its share of a batch of 32 is mostly nothing, and
on a validation share of a tenth its score rests on no row or one."""

GENERAL = "general"
"""The split that is not like train, and is scored to see what was forgotten."""
_AT_ONCE = 1 << 20
ALLOW_OVERLAP_HINT = "; take them out, or set data.allow_overlap=true"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about the data that its owner should know."""

    severity: Literal["error", "warning"]
    text: str


def check_columns(split: str, roles: Mapping[Role, str], kinds: Mapping[str, str]) -> list[Finding]:
    """`roles` maps what is read to its column; `kinds` the columns that are there to types."""
    findings = []
    for role, column in roles.items():
        where = f"data.{split}: column {column!r} ({role.name})"
        if column not in kinds:
            near = nearest(column, kinds)
            hint = f"did you mean {near}? " if near else ""
            there = ", ".join(kinds)
            findings.append(Finding("error", f"{where} is missing; {hint}there are: {there}"))
            continue
        expected, fits = EXPECTED[role.kind]
        if not fits(kinds[column]):
            problem = f"{where} holds {kinds[column]}; expected {expected}"
            findings.append(Finding("error", problem))
    return findings


def _is_text(kind: str) -> bool:
    return kind in ("string", "large_string", "null")


def _is_number(kind: str) -> bool:
    return kind.startswith(("int", "uint", "float")) or kind == "null"


EXPECTED: dict[RoleKind, tuple[str, Callable[[str], bool]]] = {
    "text": ("text", _is_text),
    "label": (
        "one name or whole number for each row",
        lambda kind: _is_text(kind) or _is_number(kind) or kind in ("bool", "label"),
    ),
    "labels": ("a list of names for each row", lambda kind: kind == LISTS or _is_text(kind)),
    "number": ("one number for each row", _is_number),
    "words": ("a list of words for each row", lambda kind: kind == LISTS),
    "answers": ("answers for each row", lambda kind: kind == LISTS or _is_text(kind)),
    "messages": ("a list of messages for each row", lambda kind: kind == LISTS),
}
"""What a column of each kind holds, in words, and which types are that."""


def check_rows(
    split: str, rows: SeenRows, *, skip: bool, locate: Locate = by_number
) -> list[Finding]:
    """Findings within one source: no rows, rows that do not fit, labels that contradict.

    Rows that do not fit are errors, or if they are to be skipped warnings.
    """
    if not len(rows):
        return [Finding("error", f"data.{split}: there are no rows")]
    severity: Literal["error", "warning"] = "warning" if skip else "error"
    left_out = "; left out" if skip else ""
    findings = []
    for problem in rows.problems:
        where = in_rows(problem.count, locate(problem.first))
        text = f"data.{split}: column {problem.column!r}: {problem.text} {where}{left_out}"
        findings.append(Finding(severity, text))
    if more := rows.other_problems:
        text = f"data.{split}: and other problems in {more} row{'s' * (more != 1)}{left_out}"
        findings.append(Finding(severity, text))
    if skip and not rows.fits.any():
        findings.append(Finding("error", f"data.{split}: no row is left"))
    if len(torn := _contradictions(rows)):
        said = _counted(torn, locate)
        text = f"data.{split}: {said} the text of an earlier row with another label"
        findings.append(Finding("warning", text))
    return findings


def check_overlap(
    sources: Mapping[str, SeenRows], *, allow: bool, locate: Mapping[str, Locate] | None = None
) -> list[Finding]:
    """Texts that stand in two sources: an error unless allowed.

    Compared by `text_key`, so without case and white space; rows are of the later split. What only
    must stay together in shares, such as the questions of one context, is a warning.
    """
    findings = []
    for first, second in combinations(sources, 2):
        one, other = sources[first], sources[second]
        found = (locate or {}).get(second, by_number)
        if len(shared := _shared(one.keys[one.fits], other.keys, other.fits)):
            text = f"data.{second}: {_counted(shared, found)} a text that stands in {first} too"
            text += "" if allow else ALLOW_OVERLAP_HINT
            findings.append(Finding("warning" if allow else "error", text))
        groups, theirs = one.groups, other.groups
        if groups is None or theirs is None:
            continue
        alike = np.setdiff1d(_shared(groups[one.fits], theirs, other.fits), shared)
        if len(alike):
            said = _counted(alike, found)
            text = f"data.{second}: {said} the context of rows of {first}, if another text"
            findings.append(Finding("warning", text))
    return findings


def _shared(
    known: NDArray[np.bytes_], keys: NDArray[np.bytes_], fits: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Numbers of the rows whose key is known, from 1."""
    distinct, key_of = np.unique(keys, return_inverse=True)
    there = np.zeros(len(distinct), np.bool_)
    for start in range(0, len(known), _AT_ONCE):
        part = known[start : start + _AT_ONCE]
        places = np.minimum(np.searchsorted(distinct, part), len(distinct) - 1)
        there[places[distinct[places] == part]] = True
    return np.flatnonzero(there[key_of] & fits) + 1


def check_shares(rows: Mapping[str, int]) -> list[Finding]:
    """`rows` of train, and of the shares that were cut off it."""
    there = f"{rows['train']} row{'s' * (rows['train'] != 1)}"
    return [
        Finding(
            "error",
            f"data.{split}: train has too few different rows ({there}) for a share of them; name a "
            "source of its own, or cut a text file into more rows (data.train.rows: paragraph)",
        )
        for split, count in rows.items()
        if not count and rows["train"]
    ]


def check_labels(
    splits: Mapping[str, Iterable[str]], known: Iterable[str] = (), *, rows: int | None = None
) -> list[Finding]:
    """Findings about the labels of the splits as they will be used, shares cut out.

    `known` are labels that the column declares, in rows or not. `rows`: of train, if a row may have
    several labels or none.
    """
    train = Counter(splits["train"])
    rows = train.total() if rows is None else rows
    findings = []
    if not train:  # a task without labels
        return []
    if len(train) == 1:
        text = f"data.train: all rows have the label {_names(train)}; there is nothing to learn"
        findings.append(Finding("error", text))
    elif single := [label for label, count in train.items() if count == 1]:
        text = f"data.train: only 1 row has the label {_names(single)}; give more rows or merge it"
        # Where rows have several labels, it cannot be left out without the others of its row.
        findings.append(Finding("error" if train.total() == rows else "warning", text))
    few = max(FEW_ROWS, SMALL_SHARE * rows)
    if rare := [label for label, count in train.items() if 1 < count < few]:
        counts = [f"{label} ({train[label]})" for label in sorted(rare, key=lambda x: train[x])]
        text = f"data.train: of {rows} rows, few have the label {_names(counts, order=False)}"
        findings.append(Finding("warning", text))
    if unused := sorted(set(known) - train.keys()):
        text = f"data.train: no row has the label {_names(unused)}, which the column declares"
        findings.append(Finding("warning", text))
    for split, labels in splits.items():
        if split != "train" and (there := set(labels)):
            findings += _compared_with_train(split, there, train.keys())
    return findings


def _compared_with_train(
    split: str, labels: Collection[str], train: Collection[str]
) -> list[Finding]:
    findings = []
    if unknown := [label for label in labels if label not in train]:
        text = f"data.{split}: the label {_names(unknown)} is not in train, which has "
        findings.append(Finding("error", text + _names(train)))
    if split == GENERAL:  # of another kind: it need not have them all
        return findings
    if unseen := [label for label in train if label not in labels]:
        text = f"data.{split}: no row has the label {_names(unseen)}, so nothing is known about it"
        findings.append(Finding("warning", text))
    return findings


def _contradictions(rows: SeenRows) -> NDArray[np.int64]:
    """Rows whose text stood before with another label; numbers from 1, in order."""
    text_of, first = numbered(rows.keys)  # those that do not fit have a key of their own
    is_torn = rows.fits & (rows.set_of != rows.set_of[first][text_of])
    return np.flatnonzero(is_torn) + 1


def _counted(numbers: NDArray[np.int64], locate: Locate) -> str:
    return counted(len(numbers), locate(numbers[:5].tolist()))


def _names(labels: Iterable[str], at_most: int = 8, *, order: bool = True) -> str:
    names = sorted(labels) if order else list(labels)
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + more
