"""How well the tokenizer fits the texts: into how many pieces it cuts their words.

Rust et al. (2021), "How Good is Your Tokenizer?", call tokens per word fertility, and found that
models learn worse in languages where it and the share of words that are cut are high. What is high
is told here by plain English, which the same tokenizer is given too.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unfreeze.jobs.data_check.rows import Ints
from unfreeze.jobs.data_check.scripts import count_scripts
from unfreeze.jobs.data_check.words import WITHOUT_SPACES, word_spans

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Flags = NDArray[np.bool_]

MOST_CHARACTERS = 500_000
"""A sample of so many characters is enough for these shares."""
BATCH = 256
MANY_PIECES = 4
SHOWN = 10
PLAIN_ENGLISH = (
    "The boat left the harbour early in the morning, and nobody saw it go.",
    "My sister bought a small house near the river two years ago.",
    "It rained for most of the week, so the children played inside.",
    "We had dinner at the new place on the corner, and the food was very good.",
    "The company said that sales had fallen, but that it would open three more shops.",
    "If you want to learn a language, you should speak it every day.",
    "He put the letter on the table, took his coat and walked out of the room.",
    "Most people in the town work at the school or at the hospital.",
    "The film is long and slow, but the last part of it is great.",
    "She asked the driver how much the trip would cost, and he did not know.",
    "A new road was built through the forest to join the two villages.",
    "You can pay by card, or send the money to the address below.",
)


@dataclass(frozen=True, slots=True)
class HardWord:
    """A word that the tokenizer cuts into many pieces, or does not know."""

    word: str
    times: int
    pieces: int
    is_unknown: bool


@dataclass(frozen=True, slots=True)
class Cut:
    """What becomes of some texts. Words are runs of letters and digits."""

    texts: int
    tokens: int
    words: int
    unknown_tokens: float
    """Share of the tokens."""
    bytes_per_token: float
    tokens_per_word: float | None
    """None if the tokenizer does not say which characters a token is of, or if there are none."""
    words_cut: float | None
    """Share of the words with two pieces or more."""
    words_in_many: float | None
    """Share of the words with MANY_PIECES or more."""
    hard_words: list[HardWord]
    """The most frequent ones."""


@dataclass(frozen=True, slots=True)
class TokenizerFit:
    """The training rows beside plain English."""

    vocabulary: int
    train: Cut
    english: Cut
    spaced: bool
    """The main script writes spaces between words; if not, tokens per word say nothing."""


def fit_tokenizer(
    texts: Sequence[str], tokenizer: "PreTrainedTokenizerBase"
) -> TokenizerFit | None:
    """None if there are no texts."""
    if not texts:
        return None
    some = _sample(texts)
    scripts = count_scripts("".join(some[:1000])).most_common(1)
    return TokenizerFit(
        len(tokenizer),
        cut_up(some, tokenizer),
        cut_up(PLAIN_ENGLISH, tokenizer),
        not scripts or scripts[0][0] not in WITHOUT_SPACES,
    )


def cut_up(texts: Sequence[str], tokenizer: "PreTrainedTokenizerBase") -> Cut:
    tokens = unknown = 0
    times: Counter[str] = Counter()
    pieces: defaultdict[str, int] = defaultdict(int)
    lost: set[str] = set()
    by_pieces: Counter[int] = Counter()
    for text, ids, offsets in _encoded(texts, tokenizer):
        is_unknown = ids == (-1 if tokenizer.unk_token_id is None else tokenizer.unk_token_id)
        tokens, unknown = tokens + len(ids), unknown + int(is_unknown.sum())
        if offsets is None:
            continue
        spans = word_spans(text)
        counts, unknowns = _pieces_of(spans, offsets, is_unknown)
        by_pieces.update(counts.tolist())
        for place in np.flatnonzero((counts >= MANY_PIECES) | unknowns).tolist():
            word = text[slice(*spans[place])]
            times[word] += 1
            pieces[word] = max(pieces[word], int(counts[place]))
            if unknowns[place]:
                lost.add(word)
    words = by_pieces.total()
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    return Cut(
        texts=len(texts),
        tokens=tokens,
        words=words,
        unknown_tokens=unknown / max(1, tokens),
        bytes_per_token=size / max(1, tokens),
        tokens_per_word=sum(n * count for n, count in by_pieces.items()) / words if words else None,
        words_cut=_share(by_pieces, 2) if words else None,
        words_in_many=_share(by_pieces, MANY_PIECES) if words else None,
        hard_words=[
            HardWord(word, count, pieces[word], word in lost)
            for word, count in times.most_common(SHOWN)
        ],
    )


def _share(by_pieces: Counter[int], least: int) -> float:
    return sum(count for n, count in by_pieces.items() if n >= least) / by_pieces.total()


def _encoded(
    texts: Sequence[str], tokenizer: "PreTrainedTokenizerBase"
) -> Iterator[tuple[str, Ints, Ints | None]]:
    """Each text with its tokens and the characters [tokens, 2] that each is of, if it is known."""
    for start in range(0, len(texts), BATCH):
        some = list(texts[start : start + BATCH])
        encoded: Any = tokenizer(
            some,
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            return_offsets_mapping=tokenizer.is_fast,
            verbose=False,  # it would say that some are too long for the model
        )
        for i, text in enumerate(some):
            places = encoded["offset_mapping"][i] if tokenizer.is_fast else None
            offsets = None if places is None else np.array(places, np.int64).reshape(-1, 2)
            yield text, np.array(encoded["input_ids"][i], np.int64), offsets


def _pieces_of(
    spans: Sequence[tuple[int, int]], offsets: Ints, is_unknown: Flags
) -> tuple[Ints, Flags]:
    """Of each word how many tokens end in it, and whether an unknown one does. The last character
    decides, for the first may be the blank before."""
    if not spans:
        return np.zeros(0, np.int64), np.zeros(0, np.bool_)
    starts, ends = np.array(spans, np.int64).T
    last = offsets[:, 1] - 1
    word = np.searchsorted(starts, last, side="right") - 1
    inside = (offsets[:, 1] > offsets[:, 0]) & (word >= 0) & (last < ends[word])
    counts: Ints = np.bincount(word[inside], minlength=len(spans)).astype(np.int64)
    unknowns = np.bincount(word[inside & is_unknown], minlength=len(spans)) > 0
    return counts, unknowns


def _sample(texts: Sequence[str]) -> list[str]:
    """Evenly spread texts with about MOST_CHARACTERS together."""
    total = sum(map(len, texts))
    step = max(1, -(-total // MOST_CHARACTERS))
    return list(texts[::step])
