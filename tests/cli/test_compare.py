"""`unfreeze compare`: its arguments, its table, its refusals."""

from collections.abc import Callable
from pathlib import Path

import pytest
from refusals import Run, check_lines

from unfreeze.cli.compare import command, short_names, show, told_apart
from unfreeze.jobs.compare.comparison import MOST_ROWS, Comparison
from unfreeze.jobs.compare.facts import Facts
from unfreeze.jobs.compare.frozen import Costs
from unfreeze.jobs.compare.ranking import Judged, rank
from unfreeze.jobs.metrics import mean_of


def test_settings_are_told_apart_from_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rate=3").mkdir()
    words = ["a/b", "data.max_length=32", "s3://bucket/x=1/model", "rate=3", "model.dropout=0"]
    models = ["a/b", "s3://bucket/x=1/model", "rate=3"]
    assert told_apart(words) == (models, ["data.max_length=32", "model.dropout=0"])


def test_names_are_short_where_that_tells_them_apart() -> None:
    assert short_names(["a/b/small", "s3://x/large/", "hub"]) == ["small", "large", "hub"]
    assert short_names(["a/model", "b/model"]) == ["a/model", "b/model"]


def test_the_verb_and_the_function_judge_by_as_many_rows() -> None:
    (rows,) = [option for option in command.params if option.name == "most_rows"]
    assert rows.default == MOST_ROWS


def test_the_table_has_the_best_first_and_says_which_to_take(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from numpy import arange, ones, stack

    def judged(name: str, right: int) -> Judged:
        return Judged(
            name=name,
            statistics=stack([ones(100), arange(100) < right], axis=1),
            judged_by="the same rows",
            facts=Facts(
                parameters=22_713_986,
                layers=6,
                hidden_size=384,
                longest_input=512,
                max_length=256,
                tokens_per_word=1.345,
                unknown_share=0.0,
                cut_off_share=0.045,
            ),
            costs=Costs(milliseconds=31.25, activation_bytes=5_241_439, peak_bytes=None),
            training_bytes=531_149_824,
            was_kept=False,
        )

    ranked = rank(mean_of("accuracy", 1), [judged("poor", 60), judged("good", 90)])
    failures = {"gone": "no such folder"}
    show(Comparison(metric="accuracy", method="by hand", ranked=ranked, failures=failures))
    header, best, second, failed, method, advice = capsys.readouterr().out.splitlines()
    assert header.split()[:2] == ["model", "accuracy"]
    assert best.split()[:2] == ["good", "0.9000"]
    assert "22,713,986" in best and "1.34" in best and "4.5%" in best and "531.1 MB" in best
    assert second.split()[:2] == ["poor", "0.6000"] and "-0.3000" in second
    assert failed == "not compared: gone: no such folder"
    assert method == "measured: by hand"
    assert advice.startswith("Take good: it has the highest accuracy, 0.9000")


@pytest.mark.usefixtures("nothing_is_started")
def test_without_a_model_that_works_it_is_the_users_mistake(
    run: Run, job: Callable[..., str]
) -> None:
    code, lines = run("compare", job(), "--models", "no/such/model", "nor/this/one")
    assert code == 2
    said = [line for line in lines if line.startswith("error: ")]
    check_lines(
        said, "model: no/such/model: no such folder$", "model: nor/this/one: no such folder$"
    )
    code, lines = run("compare", job())
    assert code == 2
    assert lines[-1] == "Error: name the models to compare: --models A B C"
