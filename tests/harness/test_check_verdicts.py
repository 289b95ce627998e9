"""Every promise of a gate rule and a reporter that the checks know, and what breaks it."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

import baft
from baft import RuleResult
from baft.testing import (
    check_reporter,
    check_rule,
    sample_report,
)


def sound(report, policy, candidate, incumbent):
    arm = report.arm(candidate)
    mean = arm.summary.mean if arm else None
    return RuleResult(
        name="sound",
        passed=mean is not None and mean > 0.5,
        observed=mean,
        required="mean > 0.5",
        why="It was measured.",
    )


def hasty(report, policy, candidate, incumbent):
    return replace(sound(report, policy, candidate, incumbent), passed=report.arm(incumbent).spec)


def dividing(report, policy, candidate, incumbent):
    return replace(sound(report, policy, candidate, incumbent), observed=1 / report.num_examples)


def meddlesome(report, policy, candidate, incumbent):
    report.arms[0].config["seen"] = True
    return sound(report, policy, candidate, incumbent)


def renaming(report, policy, candidate, incumbent):
    return replace(sound(report, policy, candidate, incumbent), name=f"n{report.num_examples}")


@pytest.fixture
def flip():
    state = [False]

    def rule(report, policy, candidate, incumbent):
        state[0] = not state[0]
        return replace(sound(report, policy, candidate, incumbent), passed=state[0])

    return rule


def saying(**fields):
    return lambda *asked: replace(sound(*asked), **fields)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (lambda *asked: True, "must return a RuleResult, not True"),
        (hasty, "passed must be True or False"),
        (dividing, "must judge, not raise ZeroDivisionError"),
        (meddlesome, "must not change the report"),
        (renaming, "a rule has one name"),
        (saying(why=""), "why must be a text"),
        (saying(observed=float("nan")), "observed must be a finite number"),
        (saying(strength="sure"), "strength 'sure' is none of"),
        (lambda *asked: sys.stdout.write("hm") and sound(*asked), "must print nothing on stdout"),
    ],
)
def test_a_rule_that_breaks_a_promise_is_found(rule, words):
    with pytest.raises(AssertionError, match=words):
        check_rule(rule)


def test_a_rule_that_keeps_its_promises_passes():
    check_rule(sound)


def test_a_rule_with_a_memory_is_found(flip):
    with pytest.raises(AssertionError, match="two results for one report"):
        check_rule(flip)


def writing(report, decision, run):
    path = run / "own.txt"
    path.write_text(f"{decision.verdict} {len(report.arms[0].scores)}", "utf-8")
    yield path


def escaping(report, decision, run):
    path = run / f"{report.arms[1].name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x", "utf-8")
    yield path


def beside(report, decision, run):
    path = run.parent / f"{report.run_id}.txt"
    path.write_text("x", "utf-8")
    yield path


def replacing(report, decision, run):
    (run / "report.json").write_text("{}", "utf-8")
    yield run / "report.json"


def averaging(report, decision, run):
    (run / "own.txt").write_text(f"{report.arms[0].summary.mean:.2f}", "utf-8")
    yield run / "own.txt"


def piling(report, decision, run):
    path = run / f"own-{len(list(run.iterdir()))}.txt"
    path.write_text("x", "utf-8")
    yield path


@pytest.mark.parametrize(
    ("reporter", "words"),
    [
        (escaping, "must not write beside the run"),
        (beside, "must not write beside the run"),
        (replacing, "leave the run's own files as they are"),
        (averaging, "must report 0 examples, not raise TypeError"),
        (piling, "told again, it wrote"),
        (lambda *told: ["report.txt"], "yields paths, not 'report.txt'"),
        (lambda report, decision, run: [run / "none.txt"], "was not written"),
        (lambda *told: sys.stdout.write("done") and [], "must print nothing on stdout"),
        (lambda *told: None, "not raise TypeError"),
    ],
)
def test_a_reporter_that_breaks_a_promise_is_found(tmp_path, reporter, words):
    with pytest.raises(AssertionError, match=words):
        check_reporter(lambda env: reporter, tmp_path)


def test_a_reporter_that_keeps_its_promises_passes(tmp_path):
    check_reporter(lambda env: writing, tmp_path)


def test_a_sample_report_is_like_one_that_a_run_leaves():
    from baft.gate import decide
    from baft.store.codec import from_data, to_data

    for n in (0, 1, 3):
        report = sample_report(n)
        assert from_data(baft.Report, to_data(report), "sample") == report
        assert decide(report, baft.Policy(audit=False), "baseline").candidate == "finetuned"
