"""Spans of training as people write them: "2ep", "0.5ep", "100st"."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_PATTERN = re.compile(r"(\d+(?:\.\d+)?)\s*(ep|epochs?|st|steps?)")


@dataclass(frozen=True, slots=True)
class Span:
    """A length of training: epochs (fractions allowed) or optimizer steps."""

    value: float
    unit: Literal["ep", "st"]

    def steps(self, steps_per_epoch: int) -> int:
        """The span in optimizer steps. More than nothing is at least one step."""
        if self.value == 0:
            return 0
        exact = self.value * (steps_per_epoch if self.unit == "ep" else 1)
        return max(1, round(exact))

    def __str__(self) -> str:
        text = format(Decimal(repr(self.value)), "f")  # every digit, and no exponent
        return (text.rstrip("0").rstrip(".") if "." in text else text) + self.unit


def parse_span(value: Any) -> Span:
    """A Span from "2ep", "0.5 epochs" or "100st". Raises ValueError."""
    if isinstance(value, Span):
        return value
    found = _PATTERN.fullmatch(str(value).strip())
    if not found:
        raise ValueError(f'expected a length such as "2ep" or "100st", got {value!r}')
    unit: Literal["ep", "st"] = "ep" if found[2].startswith("ep") else "st"
    number = float(found[1])
    if unit == "st" and number != int(number):
        raise ValueError(f"steps come whole, got {value!r}")
    return Span(number, unit)


Length = Annotated[
    Span,
    BeforeValidator(parse_span),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?\s*(ep|epochs?|st|steps?)$"}),
]
