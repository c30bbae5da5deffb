"""The page of a search: what it says, and that nothing in a result can break it."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from search_results import a_result, a_result_of, a_trial, fail, many_trials, of_loss

from unfreeze.tuning.report import build_report

NASTY = "</script><b onmouseover='alert(1)'>\" & {{ 7 * 7 }} <!-- <script>"
CHARTS = ["finalists", "map_metric", "map_gap", "parallel", "curves", "budget", "saved", "picked"]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

Data = dict[str, Any]


def markup(page: str) -> str:
    """The page without what is inside its scripts and styles, with plain spaces."""
    plain = page.replace("\u00a0", " ").replace("&nbsp;", " ").replace("\u200b", "")
    return re.sub(r"(<(script|style)\b[^>]*>).*?(</\2>)", r"\1\3", plain, flags=re.DOTALL)


def numbers(page: str) -> Data:
    found = re.search(r'<script type="application/json" id="numbers">(.*?)</script>', page)
    assert found
    data: Data = json.loads(found[1])
    return data


def drawn(page: str) -> list[str]:
    return re.findall(r'data-chart="(\w+)"', page)


def only_the_default_finished() -> Data:
    trials = a_result()["trials"]
    for trial in trials[1:]:
        fail(trial, "phases.1.train: no such block", at_once=True)
    return a_result_of(trials, test=None)


def nothing_finished() -> Data:
    trials = a_result()["trials"]
    for trial in trials:
        fail(trial, "the loss is nan at step 3")
    return a_result_of(trials, test=None, optimism=None, verdict=[])


def a_single_trial() -> Data:
    return a_result_of([a_trial(0, {"phases.0.for": "1ep"})])


def odd_words() -> Data:
    result = a_result()
    space = {NASTY: {"choice": [NASTY, None, [NASTY]]}, **result["space"]}
    for trial in result["trials"]:
        trial["settings"] = {NASTY: NASTY, **trial["settings"]}
        trial["why"] = NASTY
    words = {"name": NASTY, "job": {NASTY: NASTY}, "versions": {NASTY: NASTY}, "verdict": [NASTY]}
    return a_result_of(result["trials"], space=space, **words)


def test_the_page_says_what_was_forgotten_where_there_are_general_rows() -> None:
    assert "Rows of another kind" not in build_report(a_result(general=None))
    before, after = ({"scores": {"loss": loss, "accuracy": 0.5}} for loss in (2.25, 3.5))
    general = {"rows": 2000, "before": before, "winner": after, "default": None}
    page = markup(build_report(a_result(general=general)))
    section = page[page.index("Rows of another kind") :].partition("</section>")[0]
    cells = re.findall(r'data-of="(\w+)"[^>]*>([^<]*)<', section)
    assert "on 2,000 general rows" in section
    assert cells[:4] == [
        ("metric", "loss"),
        ("before", "2.25"),
        ("default", "not known"),
        ("winner", "3.5"),
    ]
    assert ("before", "50.0 %") in cells


def test_the_page_says_what_a_reader_looks_for() -> None:
    page = markup(build_report(a_result()))
    expected = """
    <h1>reviews-search</h1> | search over 3 settings: 36 trials, searcher grid, scheduler asha |
    higher accuracy is better | Winner, test accuracy<b>82.9 %</b> |
    95 % interval: 80.8 % to 84.9 %, 1,061 rows, looked at once | Default, test<b>81.1 %</b> |
    Winner minus default<b>+1.8 points</b>95 % interval: +0.4 to +3.3 points |
    <p>The winner is better than the default.</p> | <p>A longer freeze helped.</p> |
    17 finished, 18 stopped, 1 failed | 12 min 34 s | all, last:3, last:1 |
    The winner: It is the most frozen | fork points | would have been enough for 95 % of that gain |
    the loss is nan at step 57 | stopped</b> <span class="soft">by the scheduler | workers of a lane
    """
    for words in map(str.strip, expected.split("|")):
        assert words in page, words


def test_the_sections_come_in_order() -> None:
    page = build_report(a_result())
    assert " | ".join(re.findall(r"<h2>(.*?)</h2>", markup(page))) == (
        "What was searched | Finalists | Freeze length and learning rate | All settings | Curves | "
        "Number of trials | What sharing saved | How much too good the best looks | Trials | Run"
    )
    assert drawn(page) == CHARTS


def test_every_chart_has_a_sentence_that_says_how_to_read_it() -> None:
    page = markup(build_report(a_result()))
    sections = re.findall(r'<section class="plot">.*?</section>', page, re.DOTALL)
    assert len(sections) == 7
    assert all('<p class="note">' in section for section in sections)


def test_the_table_has_a_row_for_each_trial_with_what_to_sort_by() -> None:
    page = markup(build_report(a_result()))
    rows = re.findall(r"<tr[^>]*><td class=\"right\" data-by=.*?</tr>", page)
    assert len(rows) == 36
    assert rows[0].count('class="mark">default<') == 1
    assert 'data-by="3e-05">3e-5<' in rows[0]
    assert 'data-by="1.0">1ep<' in rows[0]
    assert rows[23].startswith('<tr class="failed">')


def test_without_a_test_split_the_corrected_validation_score_is_shown() -> None:
    page = markup(build_report(a_result(test=None)))
    assert "Validation accuracy, corrected<b>82.6 %</b>95 % interval: 79.8 % to 87.4 %" in page
    assert "there is no test split" in page
    assert "Winner, validation<b>82.4 %</b>3 seeds" in page


def test_a_default_that_failed_leaves_its_numbers_open() -> None:
    result = a_result()
    result["test"] |= {"default": None, "difference": None}
    page = markup(build_report(result))
    assert "Default, test<b>not known</b>the default did not finish with every seed" in page
    assert "Winner minus default<b>not known</b>" in page


def test_a_loss_is_lower_when_it_is_better() -> None:
    page = build_report(of_loss(a_result()))
    assert "lower loss is better" in page
    assert "a curve that turns up again overfits" in page
    assert numbers(page)["mode"] == "min"


def test_a_search_in_which_nothing_finished_has_no_empty_charts() -> None:
    page = build_report(nothing_finished())
    assert drawn(page) == ["map_metric", "map_gap", "parallel", "saved"]
    assert "There are none: no trial finished with every seed." in page
    assert "No trial was validated." in page
    assert "There is no verdict." in page


def test_a_single_trial_gives_a_page() -> None:
    page = build_report(a_single_trial())
    assert "More trials gained nothing over one." in page
    assert "budget" not in drawn(page)


def test_trials_that_were_refused_are_in_the_table_alone() -> None:
    page = build_report(only_the_default_finished())
    assert markup(page).count('<tr class="failed">') == 35
    assert len(numbers(page)["groups"]) == 1


def test_more_settings_than_columns_share_one() -> None:
    space = {f"training.setting_{n}": {"choice": [n]} for n in range(9)}
    trials = [a_trial(n, {key: 5 for key in space}) for n in range(3)]
    page = markup(build_report(a_result_of(trials, space=space)))
    assert page.count('class="right setting"') == 0
    assert '<span class="pair">training.setting_8: <b>5</b></span>' in page


def test_words_of_a_result_cannot_become_markup_or_script() -> None:
    page = build_report(odd_words())
    assert len(re.findall(r"</?script", markup(page))) == 6
    assert "<b onmouseover" not in page
    assert "{{ 7 * 7 }}" in page
    assert numbers(page)["keys"][0] == NASTY


def test_the_page_loads_nothing() -> None:
    page = build_report(a_result())
    outside = markup(page)
    assert "default-src 'none'" in outside
    assert not re.search(r"""(src|href|action|data|poster)\s*=\s*["']?\s*(https?:)?//""", outside)
    assert not re.search(r"<(link|img)\b|<script[^>]*\bsrc\b", outside)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    assert len(re.findall(r"plotly\.js v\d", page)) >= 1


