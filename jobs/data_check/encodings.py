"""Characters that nobody meant to write: broken encodings, control characters, left-over markup."""

import html
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import ftfy
from ftfy.badness import BADNESS_RE

from unfreeze.jobs.data_check.rows import Looked, Shown, SplitRows, excerpt

SHOWN = 3
AROUND = 60
"""Characters that are shown before the first fault of a row."""

_LOST = re.compile("\ufffd")
_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
_UNSEEN = re.compile("[\u00ad\u200b\u2060\ufeff]")
_ENTITIES = re.compile(r"&(?:[a-zA-Z][a-zA-Z0-9]{1,30}|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});")
_TAGS = re.compile(
    r"</?(?:a|b|br|i|p|u|em|hr|li|ol|td|th|tr|ul|div|img|pre|sub|sup|font|span|table|strong|script"
    r"|style|body|html|head|h[1-6])(?:\s[^<>]{0,200})?/?>",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault."""

    name: str
    advice: str
    find: Callable[[str], "re.Match[str] | None"]
    fix: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Broken:
    """A row with a fault."""

    row: Shown
    """From shortly before the fault on."""
    fault: str
    """The characters at fault, written out if they cannot be seen."""
    fixed: str | None
    """The same part, mended; None if what was there is lost."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault, and the rows that have it; of those that are looked at."""

    name: str
    advice: str
    rows: dict[str, int]
    """By split; only those that have any."""
    shown: list[Broken]


def _mojibake(text: str) -> "re.Match[str] | None":
    return None if text.isascii() else BADNESS_RE.search(text)


def _entity(text: str) -> "re.Match[str] | None":
    """One that a browser knows."""
    return next((m for m in _ENTITIES.finditer(text) if html.unescape(m[0]) != m[0]), None)


KINDS = (
    Kind(
        "replacement characters (U+FFFD)",
        "text was lost when the files were written; read the originals again in their own encoding",
        _LOST.search,
        lambda text: text,
    ),
    Kind(
        "lone surrogates",
        "half characters, which no tokenizer reads; read the originals again",
        _SURROGATES.search,
        lambda text: text,
    ),
    Kind(
        "wrongly decoded text (mojibake)",
        "UTF-8 was read as another encoding; ftfy.fix_encoding mends most of it",
        _mojibake,
        ftfy.fix_encoding,
    ),
    Kind(
        "control characters",
        "they carry no meaning; take them out",
        _CONTROLS.search,
        lambda text: _CONTROLS.sub("", text),
    ),
    Kind(
        "invisible characters",
        "byte order marks, soft hyphens and blanks of no width split words unseen; take them out",
        _UNSEEN.search,
        lambda text: _UNSEEN.sub("", text),
    ),
    Kind(
        "HTML entities", "html.unescape turns them into what they stand for", _entity, html.unescape
    ),
    Kind(
        "HTML tags",
        "take them out, unless the model is to write them",
        _TAGS.search,
        lambda text: _TAGS.sub(" ", text),
    ),
)


def find_faults(splits: Mapping[str, SplitRows]) -> list[Fault]:
    """The kinds of which there are any."""
    return [fault for kind in KINDS if (fault := _faults(kind, splits)).rows]


def _faults(kind: Kind, splits: Mapping[str, SplitRows]) -> Fault:
    rows: Counter[str] = Counter()
    shown: list[Broken] = []
    for looked, match in _matches(kind, splits):
        rows[looked.split] += 1
        if len(shown) < SHOWN:
            shown.append(_broken(kind, looked, match))
    return Fault(kind.name, kind.advice, dict(rows), shown)


def _matches(
    kind: Kind, splits: Mapping[str, SplitRows]
) -> Iterator[tuple[Looked, "re.Match[str]"]]:
    for split in splits.values():
        for looked in split.looked:
            if match := kind.find(looked.written):
                yield looked, match


def _broken(kind: Kind, looked: Looked, match: "re.Match[str]") -> Broken:
    text, begin = looked.written, max(0, match.start() - AROUND)
    part = text[begin : match.end() + 2 * AROUND]
    dots = "... " * (begin > 0), " ..." * (begin + len(part) < len(text))
    fault = match[0] if match[0].isprintable() else ascii(match[0])[1:-1]
    fixed = kind.fix(part)
    return Broken(
        Shown(looked.split, looked.row, excerpt(part).join(dots), looked.labels),
        fault,
        excerpt(fixed).join(dots) if fixed != part else None,
    )
