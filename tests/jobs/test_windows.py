"""Long contexts are cut into windows that lose nothing, whatever the tokenizer."""

import random
import tempfile
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import tiny
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from unfreeze.jobs.errors import DataError
from unfreeze.jobs.tasks.windows import (
    CHAR_ENDS,
    CHAR_STARTS,
    Windowed,
    WindowEncoder,
    tokens_of,
    windows,
)

TEXT = "the tower of Paris \u2014 \u00c9cole, caf\u00e9 \U0001f600 and 3.5 cats;  it was a plot"

INPUTS = ["input_ids", "attention_mask"]


@cache
def tokenizer_of(kind: str) -> Any:
    """Trained on one line: "bytes" as GPT-2's (no special tokens at all), "blanks" as T5's, which
    counts a blank to the word after it, and "words" as BERT's, with [CLS] first."""
    if kind == "words":
        with tempfile.TemporaryDirectory() as folder:
            tiny.write_tokenizer(Path(folder))
            return AutoTokenizer.from_pretrained(
                folder, model_input_names=[*INPUTS, "token_type_ids"]
            )
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    special = ["<pad>", "</s>", "<unk>"]
    initial = []
    if kind == "bytes":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
        initial = pre_tokenizers.ByteLevel.alphabet()
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
        tokenizer.post_processor = processors.TemplateProcessing(
            single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
        )
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=special, initial_alphabet=initial, show_progress=False
    )
    tokenizer.train_from_iterator([TEXT] * 4, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_input_names=INPUTS,
    )


KINDS = ["words", "bytes", "blanks"]


def cut(kind: str, question: str, context: str, max_length: int, stride: int | None) -> Windowed:
    encoder = WindowEncoder(tokenizer_of(kind), max_length, stride)
    (found,) = encoder.encode([question], [context])
    return found


