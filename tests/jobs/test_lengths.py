"""Lengths as people write them, and what they are in steps."""

import pickle

import pytest

from unfreeze.jobs.lengths import Span, parse_span


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("2ep", 2, "ep"),
        ("0.5ep", 0.5, "ep"),
        ("0ep", 0, "ep"),
        ("1 epoch", 1, "ep"),
        ("2.5 epochs", 2.5, "ep"),
        ("100st", 100, "st"),
        ("1 step", 1, "st"),
        ("100 steps", 100, "st"),
        (" 3ep ", 3, "ep"),
        ("10.0st", 10, "st"),
    ],
)
def test_a_length_is_a_number_and_a_unit(text: str, value: float, unit: str) -> None:
    assert parse_span(text) == Span(value, unit)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value", ["", "2", 2, 2.5, None, True, "ep", "-1ep", "1e3st", "2 hours", "2ep3", "1.ep", [], {}]
)
def test_what_is_no_length_is_refused_with_an_example_of_one(value: object) -> None:
    with pytest.raises(ValueError, match='such as "2ep" or "100st", got'):
        parse_span(value)


def test_a_span_is_taken_as_it_is() -> None:
    assert parse_span(Span(2, "ep")) == Span(2, "ep")


def test_steps_come_whole() -> None:
    with pytest.raises(ValueError, match=r"steps come whole, got '1\.5st'"):
        parse_span("1.5st")


@pytest.mark.parametrize(
    ("text", "per_epoch", "steps"),
    [
        ("2ep", 11, 22),
        ("0.5ep", 11, 6),
        ("0.5ep", 10, 5),
        ("0.3ep", 283, 85),
        ("0.01ep", 10, 1),
        ("0ep", 10, 0),
        ("0st", 10, 0),
        ("7st", 10, 7),
        ("1ep", 1, 1),
    ],
)
def test_more_than_nothing_is_at_least_one_step(text: str, per_epoch: int, steps: int) -> None:
    assert parse_span(text).steps(per_epoch) == steps


@pytest.mark.parametrize("text", ["2ep", "0.5ep", "100st", "0ep", "0.25ep", "999999st"])
def test_a_length_is_written_as_it_was_read(text: str) -> None:
    assert str(parse_span(text)) == text
    assert parse_span(pickle.loads(pickle.dumps(parse_span(text)))) == parse_span(text)


@pytest.mark.parametrize("text", ["1234567st", "0.3333333ep", "0.00001ep"])
def test_a_length_of_many_digits_is_written_as_it_was_read(text: str) -> None:
    assert parse_span(str(parse_span(text))) == parse_span(text)
