"""Texts that are nearly the same, by MinHash and locality-sensitive hashing.

A text is a set of short pieces that overlap. Two texts are near-duplicates if the sets have at
least SIMILARITY of their union in common (Jaccard). Signatures (Broder, 1997) find candidates:
those that agree in a whole band of their signatures (Leskovec, Rajaraman and Ullman, "Mining of
Massive Datasets", 3.4). Each candidate is then compared by its pieces, so no pair is reported that
is none; with 20 bands of 6 a pair at the threshold is missed once in 400 times.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import combinations, groupby, pairwise

import numpy as np
from datasketch import MinHash
from numpy.typing import NDArray

from unfreeze.jobs.data_check.rows import Ints
from unfreeze.jobs.data_check.words import words_in

SIMILARITY = 0.8
BANDS, BAND_SIZE = 20, 6
MARGIN = 0.15
"""Candidates whose signatures agree in less than SIMILARITY - MARGIN of their places are not
looked at: four standard deviations of the estimate."""
FEW_WORDS = 50
"""Pieces are of words if half of the texts are longer than this: in a shorter text one other word
changes too many of them, and they are of characters."""
WORDS, CHARACTERS = 3, 5
ALL_PAIRS = 8
"""In a bucket with more texts each is compared with its neighbour and the first of each split."""

Pieces = Callable[[str], set[bytes]]
Signatures = NDArray[np.uint32]


def pieces_for(texts: Sequence[str]) -> tuple[Pieces, str]:
    """How to cut these texts, and that in words."""
    sizes = sorted(len(words_in(text)) for text in texts)
    if sizes and sizes[len(sizes) // 2] > FEW_WORDS:
        return word_pieces, f"{WORDS} words"
    return character_pieces, f"{CHARACTERS} characters"


def word_pieces(text: str) -> set[bytes]:
    words = words_in(text.casefold())
    runs = (words[i : i + WORDS] for i in range(max(1, len(words) - WORDS + 1)))
    return {" ".join(run).encode("utf-8", "surrogatepass") for run in runs}


def character_pieces(text: str) -> set[bytes]:
    """Of the words with one blank between them."""
    plain = " ".join(words_in(text.casefold()))
    ends = range(CHARACTERS, max(CHARACTERS, len(plain)) + 1)
    return {plain[end - CHARACTERS : end].encode("utf-8", "surrogatepass") for end in ends}


def near_pairs(
    texts: Sequence[str], groups: Sequence[int], pieces: Pieces
) -> Iterator[tuple[int, int, float]]:
    """Pairs of near-duplicates (earlier, later, similarity): for each text at most one with each
    group. `groups`: of each text its group, in ascending order."""
    cut = lru_cache(maxsize=4096)(lambda i: pieces(texts[i]))
    found: set[tuple[int, int]] = set()
    for first, second in _candidates(_signatures(texts, pieces), np.asarray(groups)):
        if (groups[first], second) in found:
            continue
        similarity = jaccard(cut(first), cut(second))
        if similarity >= SIMILARITY:
            found.add((groups[first], second))
            yield first, second, similarity


def jaccard(first: set[bytes], second: set[bytes]) -> float:
    common = len(first & second)
    return common / (len(first) + len(second) - common)


def _signatures(texts: Sequence[str], pieces: Pieces) -> Signatures:
    """[texts, BANDS * BAND_SIZE]"""
    size = BANDS * BAND_SIZE
    sketch = MinHash(num_perm=size, hashfunc=zlib.crc32, scheme="affine32")
    found = np.empty((len(texts), size), np.uint32)
    for i, text in enumerate(texts):
        sketch.clear()
        sketch.update_batch(pieces(text))
        found[i] = sketch.hashvalues
    return found


def _candidates(signatures: Signatures, groups: Ints) -> list[tuple[int, int]]:
    """Pairs that agree in a band and about enough over all, in ascending order."""
    pairs: set[tuple[int, int]] = set()
    for band in range(BANDS):
        columns = signatures[:, band * BAND_SIZE : (band + 1) * BAND_SIZE]
        mixed = np.zeros(len(columns), np.uint64)
        for column in columns.T:
            mixed = (mixed ^ column) * np.uint64(0x9E3779B97F4A7C15)  # wraps around
        for bucket in _buckets(mixed):
            pairs.update(_compared(bucket, groups))
    if not pairs:
        return []
    both = np.array(sorted(pairs), np.int64)
    alike = np.concatenate(
        [
            (signatures[some[:, 0]] == signatures[some[:, 1]]).mean(axis=1)
            for some in np.array_split(both, -(-len(both) // 100_000))
        ]
    )
    return [(int(a), int(b)) for a, b in both[alike >= SIMILARITY - MARGIN]]


def _buckets(values: NDArray[np.uint64]) -> Iterator[list[int]]:
    """Places with equal values, where there are two or more, each in ascending order."""
    order = np.argsort(values, kind="stable")
    borders = np.flatnonzero(np.diff(values[order])) + 1
    starts, ends = np.append(0, borders), np.append(borders, len(order))
    for start, end in zip(starts[ends - starts > 1], ends[ends - starts > 1], strict=True):
        yield order[start:end].tolist()


def _compared(bucket: Sequence[int], groups: Ints) -> Iterator[tuple[int, int]]:
    """Which texts of a bucket are compared: its work grows with its size, not with the square."""
    if len(bucket) <= ALL_PAIRS:
        yield from combinations(bucket, 2)
        return
    firsts = [next(members) for _, members in groupby(bucket, key=lambda i: int(groups[i]))]
    for before, place in pairwise(bucket):
        yield before, place
        yield from ((first, place) for first in firsts if first < place)
