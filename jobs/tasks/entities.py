"""Entities in sequences of tags: read from any scheme, written in one, counted.

A tag is O, or a prefix and a type, such as B-PER. The schemes differ in their prefixes:

    bio     B- begins an entity, I- goes on with it (IOB2)
    iob1    I-; B- only begins an entity right behind another of its type
    bioes   B-, I-, and E- for the last word; S- is an entity of one word (BILOU: L-, U-; BMES: M-)

All are read by one rule, that of the CoNLL scorer (conlleval) and of seqeval: an entity begins at
B- and S-, after O, E- and S-, and where the type changes. So a sequence that breaks its scheme has
entities too: an I- after O begins one. Writing them down again repairs it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Scheme = Literal["bio", "bioes", "none"]
"""How a model's tags mark entities; none: each word has a tag of its own."""
Ints = NDArray[np.int64]

OUTSIDE = "O"
SCHEMES = ("bio", "bioes", "iob1")
"""Those that tags are read from. The earlier one is taken where two fit."""

_PREFIXES = "OBIES"
_SAME = {"L": "E", "U": "S", "M": "I"}
_TAG = re.compile(r"([BIMELSU])(?:-(.+))?", re.DOTALL)
_NAMELESS = "entity"


class Entity(NamedTuple):
    """Words [start, end) of a row."""

    type: str
    start: int
    end: int


@lru_cache(4096)
def read_tag(tag: str) -> tuple[str, str]:
    """One of O, B, I, E and S, and the type; a lone B is of type "entity". Raises ValueError with
    what is no tag."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    if not (found := _TAG.fullmatch(tag)):
        raise ValueError(tag)
    return _SAME.get(found[1], found[1]), found[2] or _NAMELESS


def types_in(tags: Iterable[str]) -> list[str]:
    """The types of what are tags, and O, each once and in their order."""
    pairs = [read_tag(tag) for tag in tags if tag == OUTSIDE or _TAG.fullmatch(tag)]
    return list(dict.fromkeys(type_ or OUTSIDE for _, type_ in pairs))


def read_entities(tags: Sequence[str]) -> list[Entity]:
    """The entities of a row. Raises ValueError with what is no tag."""
    found: list[Entity] = []
    before = read_tag(OUTSIDE)
    for word, (prefix, type_) in enumerate(map(read_tag, tags)):
        if prefix in "BS" or (prefix != OUTSIDE and (before[0] in "OES" or before[1] != type_)):
            found.append(Entity(type_, word, word + 1))
        elif prefix != OUTSIDE:
            found[-1] = found[-1]._replace(end=word + 1)
        before = prefix, type_
    return found


def breaches(tags: Sequence[str], entities: Sequence[Entity]) -> dict[str, int]:
    """How many of a row's tags each of SCHEMES would write otherwise."""
    given = [read_tag(tag)[0] for tag in tags]
    return {
        scheme: sum(map(str.__ne__, given, _prefixes(entities, len(tags), scheme)))
        for scheme in SCHEMES
    }


def scheme_in(counts: Mapping[str, int]) -> tuple[Scheme, list[str]]:
    """The scheme for a model whose rows break each of SCHEMES in so many tags (`counts`: those, in
    how many "rows" they are, and all "tags"), and what is to be said about it."""
    found = min(SCHEMES, key=lambda scheme: counts.get(scheme, 0))
    remarks = []
    if broken := counts.get(found, 0):
        remarks = [
            f"{broken:,} of {counts['tags']:,} tags break the scheme {found.upper()}, in "
            f"{counts[f'{found} rows']:,} rows; they are repaired: what has a type is in an entity"
        ]
    return "bioes" if found == "bioes" else "bio", remarks


def _prefixes(entities: Sequence[Entity], words: int, scheme: str) -> list[str]:
    """As the scheme writes them, of all words of a row."""
    found = [OUTSIDE] * words
    before = Entity("", 0, 0)
    for entity in entities:
        type_, start, end = entity
        found[start:end] = "I" * (end - start)
        if scheme != "iob1" or (before.type, before.end) == (type_, start):
            found[start] = "B"
        if scheme == "bioes":
            found[end - 1] = "S" if end - start == 1 else "E"
        before = entity
    return found


