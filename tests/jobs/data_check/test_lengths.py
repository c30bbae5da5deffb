import pytest

from unfreeze.jobs.data_check.lengths import bar_edges


@pytest.mark.parametrize(
    ("max_length", "longest", "edges"),
    [
        (128, 79, [0, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80]),
        (10, 10, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (32, 42, [0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 42]),
        (4, 5, [0, 1, 2, 3, 4, 5]),
        (8, 3, [0, 1, 2, 3]),
        (8, 0, [0, 1]),
    ],
)
def test_bars_end_at_max_length_and_have_every_row(
    max_length: int, longest: int, edges: list[int]
) -> None:
    assert bar_edges(max_length, longest) == edges


def test_very_long_rows_share_the_last_bar() -> None:
    edges = bar_edges(10, 10**9)
    assert edges == [*range(20), 10**9]
