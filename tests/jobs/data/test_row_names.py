"""How rows are named to people."""

from unfreeze.jobs.data.row_names import Place, by_number, counted, in_rows

A, B = Place(1, "a.csv", 2), Place(5, "b.csv", 7)


def test_a_row_is_named_by_what_is_known_of_it():
    assert in_rows(1, [Place(3)]) == "in row 3"
    assert in_rows(1, [Place(3, "a.jsonl")]) == "in row 3 of a.jsonl"
    assert in_rows(1, [A]) == "in row 1 of a.csv, line 2"
    assert counted(1, [A]) == "1 row (row 1 of a.csv, line 2) has"


def test_several_rows_are_named_file_by_file():
    assert in_rows(2, by_number([3, 9])) == "in 2 rows (rows 3, 9)"
    assert in_rows(2, [A, B]) == "in 2 rows (a.csv: 1 = line 2; b.csv: 5 = line 7)"
    places = [Place(1, "a.jsonl"), Place(4, "a.jsonl")]
    assert in_rows(2, places) == "in 2 rows (a.jsonl: 1, 4)"
    assert counted(2, places) == "2 rows (a.jsonl: 1, 4) have"


def test_there_are_more_than_are_named():
    assert in_rows(30, by_number(range(1, 21))).endswith("19, 20 ...)")
    assert counted(6, by_number(range(1, 7))) == "6 rows (rows 1, 2, 3, 4, 5 ...) have"
