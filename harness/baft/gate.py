"""A report and a policy in, one decision out. Pure: no clock, no files; what is drawn is seeded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .power import examples_needed, pass_probabilities
from .records import CurvePoint, Decision, Power
from .rules import apply_rules, arm_of, pair, simplicity, strongest, weakest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .protocols import GateRule
    from .records import Policy, Report, RuleResult, Strength

CURVE = (-0.06, -0.04, -0.02, 0.0, 0.02, 0.04, 0.06)
"""True means of the operating curve, as distances to the threshold."""

UNPARSED = 0.05
"""From this share of outputs that do not parse on, the format is the first thing to mend."""


def decide(
    report: Report, policy: Policy, incumbent: str, extra: Mapping[str, GateRule] | None = None
) -> Decision:
    """Promote the best candidate that passes every rule, or keep the incumbent.

    Args:
        report: the comparison.
        policy: the written rules.
        incumbent: name of the arm in service; it need not be among the arms.
        extra: further rules by name, from plugins.
    """
    considered = {
        arm.name: (
            *apply_rules(report, policy, arm.name, incumbent),
            *(rule(report, policy, arm.name, incumbent) for rule in (extra or {}).values()),
        )
        for arm in report.arms
        if arm.name != incumbent
    }
    names = sorted(considered, key=lambda name: _rank(report, name))
    passing = [name for name in names if all(rule.passed for rule in considered[name])]
    best = passing[0] if passing else (names[0] if names else None)
    rules = considered.pop(best) if best is not None else ()
    strength = _strength(rules)
    power = None
    if best is not None and policy.confidence != "off":
        power = power_of(report, policy, best, incumbent)
    return Decision(
        verdict="promote" if passing else "keep",
        conclusive=strength != "cannot decide",
        strength=strength,
        candidate=best,
        incumbent=incumbent,
        rules=rules,
        next_steps=tuple(_next_steps(report, best, incumbent, rules, power)),
        run=report.run_id,
        considered=considered,
        policy=policy,
        losses=_losses(report, best) if best is not None else {},
        power=power,
    )


def power_of(report: Report, policy: Policy, candidate: str, incumbent: str) -> Power:
    """What this run's examples can and cannot tell of the candidate, under this policy."""
    arm, bar, most = arm_of(report, candidate), policy.threshold, report.attainable_max
    mean, std = arm.summary.mean, arm.summary.std
    truths = [bar + step for step in CURVE if 0 <= bar + step <= most]
    at_bar, *passes = pass_probabilities(
        list(arm.scores.values()),
        [bar, *truths],
        bar,
        most=most,
        require_bound=policy.confidence == "require",
    )
    test, sign = pair(report, candidate, incumbent) or (None, 1)
    gain = test.mean_difference if test is not None else None
    return Power(
        n=arm.summary.n,
        at_threshold=at_bar,
        curve=tuple(
            CurvePoint(truth=truth, passes=share)
            for truth, share in zip(truths, passes, strict=True)
            if share is not None
        ),
        for_threshold=examples_needed(mean - bar if mean is not None else None, std),
        for_incumbent=examples_needed(
            sign * gain - policy.min_gain if gain is not None else None,
            test.std if test is not None else None,
        ),
    )


def _rank(report: Report, name: str) -> tuple[float, int, int]:
    """Highest mean first; within the tolerance the simpler arm, then the one named first."""
    mean = arm_of(report, name).summary.mean
    position = [arm.name for arm in report.arms].index(name)
    known = mean is not None and mean == mean  # not NaN
    return (-round(mean, 12) if mean is not None and known else 1.0, simplicity(name), position)


def _strength(rules: tuple[RuleResult, ...]) -> Strength:
    """How firmly the evidence supports the verdict; see the fields of ``Decision``.

    A promotion is as firm as its weakest rule, a keep as the firmest of the rules that failed.
    Where the evidence itself is incomplete or void, nothing can be decided.
    """
    failed = {rule.name: rule.strength for rule in rules if not rule.passed}
    if not rules or "complete" in failed or "audit" in failed:
        return "cannot decide"
    if failed:
        return strongest(set(failed.values()))
    return weakest({rule.strength for rule in rules})


def _losses(report: Report, candidate: str) -> dict[str, float]:
    """Mean points that the candidate loses by component, most first."""
    components = arm_of(report, candidate).components
    lost = {name: most - components.get(name, 0.0) for name, most in report.component_max.items()}
    return {
        name: lost[name] for name in sorted(lost, key=lambda name: -lost[name]) if lost[name] > 0
    }


def _next_steps(
    report: Report,
    best: str | None,
    incumbent: str,
    rules: tuple[RuleResult, ...],
    power: Power | None,
) -> Iterator[str]:
    """What to do now, one sentence each, the most useful first."""
    if best is None:
        yield "Name a candidate: --optimized, --finetuned or --candidate NAME=SPEC."
        return
    failed = {rule.name for rule in rules if not rule.passed}
    if not failed:
        yield f"Adopt it: baft promote {report.run_id}, or the next comparison with --apply."
    if "complete" in failed:
        yield "Mend what failed and go on: baft compare --resume with this run's folder."
    if "audit" in failed:
        yield "Look at the answers in report.html: they must depend on the example."
    if failed:
        yield from _format(report, best, failed)
        yield f"Keep {_named(report, incumbent)}{_because(failed, incumbent)}."
    yield from _more_examples(best, incumbent, rules, power)
    if failed - {"complete", "audit"}:
        yield _another_try(report, best)


def _format(report: Report, best: str, failed: set[str]) -> Iterator[str]:
    validity = arm_of(report, best).validity
    if "min_validity" in failed or validity.none > UNPARSED:
        readable = validity.as_is + (0.0 if report.extraction == "strict" else validity.extracted)
        bad = validity.n - round(readable * validity.n)
        yield f"Fix the format first: {bad} of {validity.n} outputs of {best} did not parse."


def _named(report: Report, incumbent: str) -> str:
    arm = report.arm(incumbent)
    is_program = arm is not None and arm.spec.startswith("dspy:")
    return f"{incumbent}, the MIPROv2 program in service" if is_program else incumbent


def _because(failed: set[str], incumbent: str) -> str:
    if "not_worse" in failed:
        return ": it is as good or better on these examples"
    if "gain_over_simpler" in failed:
        return " or adopt a simpler arm: the gain does not pay for what it takes to run"
    return ""


def _more_examples(
    best: str, incumbent: str, rules: tuple[RuleResult, ...], power: Power | None
) -> Iterator[str]:
    """How many examples would settle what these leave open."""
    if power is None:
        return
    asked = {
        "threshold": (power.for_threshold, f"whether {best} reaches the threshold"),
        "not_worse": (power.for_incumbent, f"whether {best} is better than {incumbent}"),
    }
    for rule in rules:
        needed, what = asked.get(rule.name, (None, ""))
        if rule.strength == "within noise" and needed is not None and needed > power.n:
            yield f"About {needed} examples instead of {power.n} would settle {what}."


def _another_try(report: Report, best: str) -> str:
    spec = arm_of(report, best).spec
    if spec.startswith(("lora:", "hf:")) or best == "finetuned":
        return (
            "Train on more examples, with --lora-r 16 --lora-alpha 64, or from another base model."
        )
    if spec.startswith("dspy:") or best == "optimized":
        return "Optimize on more examples, with more trials, or on another base model."
    return "Try another base model, or optimize and fine-tune this one."
