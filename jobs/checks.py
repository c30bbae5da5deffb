"""Findings in the data, all at once, before anything is trained. Pure: no Ray, no torch, no files.

A check takes what it needs of the rows (a key for the text, a label) so that it works on data sets
that do not fit into memory.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import combinations
from typing import Literal

from unfreeze.jobs.tasks.task import Role, RoleKind

LISTS = "lists or objects"
"""How `dataset` calls the type of a column that holds no single values."""
MOST_NAMED = 20
"""Rows that do not fit are named up to here, and counted from here on."""
FEW_ROWS = 10
SMALL_SHARE = 0.01
"""A label with less than either is warned about: its share of a batch of 32 is mostly nothing, and
on a validation share of a tenth its score rests on no row or one."""

GENERAL = "general"
"""The split that is not like train, and is scored to see what was forgotten."""
ALLOW_OVERLAP_HINT = "; take them out, or set data.allow_overlap=true"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about the data that its owner should know."""

    severity: Literal["error", "warning"]
    text: str


@dataclass(slots=True)
class Rows:
    """What the checks see of a source's rows, in the source's order."""

    keys: list[bytes | None] = field(default_factory=list)
    """`text_key` of the texts; None for rows that do not fit."""
    labels: list[tuple[str, ...]] = field(default_factory=list)
    """Names of each row's labels."""
    bad: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    """Column and problem -> numbers of the rows that do not fit, from 1."""
    counts: Counter[str] = field(default_factory=Counter)
    """`Seen.counts`, summed up."""

    def add(
        self, key: bytes, labels: tuple[str, ...], counts: Mapping[str, int] | None = None
    ) -> None:
        """A row that fits."""
        self.keys.append(key)
        self.labels.append(labels)
        self.counts.update(counts or {})

    def add_bad(self, column: str, problem: str) -> None:
        """A row that does not."""
        self.keys.append(None)
        self.labels.append(())
        self.bad.setdefault((column, problem), []).append(len(self.keys))


def check_columns(split: str, roles: Mapping[Role, str], kinds: Mapping[str, str]) -> list[Finding]:
    """`roles` maps what is read to its column; `kinds` the columns that are there to types."""
    findings = []
    for role, column in roles.items():
        where = f"data.{split}: column {column!r} ({role.name})"
        if column not in kinds:
            near = get_close_matches(column, kinds, 1, 0.5)
            hint = f"did you mean {near[0]}? " if near else ""
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


def check_rows(split: str, rows: Rows, *, skip: bool) -> list[Finding]:
    """Findings within one source: no rows, rows that do not fit, labels that contradict.

    Rows that do not fit are errors, or if they are to be skipped warnings.
    """
    if not rows.keys:
        return [Finding("error", f"data.{split}: there are no rows")]
    findings = [
        Finding(
            "warning" if skip else "error",
            f"data.{split}: column {column!r}: {problem} {_in_rows(numbers)}"
            + ("; left out" if skip else ""),
        )
        for (column, problem), numbers in list(rows.bad.items())[:MOST_NAMED]
    ]
    if (more := len(rows.bad) - MOST_NAMED) > 0:
        left = sum(map(len, list(rows.bad.values())[MOST_NAMED:]))
        text = f"data.{split}: and {more} other problems, in {left} rows"
        findings.append(Finding("warning" if skip else "error", text))
    if skip and not any(rows.keys):
        findings.append(Finding("error", f"data.{split}: no row is left"))
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


def _contradictions(rows: Rows) -> list[int]:
    """Rows whose text stood before with another label; numbers from 1."""
    first: dict[bytes, tuple[str, ...]] = {}
    return [
        i
        for i, (key, labels) in enumerate(zip(rows.keys, rows.labels, strict=True), 1)
        if key is not None and first.setdefault(key, labels) != labels
    ]


def _in_rows(numbers: Sequence[int]) -> str:
    """ "in row 3", or "in 40 rows (1, 5, 9 ...)"."""
    if len(numbers) == 1:
        return f"in row {numbers[0]}"
    named = ", ".join(map(str, numbers[:MOST_NAMED]))
    return f"in {len(numbers)} rows ({named}{' ...' if len(numbers) > MOST_NAMED else ''})"


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
