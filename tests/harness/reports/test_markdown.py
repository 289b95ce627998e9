from __future__ import annotations

import itertools
from dataclasses import replace

from baft.reports import markdown_report

from . import sample


def test_it_holds_the_tables_of_the_plan(report, decision):
    text = markdown_report(report, decision)
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        *(
            "Summary",
            "Decision",
            "Components",
            "Significance",
            "Recommendations",
            "Audit evidence",
            "Usage",
            "Notes",
        )
    ]
    assert "**Keep baseline.**" in text
    assert "| M3 finetuned | 0.9014 | 0.833 to 0.929 | 0.862 to 0.940 | +0.1395 |" in text
    assert "| constraints | 1.5 | 1.227 | 1.386 | **1.452** |" in text


def test_every_pair_has_its_tests_in_a_table(report, decision):
    text = markdown_report(report, decision)
    test = next(t for t in report.tests if {t.a, t.b} == {"finetuned", "baseline"})
    assert f"| finetuned less baseline | {test.n} | +0.1395 | +0.054 to +0.272 |" in text
    assert text.count(" less ") == 3


def test_tables_stay_tables(report, decision):
    lines = markdown_report(report, decision).splitlines()
    for before, line in itertools.pairwise(lines):
        if before.startswith("|") and line.startswith("|"):
            assert before.count("|") == line.count("|")


def test_hostile_text_makes_no_markup(report, decision):
    odd = replace(
        report,
        notes=(sample.HOSTILE,),
        arms=(replace(report.arms[0], name="a|b\n# <script>"), *report.arms[1:]),
        tests=(),
    )
    text = markdown_report(odd, replace(decision, next_steps=(sample.HOSTILE,)))
    assert "<" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert r"a\|b # &lt;script>" in text
    assert r"\[click\](javascript:alert(1))" in text


def test_an_arm_without_scores_is_shown_without_figures(run):
    _store, report, decision = run(n=2)
    empty = replace(report, arms=(report.arms[0], no_scores(report.arms[1]), report.arms[2]))
    assert "| M2 optimized | n/a | n/a |" in markdown_report(empty, decision)


def no_scores(arm):
    """The arm as it looks when its backend never answered."""
    from baft.records import Usage, ValidityShares
    from baft.stats import summarise

    return replace(
        arm,
        scores={},
        failed={key: "server down" for key in arm.scores},
        summary=summarise([], len(arm.scores)),
        components={},
        validity=ValidityShares(as_is=0.0, extracted=0.0, none=0.0, mean_other=None),
        usage=Usage(),
        audit=None,
    )


def test_one_arm_is_measured_and_not_decided(run):
    _, report, decision = run(n=2, arms=("model",))
    text = markdown_report(report, decision)
    assert "Measured only" in text
    assert "## Significance" not in text


def test_it_says_that_a_run_was_deterministic(report, decision):
    assert "deterministic" not in markdown_report(report, decision)
    alone = replace(report.decoding, temperature=0.0, deterministic=True)
    text = markdown_report(replace(report, decoding=alone), decision)
    assert "temperature 0.0 · deterministic, one at a time · seed" in text
