"""Entities are those that seqeval finds, in every sequence of tags."""

import random
import warnings

import numpy as np
import pytest
from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities

from unfreeze.jobs.metrics import draw_counts, scores_of
from unfreeze.jobs.tasks.entities import (
    SCHEMES,
    Scheme,
    TagSet,
    breaches,
    read_entities,
    read_tag,
    scheme_in,
    types_in,
)
from unfreeze.jobs.tasks.entity_scores import FIRST, RIGHT, ROW, WORDS, EntityScores

TYPES = ["PER", "LOC", "geo-loc"]
WRITTEN: tuple[Scheme, ...] = ("bio", "bioes")


def random_tags(draw: random.Random, prefixes: str = "BIES", longest: int = 12) -> list[str]:
    """Any of the tags, most of the time breaking every scheme; often one type again and again."""
    types = TYPES[: draw.randint(1, 3)]
    known = ["O", *(f"{prefix}-{name}" for prefix in prefixes for name in types)]
    return [draw.choice(known) for _ in range(draw.randint(1, longest))]


def by_seqeval(tags: list[str]) -> list[tuple[str, int, int]]:
    return [(name, start, last + 1) for name, start, last in get_entities(tags)]


@pytest.mark.parametrize("prefixes", ["BI", "I", "BIES", "ES", "S"])
def test_entities_are_those_of_seqeval_in_thousands_of_broken_sequences(prefixes: str) -> None:
    draw = random.Random(prefixes)
    for _ in range(2000):
        tags = random_tags(draw, prefixes)
        assert read_entities(tags) == by_seqeval(tags), tags


@pytest.mark.parametrize("scheme", WRITTEN)
def test_repaired_tags_mark_the_same_entities_and_break_nothing(scheme: Scheme) -> None:
    draw, tag_set = random.Random(1), TagSet(TYPES, scheme)
    for _ in range(2000):
        tags = random_tags(draw)
        repaired = tag_set.tags(np.array(tag_set.ids(tags)))
        entities = read_entities(tags)
        assert read_entities(repaired) == entities
        assert breaches(repaired, entities)[scheme] == 0
        assert {tag.partition("-")[0] for tag in repaired} <= set("OBI" + "ES" * (scheme != "bio"))


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-PER I-PER O B-PER B-PER", {"bio": 0, "bioes": 3, "iob1": 2}),
        ("I-PER I-PER O I-LOC B-LOC", {"bio": 2, "bioes": 4, "iob1": 0}),
        ("B-PER E-PER O S-LOC", {"bio": 2, "bioes": 0, "iob1": 3}),
        ("B-PER L-PER O U-LOC", {"bio": 2, "bioes": 0, "iob1": 3}),
        ("B-PER M-PER E-PER", {"bio": 1, "bioes": 0, "iob1": 2}),
        ("O I-PER", {"bio": 1, "bioes": 1, "iob1": 0}),  # I- after O
        ("B-LOC I-PER", {"bio": 1, "bioes": 2, "iob1": 1}),  # the type changes
        ("B-PER I-PER O", {"bio": 0, "bioes": 1, "iob1": 1}),  # unfinished in bioes
        ("O O", {"bio": 0, "bioes": 0, "iob1": 0}),
    ],
)
def test_tags_that_a_scheme_would_write_otherwise_are_counted(
    tags: str, expected: dict[str, int]
) -> None:
    given = tags.split()
    assert breaches(given, read_entities(given)) == expected


def test_a_few_broken_tags_do_not_hide_the_scheme() -> None:
    draw = random.Random(2)
    for scheme in WRITTEN:
        tag_set, counts = TagSet(TYPES, scheme), dict.fromkeys(SCHEMES, 0)
        for number in range(50):
            tags = tag_set.tags(np.array(tag_set.ids(random_tags(draw))))
            if number % 10 == 0:
                tags = ["O", "I-PER", *tags]
            for name, count in breaches(tags, read_entities(tags)).items():
                counts[name] += count
        found, [remark] = scheme_in({**counts, "tags": 500, f"{scheme} rows": 5})
        assert found == scheme
        assert remark.startswith(f"{counts[scheme]} of 500 tags break the scheme {scheme.upper()}")
        assert "in 5 rows" in remark


def test_rows_that_begin_entities_with_i_alone_are_read_as_iob1_and_written_as_bio() -> None:
    assert scheme_in({"bio": 90, "iob1": 0, "bioes": 95, "tags": 900}) == ("bio", [])
    assert scheme_in({}) == ("bio", [])


@pytest.mark.parametrize("tag", ["", "o", "PER", "X-PER", "B_PER", "B-", "-PER", "NOUN"])
def test_what_is_no_tag_is_named(tag: str) -> None:
    with pytest.raises(ValueError, match=f"^{tag}$"):
        read_entities(["O", tag])


def test_tags_without_a_type_are_of_one_type() -> None:
    assert read_entities(["B", "I", "O", "U"]) == [("entity", 0, 2), ("entity", 3, 4)]
    assert read_tag("B-a-b") == ("B", "a-b")


def test_types_come_once_each_in_their_order_and_with_what_is_outside() -> None:
    names = ["O", "B-PER", "I-PER", "nothing", "B-LOC", "I-PER"]
    assert types_in(names) == ["O", "PER", "LOC"]


