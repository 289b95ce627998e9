"""Charts: what is drawn, that a page may carry it, and that odd facts do no harm."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from baft.reports.charts import (
    COLOURS,
    distributions_chart,
    forest_chart,
    inline,
    losses_chart,
    slopes_chart,
    trials_chart,
)
from baft.reports.history import optimization_of, training_of

from . import sample
from .test_html import Page, page

SEARCH = {
    "optimizer": "mipro",
    "selected_on": "20 of the 98 training examples",
    "baseline_score": 0.5,
    "best_score": 0.75,
    "best_trial": 3,
    "result": "Trial 3 is best.",
    "trials": [
        {"trial": 1, "score": 0.5, "examples": 20, "full": True},
        {"trial": 2, "score": 0.9, "examples": 5, "full": False},
        {"trial": 3, "score": 0.75, "examples": 20, "full": True},
        {"trial": 4, "score": 0.6, "examples": 20, "full": True},
        {"trial": 5, "score": None, "examples": 20, "full": True},
    ],
}
TRAINING = {
    "train_examples": 78,
    "best_val_loss": 0.6,
    "losses": [
        {"epoch": 1.0, "train_loss": 0.9, "val_loss": 0.7},
        {"epoch": 2.0, "train_loss": 0.5, "val_loss": 0.6},
    ],
    "step_losses": [1.2, 1.0, 0.8, 0.6],
}


def search(**changes):
    return optimization_of({"optimization": {**SEARCH, **changes}})


def drawn(chart):
    return ElementTree.fromstring(str(chart))


def texts(chart):
    return [element.text for element in drawn(chart).iter("text")]


def test_a_search_is_read_with_its_best_so_far():
    found = search()
    assert found.scores(full=True) == [(1, 0.5), (3, 0.75), (4, 0.6)]
    assert found.scores(full=False) == [(2, 0.9)]
    assert found.best_so_far() == [(1, 0.5), (3, 0.75)]
    assert (found.selection, found.selected_on) == (20, "20 of the 98 training examples")


def test_where_lower_is_better_the_best_so_far_falls():
    found = search(baseline_score=0.9, best_score=0.6, trials=SEARCH["trials"][2:4])
    assert found.best_so_far() == [(3, 0.75), (4, 0.6)]


def test_the_trials_are_drawn_with_baseline_and_best():
    chart = trials_chart("t", search(), 1)
    assert {"trial", "baseline", "best so far", "whole set", "part of the set"} <= set(texts(chart))
    marks = [e for e in drawn(chart).iter("use") if e.get("fill") == "var(--a1)"]
    assert len(marks) == 3 + 1  # whole trials, and one in the legend
    assert drawn(chart).get("aria-label") == "Score by trial: 5 trials, best 0.7500"


def test_a_higher_score_is_drawn_higher():
    chart = drawn(trials_chart("t", search(trials=SEARCH["trials"][:1] + SEARCH["trials"][2:4]), 1))
    heights = [float(e.get("y")) for e in chart.iter("use") if e.get("fill") == "var(--a1)"][:3]
    assert heights[0] > heights[2] > heights[1]  # 0.5, 0.75, 0.6; SVG counts downwards


def test_the_losses_are_drawn_by_epoch():
    chart = losses_chart("l", training_of({"training": TRAINING}), 2)
    assert {"epoch", "loss", "training steps", "training", "validation"} <= set(texts(chart))
    only = training_of({"training": {"step_losses": [1.0, 0.5]}})
    assert "training steps" in texts(losses_chart("l", only, 0))


@pytest.mark.parametrize("key", ["a", "b"])
def test_a_chart_is_the_same_each_time_and_its_ids_are_its_own(key):
    chart = str(trials_chart(key, search(), 1))
    assert chart == str(trials_chart(key, search(), 1))
    ids = {e.get("id") for e in drawn(chart).iter() if e.get("id")}
    assert ids
    assert all(one.startswith(f"{key}-") for one in ids)
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', chart))
    assert used == ids


def test_every_arm_has_its_distribution_on_one_scale(report):
    chart = drawn(distributions_chart("d", report, 0.8535))
    bars = [e for e in chart.iter("path") if e.get("fill", "").startswith("var(--a")]
    assert {e.get("fill") for e in bars} == {"var(--a0)", "var(--a1)", "var(--a2)"}
    titles = [text for text in texts(distributions_chart("d", report, 0.8535)) if text]
    assert any(text.startswith("finetuned  0.") for text in titles)
    lines = [e for e in chart.iter("path") if e.get("stroke") == "var(--bad)"]
    assert len(lines) == 3
    assert len({e.get("d").split()[1] for e in lines}) == 1


def test_slopes_rise_and_fall_as_the_scores_do(report):
    test = next(t for t in report.tests if t.wins and t.losses)
    chart = drawn(slopes_chart("s", report, [test]))
    ups, downs = 0, 0
    for line in chart.iter("path"):
        steps = re.findall(r"[ML] ([\d.]+) ([\d.]+)", line.get("d"))
        if line.get("stroke") == "var(--good)":
            assert float(steps[1][1]) < float(steps[0][1])  # SVG counts downwards
            ups += 1
        elif line.get("stroke") == "var(--bad)":
            assert float(steps[1][1]) > float(steps[0][1])
            downs += 1
    assert 0 < ups <= test.wins
    assert 0 < downs <= test.losses


def test_the_forest_has_a_row_for_each_pair(report):
    found = texts(forest_chart("f", report.tests))
    for test in report.tests:
        assert f"{test.a} less {test.b}" in found


def test_thousands_of_examples_make_no_more_lines_than_there_is_room_for(report):
    arms = tuple(
        replace(arm, scores={str(i): (i * (7 + k)) % 9973 / 9973 for i in range(9000)})
        for k, arm in enumerate(report.arms)
    )
    tests = [replace(test, n=9000) for test in report.tests]
    assert len(slopes_chart("s", replace(report, arms=arms), tests)) < 250_000


@pytest.mark.parametrize("name", [sample.HOSTILE, "\x0b\ud800\ufffe\x1b[31m$a$", "名" * 99, ""])
def test_names_of_any_kind_can_be_drawn(report, name):
    arms = (replace(report.arms[0], name=name), *report.arms[1:])
    tests = [replace(report.tests[0], a=name), replace(report.tests[0], mean_difference=None)]
    changed = replace(report, arms=arms)
    for chart in (
        distributions_chart("d", changed, 0.8),
        slopes_chart("s", changed, tests),
        forest_chart("f", tests),
        forest_chart("f", []),
        slopes_chart("s", changed, []),
    ):
        assert "<script" not in chart
        assert drawn(chart).get("viewBox")


def test_a_chart_has_no_styles_and_only_the_pages_colours():
    chart = str(trials_chart("t", search(), 1)) + str(
        losses_chart("l", training_of({"training": TRAINING}), 2)
    )
    assert not re.search(r"style|font|<metadata|xlink|http", chart)
    assert set(re.findall(r'(?:fill|stroke)="([^"]+)"', chart)) <= {"none", *COLOURS.values()}


def test_text_in_a_chart_is_text():
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1">'
        '<text style="font: 9px x; fill: #1b2230">&lt;script&gt;$a$</text></svg>'
    )
    chart = inline(svg, "k", '"><script>')
    assert "<script>" not in chart
    assert '<text fill="currentColor">&lt;script&gt;$a$</text>' in chart


@pytest.mark.parametrize(
    "told",
    [
        None,
        3,
        {},
        {"trials": "x"},
        {"trials": [{"trial": 1, "score": float("nan")}, {"trial": True, "score": 1}, 7]},
        {"trials": [{"trial": -1, "score": 1}, {"score": 10**400, "trial": 2}]},
        {"losses": [{"epoch": None}, 3], "step_losses": ["x", None, float("inf")]},
    ],
)
def test_what_is_no_history_is_none(told):
    assert optimization_of({"optimization": told}) is None
    assert training_of({"training": told}) is None


def test_a_page_shows_how_its_arms_came_to_be(store, report, decision):
    configs = ({}, {"optimization": SEARCH}, {"training": TRAINING})
    arms = tuple(replace(a, config=c) for a, c in zip(report.arms, configs, strict=True))
    text = page(store, replace(report, arms=arms), decision)
    found = Page(text)
    assert len(found.classed("chart")) == 3 + 2
    assert "mipro on 20 examples (20 of the 98 training examples)" in text
    assert "Scores on the selection set are optimistic" in text
    assert "Trained on 78 examples, best validation loss 0.6000" in text
    ids = [a["id"] for _, a in found.elements if "id" in a]
    assert len(ids) == len(set(ids))
    for tag, attributes in found.elements:
        assert tag != "image"
        assert "style" not in attributes
        assert attributes.get("href", "#").startswith("#")


def test_hostile_histories_do_no_harm(store, report, decision):
    told = {**SEARCH, "optimizer": sample.HOSTILE, "selected_on": sample.HOSTILE}
    arm = replace(report.arms[1], config={"optimization": told})
    found = Page(page(store, replace(report, arms=(report.arms[0], arm)), decision))
    assert len(found.named("script")) == 1
    assert not found.named("img")


def test_nothing_is_drawn_where_nothing_is_told():
    code = "import sys, baft.reports; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