@pytest.mark.parametrize("seed", range(10))
def test_windows_cover_all_tokens_and_share_the_stride(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(100):
        tokens, room = draw.randint(0, 60), draw.randint(1, 20)
        stride = draw.randrange(room)
        found = windows(tokens, room, stride)
        assert found[0][0] == 0 and found[-1][1] == tokens
        assert all(0 <= end - begin <= room for begin, end in found)
        for before, after in pairwise(found):
            assert before[1] - after[0] == stride and before[1] < after[1]
        for first in range(tokens):  # each span of stride + 1 tokens is whole in one of them
            last = min(tokens - 1, first + stride)
            assert any(begin <= first and last < end for begin, end in found)


def test_tokens_of_characters_are_those_with_a_part_of_them() -> None:
    starts, ends = [0, 0, 4, 9, 9], [0, 4, 9, 9, 12]
    assert tokens_of(starts, ends, (0, 4)) == (1, 1)
    assert tokens_of(starts, ends, (3, 5)) == (1, 2)
    assert tokens_of(starts, ends, (8, 10)) == (2, 4)
    assert tokens_of(starts, ends, (12, 20)) is None


@pytest.mark.parametrize("kind", KINDS)
def test_windows_are_those_of_the_tokenizers_own_truncation(kind: str) -> None:
    tokenizer, draw = tokenizer_of(kind), random.Random(1)
    seen = set()
    for _ in range(40):
        question = " ".join(draw.choices(TEXT.split(), k=2))
        context = " ".join(draw.choices(TEXT.split(), k=draw.randint(1, 40)))
        max_length = draw.choice([20, 36, 60])
        stride = draw.choice([0, 3, max_length // 3])
        if len(tokenizer(question, add_special_tokens=False)["input_ids"]) > max_length // 3:
            continue
        expected = tokenizer(
            question,
            context,
            truncation="only_second",
            max_length=max_length,
            stride=stride,
            return_overflowing_tokens=True,
        )
        found = cut(kind, question, context, max_length, stride)
        assert found.sequences["input_ids"] == expected["input_ids"]
        if kind == "words":
            assert found.sequences["token_type_ids"] == expected["token_type_ids"]
        seen.add(len(found.nulls))
    assert {1, 2, 3} <= seen


@pytest.mark.parametrize("kind", KINDS)
def test_every_answer_that_fits_is_whole_in_a_window_and_comes_back(kind: str) -> None:
    draw = random.Random(2)
    answered = 0
    for _ in range(60):
        context = " ".join(draw.choices(TEXT.split(" "), k=draw.randint(2, 40)))
        begin = draw.randrange(len(context))
        end = draw.randint(begin + 1, min(len(context), begin + 12))
        text = context[begin:end].strip()
        if not text:
            continue
        begin = context.index(text, begin)
        found = cut(kind, "the plot", context, draw.choice([30, 48, 400]), None)
        labels, is_whole = found.labels((begin, begin + len(text)))
        tokens = tokens_of(*found.context, (begin, begin + len(text)))
        assert tokens is not None
        if tokens[1] - tokens[0] <= min(10, found.spans[0][1]):  # a third of 30 tokens
            assert is_whole
        for window, (first, last) in enumerate(labels):
            null = found.nulls[window]
            if (first, last) == (null, null):
                continue
            starts = found.sequences[CHAR_STARTS][window]
            ends = found.sequences[CHAR_ENDS][window]
            said = context[starts[first] : ends[last]]
            assert text in said and len(said) <= len(text) + 24
            if kind != "words" and (begin == 0 or context[begin - 1].isspace()):
                assert said.startswith(text[0])
            answered += 1
    assert answered > 20


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_of_an_answer_have_neither_blanks_around_them_nor_a_part_of_the_question(
    kind: str,
) -> None:
    context = " the cats  it was\n a plot "
    found = cut(kind, "the tower of Paris", context, 400, None)
    (starts,), (ends,) = found.sequences[CHAR_STARTS], found.sequences[CHAR_ENDS]
    parts = [context[a:b] for a, b in zip(starts, ends, strict=True) if b > a]
    assert "".join(parts) == "".join(context.split())
    assert all(part == part.strip() for part in parts)
    assert not any(ends[: found.first]) and not any(starts[: found.first])


def test_the_null_is_the_cls_token_or_else_the_first() -> None:
    assert cut("words", "the plot", "it was", 30, None).nulls == [0]
    assert cut("blanks", "the plot", "it was", 30, None).nulls == [0]
    tokenizer = tokenizer_of("blanks")
    moved = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, pad_token="<pad>", cls_token="</s>"
    )
    (found,) = WindowEncoder(moved, 30, None).encode(["the"], ["it"])
    place = found.sequences["input_ids"][0].index(tokenizer.eos_token_id)
    assert found.nulls == [place] and place > 0


def test_a_long_question_is_cut_and_said_to_be() -> None:
    found = cut("words", "the plot " * 20, "it was the cast " * 10, 30, None)
    assert found.question_is_cut and found.first == 1 + 10 + 1
    assert all(len(ids) <= 30 for ids in found.sequences["input_ids"])
    assert len(found.nulls) > 1
    assert not cut("words", "the plot " * 5, "it was", 30, None).question_is_cut


def test_a_context_of_no_token_is_a_window_without_answers() -> None:
    found = cut("words", "the plot", "\t\n", 30, None)
    assert len(found.nulls) == 1
    assert found.labels((0, 1)) == ([(0, 0)], False)


@pytest.mark.parametrize("max_length", [5, 6, 8, 12])
def test_small_windows_get_to_the_end(max_length: int) -> None:
    found = cut("words", "the plot was", "it was the cast " * 5, max_length, None)
    assert found.spans[-1][1] == 20
    assert all(len(ids) <= max_length for ids in found.sequences["input_ids"])


def test_what_leaves_no_room_is_refused() -> None:
    with pytest.raises(DataError, match=r"data\.max_length: 4 tokens have no room"):
        cut("words", "the plot", "it was", 4, None)
    with pytest.raises(DataError, match=r"task\.stride: 11 is more than 10, a third of data\."):
        cut("words", "the plot", "it was", 30, 11)
