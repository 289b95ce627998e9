"""The gate as a table: incumbent, candidates, policy, expected decision."""

from __future__ import annotations

import pytest

from baft import (
    ArmReport,
    Audit,
    AuditFinding,
    Decoding,
    Policy,
    Report,
    RuleResult,
    Usage,
    ValidityShares,
    gate,
    stats,
)
from baft.summary import paired_tests

FINE = Audit(attainable_max=6.5 / 7, constant_mean=None, shuffled_mean=None)
VOID = Audit(
    attainable_max=6.5 / 7,
    constant_mean=None,
    shuffled_mean=None,
    findings=(
        AuditFinding(name="relevance", passed=False, observed=0.9, required="p", why="Constant."),
    ),
)


def arm(name, scores, *, audit=FINE, n=None):
    by_id = {f"e{i}": s for i, s in enumerate(scores) if s is not None}
    total = n or len(scores)
    return ArmReport(
        name=name,
        spec=f"replay:{name}",
        fingerprint=name,
        config={},
        expected=total,
        scores=by_id,
        failed={f"e{i}": "down" for i, s in enumerate(scores) if s is None},
        summary=stats.summarise(list(by_id.values()), total - len(by_id)),
        components={"title": 0.4},
        validity=ValidityShares(as_is=1.0, extracted=0.0, none=0.0, mean_other=None),
        usage=Usage(),
        audit=audit,
    )


def report(*arms, n=None):
    return Report(
        run_id="r",
        date="2026-01-01T00:00:00+00:00",
        benchmark="b",
        role="ba",
        dataset="d",
        dataset_sha256="0",
        num_examples=n if n is not None else max((a.expected for a in arms), default=0),
        metric="ba_requirements",
        metric_version=1,
        attainable_max=6.5 / 7,
        component_max={"title": 0.5},
        extraction="lenient",
        decoding=Decoding(),
        repeats=1,
        arms=arms,
        tests=paired_tests(arms),
    )


LOW, MID, HIGH = [0.5] * 22, [0.84, 0.86] * 11, [0.92] * 22
SPREAD = [0.93] * 12 + [0.78] * 10

TABLE = [
    # what, arms, policy, incumbent, verdict, candidate, strength
    ("clear win", [("baseline", LOW), ("finetuned", HIGH)], {}, "baseline", "promote", "finetuned", "clear"),
    ("clear loss", [("baseline", HIGH), ("finetuned", LOW)], {}, "baseline", "keep", "finetuned", "clear"),
    ("all ties promote: as good is not worse", [("baseline", HIGH), ("finetuned", HIGH)], {}, "baseline", "promote", "finetuned", "clear"),
    ("all ties below the bar", [("baseline", LOW), ("finetuned", LOW)], {}, "baseline", "keep", "finetuned", "clear"),
    ("just above the bar", [("baseline", LOW), ("finetuned", SPREAD)], {}, "baseline", "promote", "finetuned", "within noise"),
    ("just below the bar", [("baseline", LOW), ("finetuned", MID)], {}, "baseline", "keep", "finetuned", "within noise"),
    ("two pass, higher wins", [("baseline", LOW), ("optimized", [0.9] * 22), ("finetuned", HIGH)], {}, "baseline", "promote", "finetuned", "clear"),
    ("two pass, tie goes to the simpler", [("baseline", LOW), ("finetuned", HIGH), ("optimized", HIGH)], {}, "baseline", "promote", "optimized", "clear"),
    ("incumbent wins", [("baseline", LOW), ("optimized", HIGH), ("finetuned", [0.9] * 22)], {}, "optimized", "keep", "finetuned", "clear"),
    ("incumbent absent", [("optimized", HIGH)], {}, "baseline", "keep", "optimized", "cannot decide"),
    ("candidate fails once", [("baseline", LOW), ("finetuned", [*HIGH[:21], None])], {}, "baseline", "keep", "finetuned", "cannot decide"),
    ("incumbent fails once", [("baseline", [*LOW[:21], None]), ("finetuned", HIGH)], {}, "baseline", "keep", "finetuned", "cannot decide"),
    ("failures within the limit", [("baseline", LOW), ("finetuned", [*HIGH[:21], None])], {"max_failure_rate": 0.05}, "baseline", "promote", "finetuned", "clear"),
    ("failures above the limit", [("baseline", LOW), ("finetuned", [*HIGH[:20], None, None])], {"max_failure_rate": 0.05}, "baseline", "keep", "finetuned", "cannot decide"),
    ("candidate has no score", [("baseline", LOW), ("finetuned", [None] * 22)], {}, "baseline", "keep", "finetuned", "cannot decide"),
    ("nobody has a score", [("baseline", [None] * 3), ("finetuned", [None] * 3)], {}, "baseline", "keep", "finetuned", "cannot decide"),
    ("one example", [("baseline", [0.5]), ("finetuned", [0.92])], {}, "baseline", "promote", "finetuned", "cannot decide"),
    ("two examples", [("baseline", [0.5, 0.6]), ("finetuned", [0.92, 0.92])], {}, "baseline", "promote", "finetuned", "clear"),
    ("gain asked and met", [("baseline", [0.86] * 22), ("finetuned", [0.91] * 22)], {"min_gain": 0.05}, "baseline", "promote", "finetuned", "clear"),
    ("gain asked and missed", [("baseline", [0.87] * 22), ("finetuned", [0.91] * 22)], {"min_gain": 0.05}, "baseline", "keep", "finetuned", "clear"),
    ("only the incumbent", [("baseline", HIGH)], {}, "baseline", "keep", None, "cannot decide"),
    ("lower bound asked and met", [("baseline", LOW), ("finetuned", HIGH)], {"confidence": "require"}, "baseline", "promote", "finetuned", "clear"),
    ("lower bound asked and missed", [("baseline", LOW), ("finetuned", SPREAD)], {"confidence": "require"}, "baseline", "keep", "finetuned", "within noise"),
]  # fmt: skip


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_the_decision_is(row):
    _, arms, policy, incumbent, verdict, candidate, strength = row
    found = gate.decide(report(*(arm(*a) for a in arms)), Policy(**policy), incumbent)
    assert (found.verdict, found.candidate, found.strength) == (verdict, candidate, strength)
    assert found.conclusive == (strength != "cannot decide")
    assert found.next_steps


