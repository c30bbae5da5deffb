import json
import re

import pytest

from unfreeze.jobs.page import duration, percent, rate, size
from unfreeze.jobs.report import build_report, wilson

NASTY = "<script>alert('text')</script> & </script>"


def a_phase(index, name, trained, **more):
    numbers = {"trained_parameters": trained, "total_parameters": 22713216, "steps": 40}
    cost = {"seconds": 12.3, "peak_memory_bytes": 612345678}
    return {"index": index, "name": name, "from_step": 40 * index, **numbers, **cost, **more}


HEAD = a_phase(0, "head", 148994, blocks=["head"], learning_rate=1e-3, ended="plateau")
ALL = a_phase(
    1, "all", 22713216, blocks=["embeddings", "layer.0"], learning_rate=5e-5, ended="length"
)


def a_job(**changes):
    return {
        "name": "reviews",
        "model": {"path": "mini-lm"},
        "task": {"name": "text-classification"},
        "data": {"train": {"path": "train.jsonl"}},
        "training": {"batch_size": 32},
        **changes,
    }


def a_result(**changes):
    return {
        "name": "reviews",
        "task": "text-classification",
        "status": "finished",
        "job": a_job(),
        "metric": "accuracy",
        "mode": "max",
        "test": {"accuracy": 0.8426, "f1": 0.8391, "loss": 0.42, "rows": 1061},
        "validation": {"accuracy": 0.8511, "f1": 0.85, "loss": 0.4, "rows": 424},
        "best_step": 60,
        "phases": [HEAD, ALL],
        "learned": {"labels": ["negative", "positive"]},
        "rows": {"train": 12345, "validation": 424, "test": 1061},
        "cut_off": {"train": 3},
        "warnings": ["3 texts are cut off"],
        "steps": 80,
        "tokens": 1843200,
        "seconds": 134.4,
        "tokens_per_s": 11070.4,
        "workers": 2,
        "zero_stage": 2,
        "precision": "fp32",
        "checkpoints": [{"id": "step-60", "step": 60, "metric": 0.8511, "size_bytes": 272558592}],
        "resumed_from": [20],
        "versions": {"torch": "2.13.0"},
        **changes,
    }


