from dataclasses import replace

import pytest

from unfreeze.jobs.data_check.findings import (
    of_lengths,
    of_tokenizer,
    of_training,
    ordered,
    percent,
)
from unfreeze.jobs.data_check.lengths import Lengths, SplitLengths
from unfreeze.jobs.data_check.tokenizer_fit import Cut, HardWord, TokenizerFit

SPLIT = SplitLengths(
    tokens=9000,
    words=8000,
    percentiles={"max": 300},
    edges=[0, 300],
    bars=[200],
    longer=20,
    cut_off=20,
    examples=200,
    cuts_no_more={"1 %": 150, "0.1 %": 290},
)
CUT = Cut(10, 100, 80, 0.0, 4.0, 1.2, 0.1, 0.0, [])
ROWS = {"train": 200}


def text_of(lengths: Lengths) -> str:
    found = [finding.text for finding in of_lengths(lengths, ROWS, ROWS)]
    return found[0] if found else ""


@pytest.mark.parametrize(
    ("limit", "advice"),
    [
        (512, "data.max_length=296 would cut off no more than 0.1 %"),
        (200, "data.max_length=152 would cut off no more than 1 %"),
        (140, "data.max_length=140 is the most that this model takes"),
        (128, "this model takes no more, so cut the texts up yourself or take another model"),
    ],
)
def test_the_advice_is_a_length_that_the_model_takes(limit: int, advice: str) -> None:
    text = text_of(Lengths(128, limit, {"train": SPLIT}))
    assert text == f"20 of 200 train rows (10.0 %) are cut off at max_length 128; {advice}"


def test_rows_that_become_several_examples_are_not_cut() -> None:
    lengths = Lengths(128, 512, {"train": replace(SPLIT, cut_off=0)})
    assert text_of(lengths) == ""
    assert lengths.lose_nothing


def test_what_a_length_of_the_task_cuts_is_not_blamed_on_max_length() -> None:
    text = text_of(Lengths(128, 512, {"train": replace(SPLIT, longer=0)}))
    assert "mostly by a length of the task's own" in text


def test_few_rows_that_are_cut_are_no_finding() -> None:
    assert text_of(Lengths(128, 512, {"train": replace(SPLIT, longer=1, cut_off=1)})) == ""


def test_errors_come_first() -> None:
    found = ordered(iter([*of_training([], ["a warning"]), *of_training(["an error"], [])]))
    assert [finding.text for finding in found] == ["an error", "a warning"]


def test_a_tokenizer_of_another_language_is_told() -> None:
    strange = replace(
        CUT, tokens_per_word=2.4, unknown_tokens=0.02, hard_words=[HardWord("zorp", 3, 1, True)]
    )
    unknown, split = of_tokenizer(TokenizerFit(1000, strange, CUT, spaced=True))
    assert "does not know 2.0 % of the tokens (such as in zorp)" in unknown.text
    assert "2.40 tokens each, 2.0 times as many as in plain English" in split.text
    assert len(list(of_tokenizer(TokenizerFit(1000, strange, CUT, spaced=False)))) == 1
    assert list(of_tokenizer(TokenizerFit(1000, CUT, CUT, spaced=True))) == []


def test_small_shares_keep_their_digits() -> None:
    shares = [percent(share) for share in (0, 0.5, 0.032, 0.001, 0.00024, 1)]
    assert shares == ["0.0 %", "50.0 %", "3.2 %", "0.1 %", "0.024 %", "100.0 %"]
