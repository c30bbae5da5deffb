"""CoNLL files: a word and its tags on each line, sentences with blank lines between them.

Columns are separated by tabs, or in files without tabs by blanks. The first is the word, the last
its tag; those between them are not read. A file of one column has words only.
"""

import re
from collections.abc import Iterable, Iterator

Sentence = dict[str, list[str]]
"""`tokens`, and `tags` if the file has them."""

_WHITE = " \t\r\n"  # not those of Unicode: a word may be one
_BLANKS = re.compile(r"[ \t]+")
_TABS = re.compile(r"\t+")
_COMMENT = re.compile(r"#\s*(id\s|[\w.:-]+\s*=\s)")


class BrokenFile(ValueError):
    """A line cannot be read (the text says which, and why), or no line has a word."""


def read_sentences(lines: Iterable[bytes]) -> Iterator[Sentence]:
    """The sentences of a file, one at a time. Lines that open a document (-DOCSTART-) and comments
    (`# id ...`, `# name = value`) are left out. Raises BrokenFile."""
    sentence: list[list[str]] = []
    first: tuple[int, int] | None = None  # the number of the first line with a word, its columns
    for number, raw in enumerate(lines, 1):
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise BrokenFile(f"line {number} is not UTF-8 text") from None
        columns = _columns(line)
        if not columns or columns[0] == "-DOCSTART-":
            if sentence:
                yield _sentence(sentence)
            sentence = []
        elif sentence or not _COMMENT.match(line):
            first = first or (number, len(columns))
            if len(columns) != first[1]:
                text = f"line {number} has {_count(len(columns))}, expected {_count(first[1])} as "
                raise BrokenFile(text + f"in line {first[0]}: a word first and its tag last")
            sentence.append(columns)
    if sentence:
        yield _sentence(sentence)
    elif not first:
        raise BrokenFile("there are no rows in it")


def _columns(line: str) -> list[str]:
    """The columns of a line, none if it is blank."""
    if not line.strip(_WHITE):
        return []
    if "\t" in line:
        return [column.strip(_WHITE) for column in _TABS.split(line.rstrip(_WHITE))]
    return _BLANKS.split(line.strip(_WHITE))


def _sentence(lines: list[list[str]]) -> Sentence:
    tokens = {"tokens": [columns[0] for columns in lines]}
    return tokens | ({"tags": [columns[-1] for columns in lines]} if len(lines[0]) > 1 else {})


def _count(columns: int) -> str:
    return "1 column" if columns == 1 else f"{columns} columns"
