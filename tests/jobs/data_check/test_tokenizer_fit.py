from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_entities
import tiny_language
from tiny_splits import sentences

from unfreeze.jobs.data_check.tokenizer_fit import cut_up, fit_tokenizer


@pytest.fixture(scope="module")
def whole_words(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("words")
    tiny.write_tokenizer(folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("pieces")
    tiny_entities.write_tokenizer(folder)
    return AutoTokenizer.from_pretrained(folder)


def test_known_words_are_one_token_each(whole_words: Any) -> None:
    cut = cut_up(sentences(10), whole_words)
    assert (cut.texts, cut.tokens, cut.words) == (10, 120, 120)
    assert (cut.tokens_per_word, cut.words_cut, cut.words_in_many) == (1, 0, 0)
    assert cut.unknown_tokens == 0
    assert cut.hard_words == []


def test_unknown_words_are_named_with_how_often_they_stand(whole_words: Any) -> None:
    cut = cut_up(["great zorp film", "a zorp", "the quux of zorp"], whole_words)
    assert cut.unknown_tokens == pytest.approx(4 / 9)
    named = [(word.word, word.times, word.is_unknown) for word in cut.hard_words]
    assert named == [("zorp", 3, True), ("quux", 1, True)]


def test_pieces_are_counted_for_each_word(pieces: Any) -> None:
    cut = cut_up(["anna met xyzzy, in qqqq."], pieces)
    assert cut.words == 5
    assert cut.tokens == 3 + 5 + 4 + 2  # the comma is unknown, the full stop is a token
    assert cut.tokens_per_word == pytest.approx((1 + 1 + 5 + 1 + 4) / 5)
    assert (cut.words_cut, cut.words_in_many) == (0.4, 0.4)
    assert [(word.word, word.pieces) for word in cut.hard_words] == [("xyzzy", 5), ("qqqq", 4)]
    assert cut.unknown_tokens == pytest.approx(1 / 14)
    assert cut.bytes_per_token == pytest.approx(24 / 14)


def test_a_token_that_begins_with_a_blank_is_of_the_word_behind_it(tmp_path: Path) -> None:
    tokenizer = tiny_language.write_tokenizer(tmp_path)
    text = "The sky is blue. The sky"
    cut = cut_up([text], tokenizer)
    assert cut.words == 6
    assert cut.tokens_per_word == pytest.approx((cut.tokens - 1) / 6)  # the full stop
    assert cut.unknown_tokens == 0


def test_scripts_without_spaces_are_not_counted_by_words(pieces: Any) -> None:
    japanese = fit_tokenizer(["\u65e5\u672c\u8a9e\u306e\u6587"], pieces)
    assert japanese is not None and not japanese.spaced
    english = fit_tokenizer(["the film"], pieces)
    assert english is not None and english.spaced
    assert english.english.words > 100
    assert fit_tokenizer([], pieces) is None