def some_metrics(validation_losses=(0.6, 0.4, 0.5, 0.6)):
    rows = []
    for step in range(1, 81):
        here = {"step": step, "epoch": step / 20, "phase": int(step > 40)}
        rows.append({"kind": "train", **here, "loss": 1 / step, "learning_rate": 1e-3})
        if step % 20 == 0 and step // 20 <= len(validation_losses):
            scored = {
                "train": {"loss": 1 / step, "accuracy": 0.9},
                "validation": {"loss": validation_losses[step // 20 - 1], "accuracy": 0.8},
            }
            rows.append({"kind": "validation", **here, **scored, "best": step == 60})
    return rows


def some_predictions(labels=("negative", "positive"), rows=90):
    """Every third is wrong: taken for the next label, the more certain the later the row."""
    made = []
    for row in range(rows):
        label = labels[row % len(labels)]
        predicted = labels[(row + (row % 3 == 0)) % len(labels)]
        sure = 0.5 + row / 200
        others = (1 - sure) / (len(labels) - 1)
        chances = {name: sure if name == predicted else others for name in labels}
        answer = {"label": label, "predicted": predicted, "probabilities": chances}
        made.append({"row": row, "text": f"text {row}", **answer})
    return made


def build(result=None, metrics=None, predictions=None, **more):
    return build_report(
        result or a_result(),
        some_metrics() if metrics is None else metrics,
        some_predictions() if predictions is None else predictions,
        **more,
    )


def markup(page):
    """The page without what is inside its scripts and styles, with plain spaces."""
    plain = page.replace("\u00a0", " ").replace("&nbsp;", " ")
    return re.sub(r"(<(script|style)\b[^>]*>).*?(</\2>)", r"\1\3", plain, flags=re.DOTALL)


def numbers(page):
    found = re.search(r'<script type="application/json" id="numbers">(.*?)</script>', page)
    return json.loads(found[1])


def drawn(page):
    return re.findall(r'data-chart="(\w+)"', page)


def test_the_page_says_what_a_reader_looks_for():
    page = markup(build())
    expected = """
    <h1>reviews</h1> | <b>84.3 %</b> | 95 % interval: 81.9 % to 86.3 %, 1,061 rows |
    <b>85.1 %</b> | <b>+10.0 points</b> | <b>22,713,216</b> | <b>2 min 14 s</b> |
    Overfitting set in after step 40 | 148,994 | 0.7 % | 612 MB | plateau | 5e-5 |
    embeddings, layer.0 | 30 of 90 test rows are wrong (33.3 %) | 12,345 | 3 (0.0 %) |
    3 texts are cut off | batch_size: 32 | 2.13.0 | step-60 | 273 MB
    """
    for words in map(str.strip, expected.split("|")):
        assert words in page, words


def test_the_sections_come_in_order():
    page = markup(build())
    found = re.findall(r"<h2>(.*?)</h2>", page)
    assert " | ".join(found) == (
        "Loss | Accuracy | Gap between training and validation | Learning rate | Phases | "
        "Confusion | Reliability | Worst mistakes | Data | Run | Checkpoints"
    )
    assert drawn(page) == ["loss", "metric", "gap_loss", "gap_metric", "rate", "matrix_0"]


def test_the_charts_get_the_numbers():
    charts = numbers(build())["charts"]
    assert charts["last"] == 80
    assert (charts["best"], charts["set_in"]) == (60, 40)
    spans = [(p["from"], p["to"], p["name"]) for p in charts["phases"]]
    assert spans == [(0, 40, "head"), (40, 80, "all")]
    assert charts["train"]["loss"][0] == 1
    assert charts["train"]["smooth"][-1] > charts["train"]["loss"][-1]
    assert charts["validated"]["gap_metric"] == pytest.approx([0.1] * 4)


def test_the_confusion_matrix_has_a_row_for_each_true_label():
    [confusion] = numbers(build())["matrices"]
    assert confusion["labels"] == ["negative", "positive"]
    assert confusion["counts"] == [[30, 15], [15, 30]]
    assert confusion["shares"][0] == pytest.approx([2 / 3, 1 / 3])


def test_the_worst_mistakes_are_the_most_certain_ones():
    page = markup(build())
    rows = [int(row) for row in re.findall(r"; row (\d+)</div>", page)]
    assert rows == list(range(87, 87 - 3 * 20, -3))
    assert "<b>positive \u2192 negative with 93.5 %</b>; positive got 6.5 %; row 87" in page


def test_a_long_text_is_there_in_full():
    predictions = some_predictions(rows=4)
    predictions[3]["text"] = "word " * 400
    assert markup(build(predictions=predictions)).count("word") == 400


def test_the_second_text_of_a_pair_is_set_apart():
    predictions = [{**p, "text_pair": "the reply"} for p in some_predictions(rows=4)]
    assert '<div class="text">text 3<div class="apart">the reply</div></div>' in build(
        predictions=predictions
    )


def test_two_builds_are_the_same_page():
    assert build() == build()


def test_texts_and_names_cannot_become_markup():
    predictions = some_predictions(labels=(NASTY, "positive"))
    for prediction in predictions:
        prediction["text"] = NASTY
    result = a_result(
        name=NASTY,
        learned={"labels": [NASTY, "positive"]},
        warnings=[NASTY],
        job=a_job(model={"path": NASTY}),
        phases=[{**HEAD, "name": NASTY}],
        versions={NASTY: NASTY},
    )
    page = build(result, predictions=predictions)
    assert "alert(" in page
    assert "<script>alert" not in page
    assert page.count("<script") - page.count("</script") == build().count(
        "<script"
    ) - build().count("</script")
    assert numbers(page)["matrices"][0]["labels"][0] == NASTY
    assert len(re.findall(r"</?script", markup(page))) == 6


def test_the_page_loads_nothing():
    page = build()
    outside = markup(page)
    assert not re.search(r"""(src|href|action|data|poster)\s*=\s*["']?\s*(https?:)?//""", outside)
    assert "<link" not in outside
    assert "<img" not in outside
    assert not re.search(r"<script[^>]*\bsrc\b", outside)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in outside
    assert len(re.findall(r"plotly\.js v\d", page)) == 1


def test_a_job_of_one_phase():
    page = build(a_result(phases=[HEAD]), some_metrics()[:42])
    assert len(numbers(page)["charts"]["phases"]) == 1
    assert "of 22,713,216, in phase 0 (head)" in markup(page)


def test_a_phase_of_no_steps_has_no_place_in_the_charts():
    page = build(a_result(phases=[{**HEAD, "steps": 0}, {**ALL, "from_step": 0}]))
    assert [p["name"] for p in numbers(page)["charts"]["phases"]] == ["all"]


def test_without_a_test_split_the_validation_split_is_shown_and_said_to_flatter():
    page = markup(build(a_result(test=None), judged="validation"))
    assert "Validation accuracy<b>85.1 %</b>" in page
    assert "There is no test split" in page
    assert "30 of 90 validation rows are wrong" in page


def test_thirty_labels_give_pairs_in_place_of_a_matrix():
    labels = tuple(f"label-{n:02}" for n in range(30))
    result = a_result(learned={"labels": list(labels)})
    page = build(result, predictions=some_predictions(labels, 300))
    assert "Most confused labels" in page
    assert "matrix_0" not in drawn(page)
    assert numbers(page)["matrices"] == []
    assert '<td data-of="true label">label-27</td><td data-of="predicted">label-28</td>' in page


def test_without_predictions_there_is_no_matrix():
    page = build(predictions=[])
    assert "matrix_0" not in drawn(page)
    assert "No predictions to look at." in page


def test_predictions_that_are_all_right_are_said_to_be():
    right = [p for p in some_predictions() if p["label"] == p["predicted"]]
    assert "every prediction on test rows is right" in build(predictions=right)


def test_predictions_without_probabilities_are_listed():
    bare = [{**p, "probabilities": None} for p in some_predictions()]
    assert "<b>negative \u2192 positive</b>; row 0</div>" in build(predictions=bare)


def test_a_job_with_one_validation():
    page = build(metrics=some_metrics((0.6,)))
    assert "Too few validations to tell" in page
    assert numbers(page)["charts"]["validated"]["step"] == [20]


def test_a_job_without_metrics_has_no_empty_charts():
    page = build(a_result(validation=None, checkpoints=[]), metrics=[], predictions=[])
    assert drawn(page) == []
    assert "None was kept." in page


def test_a_job_that_minimizes_the_loss_has_one_gap():
    page = build(a_result(metric="loss", mode="min"))
    assert drawn(page) == ["loss", "gap_loss", "rate", "matrix_0"]
    assert "Test loss<b>0.42</b>" in page


def test_losses_that_are_not_numbers_leave_a_hole():
    metrics = some_metrics()
    metrics[3]["loss"] = float("nan")
    assert numbers(build(metrics=metrics))["charts"]["train"]["loss"][3] is None


def test_a_long_run_is_thinned_to_what_can_be_seen():
    steps = [{"kind": "train", "step": n, "loss": 0.5, "learning_rate": 1e-3} for n in range(9999)]
    train = numbers(build(metrics=steps))["charts"]["train"]
    assert len(train["step"]) == len(train["smooth"]) <= 1500
    assert train["step"][-1] == 9998


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.44, "0.4 s"), (59.99, "1 min 00 s"), (134.4, "2 min 14 s"), (11100, "3 h 05 min")],
)
def test_durations_are_for_people(seconds, words):
    assert duration(seconds).replace("\u00a0", " ") == words


