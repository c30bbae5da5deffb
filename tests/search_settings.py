"""What search files are in tests, and the mistakes that are found in them."""

from typing import Any

import pytest

from unfreeze.jobs import ConfigError
from unfreeze.tuning.search_file import Search, parse_search

JOB: dict[str, Any] = {
    "model": "models/tiny",
    "task": "text-classification",
    "data": {"train": "train.jsonl"},
    "phases": [{"train": "head", "for": "1ep"}, {"train": "all", "for": "2ep"}],
}
SEARCH: dict[str, Any] = {
    "name": "reviews-search",
    "job": JOB,
    "space": {
        "phases.0.for": {"choice": ["0ep", "1ep", "2ep"]},
        "phases.1.learning_rate": {"loguniform": [1e-5, 1e-4]},
    },
}


def parse(*overrides: str, **settings: Any) -> Search:
    return parse_search(SEARCH | settings, overrides)


def mistakes(*overrides: str, **settings: Any) -> list[str]:
    with pytest.raises(ConfigError) as error:
        parse(*overrides, **settings)
    return error.value.mistakes
