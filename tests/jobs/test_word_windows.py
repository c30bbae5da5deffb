"""Words become windows, and no word is lost."""

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_entities
from transformers import AutoTokenizer, ByT5Tokenizer

from unfreeze.jobs.errors import DataError
from unfreeze.jobs.tasks.word_windows import NO_WORD, WordEncoder, homes, windows

FULL_OF_NOTHING = ["", " ", "\u200b", "\u0301", "\ufe0f\u200d", "\xa0"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny_entities.write_tokenizer(folder)
    return AutoTokenizer.from_pretrained(folder)


def random_sizes(draw: random.Random, room: int) -> list[int]:
    sizes = [1, 1, 1, min(2, room), min(3, room), room]
    return draw.choices(sizes, k=draw.randint(0, 60))


@pytest.mark.parametrize("room", [1, 2, 3, 7, 20])
def test_windows_have_every_word_are_full_and_share_what_they_may(room: int) -> None:
    draw = random.Random(room)
    for _ in range(300):
        sizes, stride = random_sizes(draw, room), draw.randint(0, room // 2)
        found = windows(sizes, room, stride)
        assert {word for a, b in found for word in range(a, b)} == set(range(len(sizes)))
        for a, b in found:
            assert sum(sizes[a:b]) <= room
            assert b == len(sizes) or sum(sizes[a : b + 1]) > room
        for (a, b), (after, end) in pairwise(found):
            assert a < after <= b < end
            assert sum(sizes[after:b]) <= stride
            longer = sum(sizes[after - 1 : b])  # with one word more in common
            assert longer > stride or longer + sizes[b] > room


@pytest.mark.parametrize("room", [1, 2, 3, 7, 20])
def test_each_word_is_at_home_where_it_has_the_most_context(room: int) -> None:
    draw = random.Random(room)
    for _ in range(200):
        sizes = random_sizes(draw, room)
        spans = windows(sizes, room, draw.randint(0, room // 2))
        home = homes(sizes, spans)
        for word in range(len(sizes)):
            contexts = {}
            for i, (a, b) in enumerate(spans):
                if a <= word < b:
                    left = sum(sizes[a:word]) if a else 10**6
                    right = sum(sizes[word + 1 : b]) if b < len(sizes) else 10**6
                    contexts[i] = min(left, right)
            assert home[word] == max(contexts, key=lambda i: (contexts[i], -i))


def random_words(draw: random.Random) -> list[str]:
    known = [*tiny_entities.WORDS, "okafor", "petrova", "a.b", "Zo\u00eb", "\u4e2d\u6587", "."]
    return [
        draw.choice(FULL_OF_NOTHING if draw.random() < 0.1 else known)
        for _ in range(draw.randint(1, 80))
    ]


@pytest.mark.parametrize("max_length", [4, 8, 19, 64])
@pytest.mark.parametrize("stride", [None, 0, 1])
def test_each_word_is_predicted_once_or_the_tokenizer_leaves_nothing_of_it(
    tokenizer: Any, max_length: int, stride: int | None
) -> None:
    draw = random.Random(max_length)
    rows = [random_words(draw) for _ in range(40)]
    encoder = WordEncoder(tokenizer, max_length, stride)
    cut = 0
    for words, found in zip(rows, encoder.encode(rows), strict=True):
        ids = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in words]
        there = [w for window in found for w in window.word_of if w != NO_WORD]
        assert sorted(there) == [word for word, tokens in enumerate(ids) if tokens]
        for window in found:
            assert len(window.tokens) == len(window.word_of) <= max_length
            assert (window.tokens[0], window.tokens[-1]) == (2, 3)
            for token, word in zip(window.tokens, window.word_of, strict=True):
                assert word == NO_WORD or token == ids[word][0]
        cut += max(map(len, ids)) > max_length - 2
    assert encoder.cut_off == cut


def test_a_short_row_is_what_the_tokenizer_makes_of_its_text(tokenizer: Any) -> None:
    words = ["anna", "petrova", "met", "\u200b", "bob", "."]
    [[window]] = WordEncoder(tokenizer, 64, None).encode([words])
    assert window.tokens == tokenizer(" ".join(words))["input_ids"]
    firsts = {word: window.tokens[i] for i, word in enumerate(window.word_of) if word != NO_WORD}
    assert tokenizer.convert_ids_to_tokens(list(firsts.values())) == [
        "anna",
        "p",
        "met",
        "bob",
        ".",
    ]
    assert list(firsts) == [0, 1, 2, 4, 5]


def test_a_row_of_which_nothing_is_left_is_an_example_all_the_same(tokenizer: Any) -> None:
    [[window]] = WordEncoder(tokenizer, 8, None).encode([["\u200b"]])
    assert (window.tokens, window.word_of) == ([2, 3], [NO_WORD, NO_WORD])


def test_a_word_that_is_longer_than_a_window_has_its_beginning_there(tokenizer: Any) -> None:
    encoder = WordEncoder(tokenizer, 8, None)
    [found] = encoder.encode([["met", "z" * 30, "in"]])
    assert [len(window.tokens) for window in found] == [3, 8, 3]
    assert encoder.cut_off == 1


def test_a_word_may_have_blanks_in_it(tokenizer: Any) -> None:
    [[window]] = WordEncoder(tokenizer, 64, None).encode([["new york", "met", " in "]])
    assert [w for w in window.word_of if w != NO_WORD] == [0, 1, 2]
    assert window.tokens == tokenizer("new york met in")["input_ids"]


def test_tokenizers_that_do_not_know_characters_encode_word_by_word() -> None:
    words = ["ab", "", "c"]
    [[window]] = WordEncoder(ByT5Tokenizer(), 16, None).encode([words])
    assert window.word_of == [0, NO_WORD, 2, NO_WORD]
    assert window.tokens[-1] == ByT5Tokenizer().eos_token_id


@pytest.mark.parametrize("prefix_space", [False, True])
def test_blanks_that_a_tokenizer_keeps_are_of_the_word_behind_them(
    tmp_path: Path, prefix_space: bool
) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = pre_tokenizers.ByteLevel.alphabet()
    bpe = models.BPE({letter: i for i, letter in enumerate(sorted(letters))}, [])
    tokenizer = Tokenizer(bpe)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="!")
    [[window]] = WordEncoder(fast, 64, None).encode([["ab", "c", "d\u00e9"]])
    tokens = fast.convert_ids_to_tokens(window.tokens)
    begins = [token for token, word in zip(tokens, window.word_of, strict=True) if word >= 0]
    assert begins == ["\u0120" if prefix_space else "a", "\u0120", "\u0120"]
    assert [word for word in window.word_of if word >= 0] == [0, 1, 2]


def test_settings_that_leave_no_room_or_never_end_are_refused(tokenizer: Any) -> None:
    with pytest.raises(DataError, match=r"data\.max_length: 2 tokens have no room for a word"):
        WordEncoder(tokenizer, 2, None)
    with pytest.raises(DataError, match=r"task\.stride: 4 is more than 3, half of"):
        WordEncoder(tokenizer, 8, 4)


def test_words_without_a_token_have_no_home() -> None:
    assert windows([], 8, 2) == [(0, 0)]
    assert homes([], [(0, 0)]).tolist() == []
    assert homes([1] * 6, windows([1] * 6, 4, 2)).tolist() == [0, 0, 0, 1, 1, 1]
    assert np.unique(homes([1] * 9, windows([1] * 9, 3, 1))).tolist() == [0, 1, 2, 3]