def test_numbers_are_for_people():
    assert percent(0.8426).replace("\u00a0", " ") == "84.3 %"
    assert size(999_900).replace("\u00a0", " ") == "1 MB"
    assert size(None) == "not known"
    assert [rate(1e-3), rate(5e-5), rate(1e-10)] == ["0.001", "5e-5", "1e-10"]


def test_the_wilson_interval_is_the_textbook_one():
    assert wilson(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert wilson(1.0, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson(0.0, 10)[0] == 0


def test_a_result_with_scores_from_before_shows_what_training_changed():
    before = {
        "validation": {"accuracy": 0.5, "loss": 0.7, "rows": 424},
        "general": {"accuracy": 0.9, "loss": 0.1, "rows": 10},
    }
    after = {"accuracy": 0.6, "loss": 0.9, "rows": 10}
    page = markup(build(a_result(before=before, general=after)))
    assert "Before and after" in page and "something is forgotten" in page
    cells = re.findall(r'<td data-of="(rows|metric|before|after)"[^>]*>(.*?)</td>', page)
    values = [value for _, value in cells]
    start = values.index("general")
    assert values[start : start + 4] == ["general", "accuracy", "90.0 %", "60.0 %"]
    assert "Before and after" not in build()


def test_starts_of_the_workers_are_listed_when_there_was_more_than_one():
    attempts = [
        {"workers": 2, "from_step": 0, "to_step": 57, "ended": "the machine of rank 1 is gone"},
        {"workers": 1, "from_step": 40, "to_step": 80, "ended": "finished"},
    ]
    page = markup(build(a_result(attempts=attempts)))
    assert "<h2>Attempts</h2>" in page
    assert "the machine of rank 1 is gone" in page
    assert "<h2>Attempts</h2>" not in markup(build(a_result(attempts=attempts[1:])))
