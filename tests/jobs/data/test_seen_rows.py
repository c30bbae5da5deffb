"""What the checks keep of rows."""

from unfreeze.jobs.data.seen_rows import SeenRows

KEYS = [bytes([number]) * 15 + b"\0" for number in range(4)]


def test_rows_are_kept_by_their_keys_and_sets_of_labels():
    seen = SeenRows()
    seen.add(KEYS[1], ("a",), {"words": 2})
    seen.add_bad("text", "expected text, found none")
    seen.add(KEYS[2], ("a", "b"), {"words": 3})
    seen.add(KEYS[3], ("a",))
    assert len(seen) == 4 and seen.fits.tolist() == [True, False, True, True]
    assert seen.keys.view("V16")[[0, 2, 3]].tolist() == KEYS[1:]
    assert seen.label_sets == [("a",), ("a", "b")]
    assert seen.set_of.tolist() == [0, -1, 1, 0]
    assert seen.counts == {"words": 5} and seen.groups is None


def test_groups_are_kept_beside_rows_that_do_not_fit():
    seen = SeenRows()
    seen.add_bad("text", "expected text, found none")
    seen.add(KEYS[1], (), group=KEYS[2])
    seen.add_bad("text", "expected text, found none")
    assert seen.groups is not None
    assert seen.groups.view("V16")[seen.fits].tolist() == [KEYS[2]]
    assert len(seen.groups) == 3


def test_problems_are_counted_and_the_first_rows_of_each_kept():
    seen = SeenRows()
    for _ in range(30):
        seen.add_bad("text", "expected text, found none")
    for number in range(25):
        seen.add_bad("stars", f"expected a number, got {number}")
    first, second, *_ = seen.problems
    assert (first.column, first.count, first.first) == ("text", 30, list(range(1, 21)))
    assert (second.count, second.first) == (1, [31])
    assert len(seen.problems) == 20 and seen.other_problems == 6
