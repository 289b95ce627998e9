"""The gate as a table: incumbent, candidates, policy, expected decision."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baft import (
    ArmReport,
    Audit,
    AuditFinding,
    Decision,
    Decoding,
    Policy,
    Report,
    RuleResult,
    Usage,
    ValidityShares,
    gate,
    stats,
)
from baft.policies import named_policy
from baft.power import examples_needed
from baft.store.codec import from_data, to_json
from baft.summary import paired_tests

FINE = Audit(attainable_max=6.5 / 7)
VOID = Audit(
    attainable_max=6.5 / 7,
    findings=(
        AuditFinding(name="relevance", passed=False, observed=0.9, required="p", why="Constant."),
    ),
)
PARSED = ValidityShares(as_is=1.0, extracted=0.0, none=0.0, mean_other=None, n=22)


def arm(name, scores, *, audit=FINE, n=None, validity=PARSED, usage=None, spec=""):
    by_id = {f"e{i}": s for i, s in enumerate(scores) if s is not None}
    total = n or len(scores)
    return ArmReport(
        name=name,
        spec=spec or f"replay:{name}",
        fingerprint=name,
        config={},
        expected=total,
        scores=by_id,
        failed={f"e{i}": "down" for i, s in enumerate(scores) if s is None},
        summary=stats.summarise(list(by_id.values()), total - len(by_id)),
        components={"title": 0.4, "description": 0.5},
        validity=validity,
        usage=usage or Usage(),
        audit=audit,
    )


def report(*arms, n=None, **changes):
    given = {
        "run_id": "r",
        "date": "2026-01-01T00:00:00+00:00",
        "benchmark": "b",
        "role": "ba",
        "dataset": "d",
        "dataset_sha256": "0",
        "num_examples": n if n is not None else max((a.expected for a in arms), default=0),
        "metric": "ba_requirements",
        "metric_version": 1,
        "attainable_max": 6.5 / 7,
        "component_max": {"title": 0.5, "description": 0.5},
        "extraction": "lenient",
        "decoding": Decoding(),
        "repeats": 1,
        "arms": arms,
        "tests": paired_tests(arms),
    }
    return Report(**{**given, **changes})


def parsed(as_is, extracted, none):
    n = as_is + extracted + none
    return {
        "validity": ValidityShares(
            as_is=as_is / n, extracted=extracted / n, none=none / n, mean_other=None, n=n
        )
    }


LOW, MID, HIGH = [0.5] * 22, [0.84, 0.86] * 11, [0.92] * 22
SPREAD = [0.93] * 12 + [0.78] * 10
NAN = float("nan")
NEAR = {"max_failure_rate": 0.05}
UNPARSED = parsed(19, 0, 3)  # 0.864
ODD = [0.90, 0.94] * 11  # sd 0.02047
TIERS = {f"e{i}": {"tier": "simple" if i < 11 else "corporate"} for i in range(22)}
FAST = {"usage": Usage(latency_p95_s=2.0, tokens_per_example=300.0)}

DRAW, CLEAR, OPEN = "within noise", "clear", "cannot decide"
B, P, F = "baseline", "optimized", "finetuned"

TABLE = [
    # what, arms, policy, incumbent, verdict, candidate, strength
    ("clear win", [(B, LOW), (F, HIGH)], {}, B, "promote", F, CLEAR),
    ("clear loss", [(B, HIGH), (F, LOW)], {}, B, "keep", F, CLEAR),
    ("all ties promote: as good is not worse", [(B, HIGH), (F, HIGH)], {}, B, "promote", F, CLEAR),
    ("all ties below the bar", [(B, LOW), (F, LOW)], {}, B, "keep", F, CLEAR),
    ("all ties with a spread above the bar", [(B, SPREAD), (F, SPREAD)], {}, B, "promote", F, DRAW),
    ("just above the bar", [(B, LOW), (F, SPREAD)], {}, B, "promote", F, DRAW),
    ("just below the bar", [(B, LOW), (F, MID)], {}, B, "keep", F, DRAW),
    ("a little worse than the incumbent", [(B, [0.93, 0.90] * 11), (F, [0.90, 0.92] * 11)], {}, B, "keep", F, DRAW),
    ("two pass, higher wins", [(B, LOW), (P, [0.9] * 22), (F, HIGH)], {}, B, "promote", F, CLEAR),
    ("two pass, tie goes to the simpler", [(B, LOW), (F, HIGH), (P, HIGH)], {}, B, "promote", P, CLEAR),
    ("two strangers tie, the first named wins", [(B, LOW), ("y", HIGH), ("x", HIGH)], {}, B, "promote", "y", CLEAR),
    ("a stranger ties with a fine-tune, which is simpler", [(B, LOW), ("y", HIGH), (F, HIGH)], {}, B, "promote", F, CLEAR),
    ("the baseline takes the place back", [(B, HIGH), (P, LOW)], {}, P, "promote", B, CLEAR),
    ("incumbent wins", [(B, LOW), (P, HIGH), (F, [0.9] * 22)], {}, P, "keep", F, CLEAR),
    ("incumbent absent", [(P, HIGH)], {}, B, "keep", P, OPEN),
    ("only the incumbent", [(B, HIGH)], {}, B, "keep", None, OPEN),
    ("nobody", [], {}, B, "keep", None, OPEN),
    # scores that are missing or no numbers
    ("candidate fails once", [(B, LOW), (F, [*HIGH[:21], None])], {}, B, "keep", F, OPEN),
    ("incumbent fails once", [(B, [*LOW[:21], None]), (F, HIGH)], {}, B, "keep", F, OPEN),
    ("failures within the limit", [(B, LOW), (F, [*HIGH[:21], None])], NEAR, B, "promote", F, CLEAR),
    ("the incumbent's failures within the limit", [(B, [*LOW[:21], None]), (F, HIGH)], NEAR, B, "promote", F, CLEAR),
    ("failures above the limit", [(B, LOW), (F, [*HIGH[:20], None, None])], NEAR, B, "keep", F, OPEN),
    ("failures exactly at the limit", [(B, LOW[:20]), (F, [*HIGH[:19], None])], NEAR, B, "promote", F, CLEAR),
    ("both fail on other examples within the limit", [(B, [None, *LOW[:21]]), (F, [*HIGH[:21], None])], NEAR, B, "promote", F, CLEAR),
    ("no pair in common", [(B, [0.5, None]), (F, [None, 0.92])], {"max_failure_rate": 0.5}, B, "promote", F, OPEN),
    ("arms of unequal n", [(B, LOW[:21]), (F, HIGH)], {}, B, "keep", F, OPEN),
    ("candidate has no score", [(B, LOW), (F, [None] * 22)], {}, B, "keep", F, OPEN),
    ("incumbent has no score", [(B, [None] * 22), (F, HIGH)], {}, B, "keep", F, OPEN),
    ("nobody has a score", [(B, [None] * 3), (F, [None] * 3)], {}, B, "keep", F, OPEN),
    ("any failure is allowed, yet there is no score", [(B, LOW), (F, [None] * 22)], {"max_failure_rate": 1.0}, B, "keep", F, OPEN),
    ("no example", [(B, []), (F, [])], {}, B, "keep", F, OPEN),
    ("one example", [(B, [0.5]), (F, [0.92])], {}, B, "promote", F, OPEN),
    ("one example that misses", [(B, [0.5]), (F, [0.7])], {}, B, "keep", F, OPEN),
    ("one example under the lower bound", [(B, [0.5]), (F, [0.92])], {"confidence": "require"}, B, "keep", F, OPEN),
    ("two examples", [(B, [0.5, 0.6]), (F, [0.92, 0.92])], {}, B, "promote", F, CLEAR),
    ("two examples apart", [(B, [0.5, 0.6]), (F, [0.80, 0.92])], {}, B, "promote", F, DRAW),
    ("a score that is no number", [(B, LOW), (F, [*HIGH[:21], NAN])], {}, B, "keep", F, OPEN),
    ("an incumbent's that is no number", [(B, [*LOW[:21], NAN]), (F, HIGH)], {}, B, "keep", F, OPEN),
    ("no number never outranks a number", [(B, LOW), (P, [NAN] * 22), (F, HIGH)], {}, B, "promote", F, CLEAR),
    # the threshold, hit from either side
    ("exactly at the bar", [(B, LOW), (F, [0.8535] * 22)], {}, B, "promote", F, CLEAR),
    ("at the bar but for binary rounding", [(B, LOW), (F, [0.7535, 0.9535] * 11)], {}, B, "promote", F, DRAW),
    ("rounds up to the bar", [(B, LOW), (F, [0.85349] * 22)], {}, B, "keep", F, CLEAR),
    ("rounds up to the bar at 7 digits", [(B, LOW), (F, [0.85349999] * 22)], {}, B, "keep", F, CLEAR),
    ("rounds down to the bar", [(B, LOW), (F, [0.85350001] * 22)], {}, B, "promote", F, CLEAR),
    ("a bar that no answer reaches", [(B, LOW), (F, [6.5 / 7] * 22)], {"threshold": 0.95}, B, "keep", F, CLEAR),
    ("a bar of 0", [(B, [0.0] * 22), (F, [0.0] * 22)], {"threshold": 0.0}, B, "promote", F, CLEAR),
    ("lower bound asked and met", [(B, LOW), (F, HIGH)], {"confidence": "require"}, B, "promote", F, CLEAR),
    ("lower bound asked and missed", [(B, LOW), (F, SPREAD)], {"confidence": "require"}, B, "keep", F, DRAW),
    # gains
    ("gain asked and met exactly", [(B, [0.86] * 22), (F, [0.91] * 22)], {"min_gain": 0.05}, B, "promote", F, CLEAR),
    ("gain asked and missed", [(B, [0.87] * 22), (F, [0.91] * 22)], {"min_gain": 0.05}, B, "keep", F, CLEAR),
    ("a loss allowed", [(B, [0.90] * 22), (F, [0.89] * 22)], {"min_gain": -0.02}, B, "promote", F, CLEAR),
    ("worse, and that does not matter", [(B, HIGH), (F, [0.88] * 22)], {"not_worse": False}, B, "promote", F, CLEAR),
    ("a gain asked turns the rule on again", [(B, HIGH), (F, [0.88] * 22)], {"not_worse": False, "min_gain": 0.01}, B, "keep", F, CLEAR),
    ("retention met exactly", [(B, HIGH), (F, [0.92 * 0.95] * 22)], {"not_worse": False, "retention": 0.95}, B, "promote", F, CLEAR),
    ("retention missed", [(B, HIGH), (F, [0.86] * 22)], {"not_worse": False, "retention": 0.95}, B, "keep", F, CLEAR),
    ("retention missed by a hair", [(B, HIGH), (F, SPREAD)], {"not_worse": False, "retention": 0.95}, B, "keep", F, DRAW),
    ("retention of an incumbent without a score", [(B, [None] * 22), (F, HIGH)], {"not_worse": False, "retention": 0.9}, B, "keep", F, OPEN),
    ("retention of nothing", [(B, [0.0] * 22), (F, HIGH)], {"retention": 0.9}, B, "promote", F, CLEAR),
    ("gain over the simpler met exactly", [(B, LOW), (P, [0.86] * 22), (F, [0.91] * 22)], {"gain_over_simpler": {F: 0.05}}, P, "promote", F, CLEAR),
    ("gain over the simpler missed", [(B, LOW), (P, [0.87] * 22), (F, [0.91] * 22)], {"gain_over_simpler": {F: 0.05}}, P, "keep", F, CLEAR),
    ("nothing simpler was compared", [(B, LOW), (F, HIGH)], {"gain_over_simpler": {B: 0.05}, "threshold": 0.1}, F, "keep", B, CLEAR),
    ("nothing simpler, else fine", [(B, HIGH), (F, HIGH)], {"gain_over_simpler": {B: 0.05}}, F, "keep", B, OPEN),
    ("the simpler has no score", [(B, LOW), (P, [None] * 22), (F, HIGH)], {"gain_over_simpler": {F: 0.05}}, B, "keep", F, OPEN),
    # each further rule, failing alone and passing at its bound
    ("validity missed", [(B, LOW), (F, HIGH, UNPARSED)], {"min_validity": 0.9}, B, "keep", F, DRAW),
    ("validity missed clearly", [(B, LOW), (F, HIGH, parsed(4, 4, 14))], {"min_validity": 0.9}, B, "keep", F, CLEAR),
    ("validity met exactly, fences removed", [(B, LOW), (F, HIGH, parsed(9, 9, 2))], {"min_validity": 0.9}, B, "promote", F, DRAW),
    ("validity met clearly", [(B, LOW), (F, HIGH, parsed(200, 0, 0))], {"min_validity": 0.9}, B, "promote", F, CLEAR),
    ("validity of no output", [(B, LOW), (F, HIGH, {"validity": ValidityShares(as_is=0.0, extracted=0.0, none=0.0, mean_other=None)})], {"min_validity": 0.9}, B, "keep", F, OPEN),
    ("spread too large", [(B, LOW), (F, ODD)], {"max_std": 0.02}, B, "keep", F, CLEAR),
    ("spread at its bound", [(B, LOW), (F, ODD)], {"max_std": 0.020470655}, B, "promote", F, CLEAR),
    ("spread of one example", [(B, [0.5]), (F, [0.92])], {"max_std": 0.1}, B, "keep", F, OPEN),
    ("an example below the floor", [(B, LOW), (F, [*HIGH[:21], 0.69])], {"floor": 0.7}, B, "keep", F, CLEAR),
    ("an example at the floor", [(B, LOW), (F, [*HIGH[:21], 0.7])], {"floor": 0.7}, B, "promote", F, CLEAR),
    ("too slow", [(B, LOW), (F, HIGH, FAST)], {"max_latency_s": 1.9}, B, "keep", F, CLEAR),
    ("as fast as asked", [(B, LOW), (F, HIGH, FAST)], {"max_latency_s": 2.0}, B, "promote", F, CLEAR),
    ("speed unknown", [(B, LOW), (F, HIGH)], {"max_latency_s": 2.0}, B, "keep", F, OPEN),
    ("too wordy", [(B, LOW), (F, HIGH, FAST)], {"max_tokens_per_example": 299}, B, "keep", F, CLEAR),
    ("as short as asked", [(B, LOW), (F, HIGH, FAST)], {"max_tokens_per_example": 300}, B, "promote", F, CLEAR),
    ("tokens unknown", [(B, LOW), (F, HIGH)], {"max_tokens_per_example": 300}, B, "keep", F, OPEN),
    ("a tag's value too low", [(B, LOW), (F, [0.95] * 11 + [0.79] * 11)], {"tags": {"tier": 0.8}}, B, "keep", F, CLEAR),
    ("a tag's value too low by a hair", [(B, LOW), (F, [0.95] * 11 + [0.93] * 6 + [0.6] * 5)], {"tags": {"tier": 0.8}}, B, "keep", F, DRAW),
    ("a tag's values at the bound", [(B, LOW), (F, [0.95] * 11 + [0.8] * 11)], {"tags": {"tier": 0.8}}, B, "promote", F, DRAW),
    ("a tag that no example has", [(B, LOW), (F, HIGH)], {"tags": {"language": 0.8}}, B, "keep", F, OPEN),
    ("a tag's value without a score", [(B, LOW), (F, HIGH[:11] + [None] * 11)], {"tags": {"tier": 0.8}, "max_failure_rate": 0.5}, B, "keep", F, OPEN),
    ("audit void", [(B, LOW), (F, HIGH, {"audit": VOID})], {}, B, "keep", F, OPEN),
    ("audit missing", [(B, LOW), (F, HIGH, {"audit": None})], {}, B, "keep", F, OPEN),
    ("audit missing and not asked for", [(B, LOW), (F, HIGH, {"audit": None})], {"audit": False}, B, "promote", F, CLEAR),
    ("unknown speed beside a clear miss settles it", [(B, HIGH), (F, LOW)], {"max_latency_s": 2.0}, B, "keep", F, CLEAR),
]  # fmt: skip


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_the_decision_is(row):
    _, arms, policy, incumbent, verdict, candidate, strength = row
    made = [arm(name, scores, **(more[0] if more else {})) for name, scores, *more in arms]
    found = gate.decide(report(*made, tags=TIERS), Policy(**policy), incumbent)
    assert (found.verdict, found.candidate, found.strength) == (verdict, candidate, strength)
    assert found.conclusive == (strength != "cannot decide")
    assert found.next_steps
    assert all(rule.why and rule.required for rule in found.rules)
    assert from_data(Decision, json.loads(to_json(found)), "decision") == found


def test_the_table_is_as_long_as_promised():
    assert len(TABLE) >= 60


EVERY = {
    "retention": 0.1,
    "min_validity": 0.1,
    "max_std": 1.0,
    "floor": 0.1,
    "tags": {"tier": 0.1},
    "gain_over_simpler": {F: 0.1},
    "max_latency_s": 9.0,
    "max_tokens_per_example": 900.0,
}


def names(found):
    return [rule.name for rule in found.rules]


def test_a_rule_that_is_off_does_not_appear():
    arms = report(arm(B, LOW), arm(F, HIGH, **FAST), tags=TIERS)
    off = gate.decide(arms, Policy(not_worse=False, audit=False), B)
    assert names(off) == ["threshold", "complete"]
    on = gate.decide(arms, Policy(**EVERY), B)
    assert sorted({*names(on)} - {"threshold", "not_worse", "complete", "audit"}) == sorted(
        ["tags.tier" if key == "tags" else key for key in EVERY]
    )
    assert on.verdict == "promote"


def test_a_rule_on_a_tag_shows_n_and_mean_of_each_value():
    scores = [0.95] * 11 + [0.75] * 10 + [0.8]
    found = gate.decide(
        report(arm(B, LOW), arm(F, scores), tags=TIERS), Policy(tags={"tier": 0.8}), B
    )
    rule = next(rule for rule in found.rules if rule.name == "tags.tier")
    assert [(g.value, g.n, g.passed) for g in rule.groups] == [
        ("corporate", 11, False),
        ("simple", 11, True),
    ]
    assert rule.observed == pytest.approx(8.3 / 11)
    assert rule.why == "Too low for corporate."


def test_examples_without_the_tag_are_counted():
    tags = {key: value for key, value in TIERS.items() if key != "e0"}
    found = gate.decide(report(arm(B, LOW), arm(F, HIGH), tags=tags), Policy(tags={"tier": 0.8}), B)
    rule = next(rule for rule in found.rules if rule.name == "tags.tier")
    assert rule.why == "Every value reaches it. 1 of 22 examples have no tier."


def test_strict_extraction_counts_what_parsed_as_it_stood():
    arms = (arm(B, LOW), arm(F, HIGH, **parsed(9, 9, 2)))
    policy = Policy(min_validity=0.9)
    assert gate.decide(report(*arms), policy, B).verdict == "promote"
    assert gate.decide(report(*arms, extraction="strict"), policy, B).verdict == "keep"


def test_examples_below_the_floor_are_named():
    found = gate.decide(report(arm(B, LOW), arm(F, [0.1, 0.2, *HIGH[:20]])), Policy(floor=0.7), B)
    rule = next(rule for rule in found.rules if rule.name == "floor")
    assert (rule.observed, rule.why) == (0.1, "2 of 22 examples lie below it: e0, e1.")


def test_a_bar_above_the_ceiling_is_called_out_of_reach():
    found = gate.decide(report(arm(B, LOW), arm(F, HIGH)), Policy(threshold=0.95), B)
    assert "no answer can reach it" in found.rules[0].why
    assert found.power.at_threshold is None


# the pipeline's own rules: each outcome can be reached, which its pseudo-code could not
STRATEGY = [
    ("the fine-tune earns it", 0.60, 0.86, 0.92, B, "promote", F),
    ("the program earns it, the fine-tune does not", 0.60, 0.88, 0.92, B, "promote", P),
    ("the program stays", 0.60, 0.88, 0.92, P, "keep", F),
    ("the fine-tune replaces the program", 0.60, 0.86, 0.92, P, "promote", F),
    ("the fine-tune falls behind the program", 0.60, 0.90, 0.87, B, "promote", P),
    ("the baseline stays: nobody gains enough", 0.86, 0.90, 0.91, B, "keep", F),
    ("the baseline stays: nobody reaches the bar", 0.60, 0.75, 0.84, B, "keep", F),
    ("the baseline takes the place back", 0.91, 0.88, 0.86, P, "promote", B),
    ("the fine-tune earns it where the program does not", 0.84, 0.86, 0.92, B, "promote", F),
]


@pytest.mark.parametrize("row", STRATEGY, ids=lambda row: row[0])
def test_the_strategy_can_reach_every_outcome(row):
    _, *means, incumbent, verdict, candidate = row
    arms = [arm(name, [mean] * 22) for name, mean in zip((B, P, F), means, strict=True)]
    found = gate.decide(report(*arms), named_policy("strategy"), incumbent)
    assert (found.verdict, found.candidate) == (verdict, candidate)


RETENTION = [
    ("nearly as good and steady", [0.84, 0.86] * 11, PARSED, "promote"),
    ("below its share of a strong teacher", [0.82] * 22, PARSED, "keep"),
    ("a case below the floor", [*([0.88] * 21), 0.69], PARSED, "keep"),
    ("too unsteady", [0.71, 0.98] * 11, PARSED, "keep"),
    ("three of 22 do not parse", [0.86] * 22, UNPARSED["validity"], "keep"),
]


@pytest.mark.parametrize("row", RETENTION, ids=lambda row: row[0])
def test_a_student_may_fall_behind_its_teacher_a_little(row):
    _, scores, validity, verdict = row
    arms = (arm(B, HIGH), arm(F, scores, validity=validity))
    assert gate.decide(report(*arms), named_policy("retention"), B).verdict == verdict


def test_the_decision_carries_what_its_examples_can_tell():
    found = gate.decide(report(arm(B, LOW), arm(F, SPREAD)), Policy(), B)
    power = found.power
    assert (found.verdict, found.strength, power.n) == ("promote", "within noise", 22)
    assert 0.4 < power.at_threshold < 0.65
    truths, passes = [p.truth for p in power.curve], [p.passes for p in power.curve]
    assert truths == sorted(truths)
    assert passes == sorted(passes)
    assert min(passes) < 0.05 < 0.95 < max(passes)
    gap = found.rules[0].observed - 0.8535
    assert power.for_threshold == examples_needed(gap, stats.summarise(SPREAD, 0).std)
    needed = f"About {power.for_threshold} examples instead of 22 would settle"
    assert any(step.startswith(needed) for step in found.next_steps)


def test_the_lower_bound_makes_a_pass_at_the_bar_rare():
    arms = report(arm(B, LOW), arm(F, SPREAD))
    found = gate.decide(arms, Policy(confidence="require"), B)
    assert found.power.at_threshold < 0.1
    assert gate.decide(arms, Policy(confidence="off"), B).power is None


def test_the_gain_that_was_asked_counts_in_what_would_settle_it():
    arms = report(arm(B, [0.86, 0.88] * 11), arm(F, [0.89, 0.93] * 11))
    plain, asked = (gate.decide(arms, Policy(min_gain=g), B).power for g in (0.0, 0.035))
    assert plain.for_incumbent < asked.for_incumbent


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(6, 13).map(lambda k: k / 14), min_size=4, max_size=12),
    st.tuples(st.floats(0.5, 0.95), st.floats(0.5, 0.95)),
)
def test_a_stricter_bar_never_promotes_what_a_looser_one_keeps(scores, bars):
    arms = report(arm(B, [0.0] * len(scores)), arm(F, scores))
    loose, strict = (
        gate.decide(arms, Policy(threshold=bar, confidence="off"), B) for bar in sorted(bars)
    )
    assert (loose.verdict, strict.verdict) != ("keep", "promote")
    more = Policy(threshold=min(bars), confidence="off", floor=0.7, max_std=0.1)
    assert (loose.verdict, gate.decide(arms, more, B).verdict) != ("keep", "promote")


STEPS = [
    # what, arms, policy, incumbent, sentences that begin a step
    ("nobody", [(B, LOW)], {}, B, ["Name a candidate"]),
    ("promote", [(B, LOW), (F, HIGH)], {}, B, ["Adopt it: baft promote r"]),
    ("below the bar", [(B, LOW), (F, MID)], {}, B, ["Keep baseline.", "About", "Train on more examples, with --lora-r 16 --lora-alpha 64"]),
    ("the program stays", [(P, HIGH, {"spec": "dspy:p"}), (F, LOW)], {}, P, ["Keep optimized, the MIPROv2 program in service: it is as good"]),
    ("a program that misses", [(B, LOW), (P, MID)], {}, B, ["Optimize on more examples"]),
    ("another model that misses", [(B, LOW), ("phi", MID)], {}, B, ["Try another base model"]),
    ("the format is at fault", [(B, LOW), (F, [0.9] * 16 + [0.28] * 6, parsed(10, 6, 6))], {}, B, ["Fix the format first: 6 of 22 outputs of finetuned"]),
    ("the format rule fails", [(B, LOW), (F, HIGH, UNPARSED)], {"min_validity": 0.9}, B, ["Fix the format first: 3 of 22"]),
    ("incomplete", [(B, LOW), (F, [*HIGH[:21], None])], {}, B, ["Mend what failed", "Keep baseline"]),
    ("void", [(B, LOW), (F, HIGH, {"audit": VOID})], {}, B, ["Look at the answers", "Keep baseline"]),
    ("gains too little", [(B, [0.86] * 22), (F, HIGH)], {"gain_over_simpler": {F: 0.1}}, B, ["Keep baseline or adopt a simpler arm"]),
]  # fmt: skip


@pytest.mark.parametrize("row", STEPS, ids=lambda row: row[0])
def test_the_next_steps_fit_the_case(row):
    _, arms, policy, incumbent, beginnings = row
    made = [arm(name, scores, **(more[0] if more else {})) for name, scores, *more in arms]
    steps = gate.decide(report(*made), Policy(**policy), incumbent).next_steps
    for beginning in beginnings:
        assert any(step.startswith(beginning) for step in steps), steps


def test_the_components_that_lost_the_points_are_named_unrounded():
    found = gate.decide(report(arm(B, LOW), arm(F, MID)), Policy(), B)
    assert found.losses == {"title": pytest.approx(0.1, abs=1e-15)}


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
                                 {"max_failure_rate": 2}, {"min_gain": float("inf")}, {"floor": -1},
                                 {"min_validity": 90}, {"tags": {"tier": 80}}, {"max_std": float("nan")},
                                 {"max_latency_s": -1}, {"retention": float("inf")},
                                 {"gain_over_simpler": {"finetuned": float("nan")}}])  # fmt: skip
def test_a_policy_out_of_range_is_refused(bad):
    with pytest.raises(ValueError, match="must"):
        Policy(**bad)