@dataclass(frozen=True, slots=True)
class FlatEntities:
    """In the words of many rows end to end: the first word of each entity, the one behind its last,
    and the number of its type."""

    starts: Ints
    ends: Ints
    types: Ints


class TagSet:
    """The tags that a model gives, for all types; their place is their id."""

    def __init__(self, types: Sequence[str], scheme: Scheme) -> None:
        """`types`: of the entities; with the scheme "none", all tags."""
        self.types, self.scheme = list(types), scheme
        if scheme == "none":
            self.names = self.types
            pairs = [(0 if n == OUTSIDE else 4, i) for i, n in enumerate(self.names)]
        else:
            prefixes = [1, 2] if scheme == "bio" else [1, 2, 3, 4]
            pairs = [(0, -1), *((p, i) for i in range(len(self.types)) for p in prefixes)]
            some = (f"{_PREFIXES[p]}-{self.types[i]}" for p, i in pairs[1:])
            self.names = [OUTSIDE, *some]
        self._prefixes, self._types = np.array([*pairs, (0, -1)], np.int64).T
        self._id_of = {name: i for i, name in enumerate(self.names)}
        self.nothing = self._id_of.get(OUTSIDE, -1)
        """The id of a word of which the model sees nothing. It is outside, as -1 is too."""

    def ids(self, tags: Sequence[str]) -> list[int]:
        """Of the tags of one row, which may be of another scheme and break it."""
        if self.scheme == "none":
            return [self._id_of.get(tag, -1) for tag in tags]
        found = [self.nothing] * len(tags)
        entities = read_entities(tags)
        prefixes = _prefixes(entities, len(tags), self.scheme)
        for type_, start, end in entities:
            for word in range(start, end):
                found[word] = self._id_of[f"{prefixes[word]}-{type_}"]
        return found

    def tags(self, ids: Ints) -> list[str]:
        """The names of the ids."""
        return [self.names[i] if i >= 0 else OUTSIDE for i in ids]

    def entities(self, ids: Ints, rows_begin: Ints) -> FlatEntities:
        """What `read_entities` finds, in many rows end to end. With the scheme "none", each word
        with a tag other than O is one."""
        prefixes, types = self._prefixes[ids], self._types[ids]
        fresh = np.zeros(len(ids), bool)  # nothing goes on from the word before
        fresh[rows_begin] = True
        fresh[1:] |= np.isin(prefixes[:-1], (0, 3, 4)) | (types[1:] != types[:-1])
        inside = prefixes != 0
        begins = inside & (fresh | np.isin(prefixes, (1, 4)))
        starts = np.flatnonzero(begins)
        stops = np.append(np.flatnonzero(begins | ~inside), len(ids))
        ends = stops[np.searchsorted(stops, starts, side="right")]
        return FlatEntities(starts, ends, types[starts])

    def counts(self, guess: Ints, truth: Ints, offsets: Ints) -> NDArray[np.float64]:
        """For each row, how many entities of each type were found, predicted, and there:
        [rows, 3 * types]. `offsets` says where the rows begin, and where the last one ends.

        Found is what has the same first word, last word, and type. Rows must have words.
        """
        found, there = (self.entities(ids, offsets[:-1]) for ids in (guess, truth))
        end_of, type_of = np.full((2, len(truth)), -1)
        end_of[there.starts], type_of[there.starts] = there.ends, there.types
        right = (end_of[found.starts] == found.ends) & (type_of[found.starts] == found.types)
        width, rows = len(self.types), len(offsets) - 1
        row_of = np.repeat(np.arange(rows), np.diff(offsets))
        tables = [
            np.bincount(row_of[starts] * width + types, minlength=rows * width).reshape(rows, width)
            for starts, types in (
                (found.starts[right], found.types[right]),
                (found.starts, found.types),
                (there.starts, there.types),
            )
        ]
        return np.concatenate(tables, axis=1).astype(np.float64)