def test_a_tag_set_has_every_tag_of_every_type() -> None:
    assert TagSet(["PER", "LOC"], "bio").names == ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    assert TagSet(["PER"], "bioes").names == ["O", "B-PER", "I-PER", "E-PER", "S-PER"]
    assert TagSet(["NOUN", "O"], "none").names == ["NOUN", "O"]


def rows_of_tags(seed: int, scheme: Scheme, count: int = 40) -> list[list[list[str]]]:
    """True tags and predicted ones of the same rows: equal, nearly equal, or nothing alike."""
    draw, names = random.Random(seed), TagSet(TYPES, scheme).names
    truth = [[draw.choice(names) for _ in range(draw.randint(1, 12))] for _ in range(count)]
    share = draw.choice([0.0, 0.1, 0.5, 1.0])
    predicted = [
        [draw.choice(names) if draw.random() < share else tag for tag in row] for row in truth
    ]
    return [truth, predicted]


def statistics_of(scheme: Scheme, truth: list[list[str]], predicted: list[list[str]]) -> np.ndarray:
    tag_set = TagSet(TYPES, scheme)
    ids = [
        np.array([tag_set.names.index(tag) for row in rows for tag in row])
        for rows in (predicted, truth)
    ]
    offsets = np.cumsum([0, *map(len, truth)])
    columns = np.ones((len(truth), FIRST))
    columns[:, WORDS] = np.diff(offsets)
    columns[:, RIGHT] = np.add.reduceat(ids[0] == ids[1], offsets[:-1], dtype=float)
    return np.concatenate([columns, tag_set.counts(*ids, offsets)], axis=1)


@pytest.mark.parametrize("scheme", WRITTEN)
@pytest.mark.parametrize("seed", range(25))
def test_metrics_are_those_of_seqeval_on_the_same_predictions(seed: int, scheme: Scheme) -> None:
    truth, predicted = rows_of_tags(seed, scheme)
    metrics = EntityScores(len(TYPES)).metrics()
    found = scores_of(list(metrics.values()), statistics_of(scheme, truth, predicted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where there are no entities
        expected = {
            "f1": f1_score(truth, predicted),
            "precision": precision_score(truth, predicted),
            "recall": recall_score(truth, predicted),
            "accuracy": accuracy_score(truth, predicted),
            "macro_f1": f1_score(truth, predicted, average="macro"),
        }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-12)


def test_the_metrics_of_a_resample_are_those_of_its_rows() -> None:
    truth, predicted = rows_of_tags(3, "bio", 15)
    statistics = statistics_of("bio", truth, predicted)
    [counts] = draw_counts(seed=1, resamples=20, rows=15)
    found = EntityScores(len(TYPES)).metrics()["f1"].of(counts @ statistics)
    for one, share in zip(counts.astype(int), found, strict=True):
        picked = [np.repeat(np.arange(15), one), truth, predicted]
        some = [[rows[i] for i in picked[0]] for rows in picked[1:]]
        assert share == pytest.approx(f1_score(*some), rel=1e-12)


def test_nothing_predicted_is_a_score_of_nothing_and_no_entities_at_all_is_not_known() -> None:
    metrics = list(EntityScores(len(TYPES)).metrics().values())
    found = scores_of(metrics, statistics_of("bio", [["B-PER", "O"]], [["O", "O"]]))
    assert {name: found[name] for name in ("f1", "precision", "recall", "macro_f1")} == {
        "f1": 0.0,
        "precision": 0.0,
        "recall": 0.0,
        "macro_f1": 0.0,
    }
    none = scores_of(metrics, statistics_of("bio", [["O", "O"]], [["O", "O"]]))
    assert set(none) == {"accuracy", "loss"}


@pytest.mark.parametrize("name", ["f1", "precision", "recall", "macro_f1", "accuracy"])
def test_pseudo_rows_are_all_right_and_all_wrong(name: str) -> None:
    statistics = statistics_of("bio", *rows_of_tags(1, "bio"))
    metric = EntityScores(len(TYPES)).metrics()[name]
    assert metric.pseudo_rows is not None
    right, wrong = metric.pseudo_rows(statistics.sum(axis=0))
    assert [float(metric.of(row)) for row in (right, wrong)] == [1.0, 0.0]
    assert right[ROW] == wrong[ROW] == 1.0


def test_of_plain_tags_each_word_is_scored_by_itself_and_o_is_nothing() -> None:
    tags = TagSet(["NOUN", "O", "VERB"], "none")
    truth = np.array(tags.ids(["NOUN", "NOUN", "VERB", "O"]))
    guess = np.array(tags.ids(["NOUN", "VERB", "O", "O"]))
    counts = tags.counts(guess, truth, np.array([0, 4]))
    assert counts.tolist() == [[1, 0, 0, 1, 0, 1, 2, 0, 1]]


def test_a_word_without_a_tag_is_outside() -> None:
    tags = TagSet(["NOUN", "VERB"], "none")
    assert tags.nothing == -1
    assert tags.tags(np.array([0, -1])) == ["NOUN", "O"]
    counts = tags.counts(np.array([-1, 1]), np.array([0, 1]), np.array([0, 2]))
    assert counts.tolist() == [[0, 1, 0, 1, 1, 1]]