def test_two_builds_are_the_same_page() -> None:
    assert build_report(a_result()) == build_report(a_result())


def test_numbers_that_are_not_finite_leave_a_hole() -> None:
    result = a_result()
    for trial in result["trials"][:9]:
        for line in trial["validations"]:
            line["validation"]["accuracy"] = float("nan")
        if trial["best"]:
            trial["best"]["metric"] = trial["gap"] = float("nan")
    page = build_report(result)
    assert numbers(page)["trials"][0]["curve"]["metric"] == [None] * 5
    assert not re.search(r"\bnan\b", markup(page).replace("the loss is nan", ""))


def test_a_thousand_trials_make_a_page_that_can_be_sent() -> None:
    result = many_trials(1000)
    began = time.perf_counter()
    page = build_report(result)
    assert time.perf_counter() - began < 5
    assert len(page.encode()) < 8_000_000
    assert markup(page).count("<tr") > 1000


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize(
    "make",
    [
        a_result,
        a_single_trial,
        only_the_default_finished,
        nothing_finished,
        odd_words,
        lambda: of_loss(a_result()),
        lambda: many_trials(50),
    ],
)
def test_a_browser_draws_every_chart_without_an_error(make: Any, tmp_path: Path) -> None:
    page = build_report(make())
    file = tmp_path / "report.html"
    file.write_text(page)
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += ["--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--enable-logging=stderr", "--virtual-time-budget=4000", "--dump-dom"]
    found = subprocess.run(
        [*command, file.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    assert "CONSOLE" not in found.stderr
    assert found.stdout.count('class="chart js-plotly-plot"') == len(drawn(page))
