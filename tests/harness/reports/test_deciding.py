"""What a decision says beyond its verdict, in every report."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from baft import Policy, gate
from baft.records import CurvePoint, Power, RuleResult, TagGroup
from baft.reports import render_terminal
from baft.reports.deciding import can_tell, next_steps, rule_why, variances
from baft.reports.html import html_report
from baft.reports.markdown import markdown_report

from . import sample

POWER = Power(
    n=22,
    at_threshold=0.532,
    curve=(CurvePoint(truth=0.8135, passes=0.0412), CurvePoint(truth=0.8535, passes=0.532)),
    for_threshold=1260,
    for_incumbent=9,
)


@pytest.fixture
def decided(report):
    """A report with tags, and the gate's own decision on it."""
    ids = list(report.arms[0].scores)
    tags = {key: {"tier": "simple" if i % 2 else sample.HOSTILE} for i, key in enumerate(ids)}
    tagged = replace(report, tags=tags)
    policy = Policy(max_failure_rate=1.0, audit=False, tags={"tier": 0.99}, threshold=0.92)
    return tagged, gate.decide(tagged, policy, "baseline")


def terminal(report, decision):
    out = io.StringIO()
    console = Console(file=out, width=400, color_system=None, highlight=False)
    render_terminal(report, decision, {}, console)
    return out.getvalue()


def test_the_power_is_told_in_three_sentences(decision):
    found = can_tell(replace(decision, policy=Policy(), power=POWER))
    assert found == [
        "A model whose true mean is 0.8535 would pass the threshold in 53.2 % of runs with "
        "22 examples.",
        "About 1,260 examples would settle the distance to the threshold.",
        "These examples are enough for the gain over baseline (about 9 would do).",
    ]


def test_what_no_set_would_settle_is_said_so(decision):
    power = replace(POWER, at_threshold=None, for_threshold=None, for_incumbent=None)
    found = can_tell(replace(decision, policy=Policy(), power=power))
    assert "cannot be told" in found[0]
    assert found[1:] == [
        "No reasonable number of examples would settle the distance to the threshold.",
        "No reasonable number of examples would settle the gain over baseline.",
    ]


def test_a_decision_without_power_tells_nothing(decision):
    assert can_tell(None) == can_tell(decision) == []
    assert can_tell(replace(decision, policy=Policy(), power=replace(POWER, n=1))) == []


def test_a_rule_on_a_tag_shows_every_value_with_its_n():
    groups = (
        TagGroup(value="corporate", n=11, mean=0.75452, passed=False),
        TagGroup(value="simple", n=0, mean=None, passed=False),
    )
    rule = RuleResult(
        name="tags.tier", passed=False, observed=0.7, required="r", why="Too low.", groups=groups
    )
    assert rule_why(rule) == "Too low. corporate 0.7545 (n = 11), simple n/a (n = 0)."
    assert rule_why(replace(rule, groups=())) == "Too low."


def test_the_lost_points_come_first_where_the_threshold_was_missed(decision):
    missed = RuleResult(name="threshold", passed=False, observed=0.8, required="r", why="w")
    losses = {"title": 0.1623, "ids": 0.1, "constraints": 0.09, "description": 0.001}
    found = next_steps(replace(decision, rules=(missed,), losses=losses))
    assert found[0] == "Most points are lost on title (0.16 points), ids (0.10 points)."
    assert tuple(found[1:]) == decision.next_steps
    held = replace(missed, passed=True)
    assert tuple(next_steps(replace(decision, rules=(held,), losses=losses))) == decision.next_steps


def test_repeats_show_both_variances(report):
    first = report.arms[0]
    summary = replace(first.summary, variance_between=0.0121, variance_within=0.004)
    arms = (replace(first, summary=summary), *report.arms[1:])
    assert variances(report) == []
    assert variances(replace(report, arms=arms)) == [
        "baseline: variance 0.0121 between examples, 0.0040 between repeats of one."
    ]


def test_the_terminal_shows_rules_power_and_t_intervals(decided):
    text = terminal(*decided)
    assert "Intervals of the means by Student's t: baseline " in text
    assert "What these examples can tell" in text
    assert "would pass the threshold in" in text
    assert "(n = 11)" in text
    assert "tags.tier" in text


def test_markdown_shows_rules_power_and_t_intervals(decided):
    text = markdown_report(*decided)
    assert "## What these examples can tell" in text
    assert "| by t |" in text
    assert "| tags.tier | **no** |" in text
    assert "simple 0." in text


def test_the_page_shows_rules_power_and_the_operating_curve(store, decided):
    text = "".join(html_report(store, *decided))
    _, decision = decided
    assert '<section id="power">' in text
    assert f"How often {decision.candidate} would pass the threshold with" in text
    for point in decision.power.curve:
        assert f'<th scope="col">{point.truth:.4f}</th>' in text
    assert "by t</th>" in text
    assert "(n = 11)" in text
    assert "&lt;/script&gt;&lt;script&gt;" in text
    assert sample.HOSTILE[:20] not in text