@pytest.mark.parametrize("scores", [[0.8535] * 22, [0.8535] * 7, [0.7535, 0.9535] * 11])
def test_the_threshold_hit_exactly_passes_in_spite_of_binary_rounding(scores):
    found = gate.decide(
        report(arm("baseline", LOW), arm("finetuned", scores)), Policy(), "baseline"
    )
    assert next(r for r in found.rules if r.name == "threshold").passed


def test_a_mean_that_only_rounds_to_the_threshold_misses_it():
    found = gate.decide(
        report(arm("baseline", LOW), arm("finetuned", [0.85349] * 22)), Policy(), "baseline"
    )
    assert found.verdict == "keep"


def test_a_void_audit_keeps_the_incumbent_and_says_why():
    found = gate.decide(
        report(arm("baseline", LOW), arm("finetuned", HIGH, audit=VOID)), Policy(), "baseline"
    )
    rule = next(r for r in found.rules if r.name == "audit")
    assert (found.verdict, found.strength, rule.passed, rule.why) == (
        "keep",
        "cannot decide",
        False,
        "Constant.",
    )


def test_an_audit_that_was_not_made_cannot_be_verified():
    void = report(arm("baseline", LOW), arm("finetuned", HIGH, audit=None))
    assert gate.decide(void, Policy(), "baseline").verdict == "keep"
    assert gate.decide(void, Policy(audit=False), "baseline").verdict == "promote"


def test_the_runner_up_is_promoted_when_the_best_is_void():
    arms = report(
        arm("baseline", LOW), arm("optimized", [0.9] * 22), arm("finetuned", HIGH, audit=VOID)
    )
    found = gate.decide(arms, Policy(), "baseline")
    assert (found.verdict, found.candidate) == ("promote", "optimized")
    assert set(found.considered) == {"finetuned"}


def test_examples_missing_from_the_run_make_it_incomplete():
    found = gate.decide(
        report(arm("baseline", LOW), arm("finetuned", HIGH), n=23), Policy(), "baseline"
    )
    assert found.verdict == "keep"


def test_a_plugins_rule_can_keep_the_incumbent():
    def never(report, policy, candidate, incumbent):
        return RuleResult(name="never", passed=False, observed=None, required="no", why="No.")

    arms = report(arm("baseline", LOW), arm("finetuned", HIGH))
    found = gate.decide(arms, Policy(), "baseline", {"never": never})
    assert (found.verdict, [r.name for r in found.rules][-1]) == ("keep", "never")


@pytest.mark.parametrize("bad", [{"threshold": 85.35}, {"threshold": -0.1}, {"threshold": float("nan")},
                                 {"max_failure_rate": 2}, {"min_gain": float("inf")}])  # fmt: skip
def test_a_policy_out_of_range_is_refused(bad):
    with pytest.raises(ValueError, match="must"):
        Policy(**bad)
