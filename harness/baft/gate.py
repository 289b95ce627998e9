"""A report and a policy in, one decision out. Pure: no clock, no files, no randomness."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .records import Decision, RuleResult
from .stats import lower_bound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .protocols import GateRule
    from .records import ArmReport, PairedTest, Policy, Report, Strength

TOLERANCE = 1e-12
"""0.8535 has no exact binary form; means that differ by less than this are the same number."""

SIMPLER = ("baseline", "optimized", "finetuned")
"""A tie goes to the arm that stands first here."""


def threshold(report: Report, policy: Policy, candidate: str, incumbent: str) -> RuleResult:
    """The candidate's unrounded mean (or its lower bound) reaches the threshold."""
    arm = _arm(report, candidate)
    observed, what = arm.summary.mean, "mean"
    if policy.confidence == "require":
        observed, what = lower_bound(list(arm.scores.values())), "one-sided 95 % lower bound"
    passed = observed is not None and observed >= policy.threshold - TOLERANCE
    return RuleResult(
        name="threshold",
        passed=passed,
        observed=observed,
        required=f"{what} >= {policy.threshold:g}",
        why=(
            f"There is no {what}: too few examples have a score."
            if observed is None
            else f"The {what} {'reaches' if passed else 'misses'} the threshold."
        ),
    )


def not_worse(report: Report, policy: Policy, candidate: str, incumbent: str) -> RuleResult:
    """The candidate's mean is at least the incumbent's in the same run, plus ``min_gain``."""
    mine = _arm(report, candidate).summary.mean
    arm = report.arm(incumbent)
    theirs = arm.summary.mean if arm is not None else None
    required = f"mean >= {incumbent}'s" + (f" + {policy.min_gain:g}" if policy.min_gain else "")
    if mine is None or theirs is None:
        missing = candidate if mine is None else incumbent
        return RuleResult(
            name="not_worse",
            passed=False,
            observed=None,
            required=required,
            why=f"{missing} has no score in this run, so it cannot be verified.",
        )
    passed = mine >= theirs + policy.min_gain - TOLERANCE
    return RuleResult(
        name="not_worse",
        passed=passed,
        observed=mine - theirs,
        required=required,
        why=f"The candidate {'gains enough over' if passed else 'does not gain enough over'} "
        f"{incumbent}.",
    )


def complete(report: Report, policy: Policy, candidate: str, incumbent: str) -> RuleResult:
    """Every example has a score for both, but for a share of ``max_failure_rate``."""
    worst = 0.0
    parts = []
    for name in dict.fromkeys((candidate, incumbent)):
        arm = report.arm(name)
        missing = report.num_examples - (len(arm.scores) if arm is not None else 0)
        worst = max(worst, missing / report.num_examples if report.num_examples else 1.0)
        if missing:
            parts.append(f"{name} lacks {missing} of {report.num_examples}")
    passed = worst <= policy.max_failure_rate + TOLERANCE
    return RuleResult(
        name="complete",
        passed=passed,
        observed=worst,
        required=f"share without a score <= {policy.max_failure_rate:g}",
        why=f"{'; '.join(parts)}." if parts else "Every example has a score for both.",
    )


def audit(report: Report, policy: Policy, candidate: str, incumbent: str) -> RuleResult:
    """The metric audit does not void the candidate's result."""
    found = _arm(report, candidate).audit
    failed = [f for f in found.findings if not f.passed] if found is not None else []
    passed = found is not None and not failed
    return RuleResult(
        name="audit",
        passed=passed,
        observed=", ".join(f.name for f in failed) or None,
        required="answers depend on their example and are no copies",
        why=(
            "The run holds no audit of this arm."
            if found is None
            else " ".join(f.why for f in failed) or "Answers fit their own examples."
        ),
    )


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
    rules: dict[str, GateRule] = {
        "threshold": threshold,
        "not_worse": not_worse,
        "complete": complete,
        **({"audit": audit} if policy.audit else {}),
        **(extra or {}),
    }
    considered = {
        arm.name: tuple(rule(report, policy, arm.name, incumbent) for rule in rules.values())
        for arm in report.arms
        if arm.name != incumbent
    }
    names = sorted(considered, key=lambda name: _rank(report, name))
    passing = [name for name in names if all(rule.passed for rule in considered[name])]
    best = passing[0] if passing else (names[0] if names else None)
    strength = _strength(report, policy, best, incumbent, bool(passing))
    applied = considered.pop(best) if best is not None else ()
    return Decision(
        verdict="promote" if passing else "keep",
        conclusive=strength != "cannot decide",
        strength=strength,
        candidate=best,
        incumbent=incumbent,
        rules=applied,
        next_steps=_next_steps(report, policy, best, incumbent, applied, bool(passing)),
        run=report.run_id,
        considered=considered,
        policy=policy,
    )


def _arm(report: Report, name: str) -> ArmReport:
    arm = report.arm(name)
    assert arm is not None, f"decide() only asks for arms of the report, not {name}"
    return arm


def _rank(report: Report, name: str) -> tuple[float, int, int]:
    """Highest mean first; within the tolerance the simpler arm, then the one named first."""
    mean = _arm(report, name).summary.mean
    simplicity = SIMPLER.index(name) if name in SIMPLER else len(SIMPLER)
    position = [arm.name for arm in report.arms].index(name)
    return (-round(mean, 12) if mean is not None else 1.0, simplicity, position)


def pair(report: Report, a: str, b: str) -> tuple[PairedTest, int] | None:
    """The test of two arms, and the sign that turns its difference into a - b."""
    for test in report.tests:
        if (test.a, test.b) == (a, b):
            return test, 1
        if (test.a, test.b) == (b, a):
            return test, -1
    return None


def _strength(
    report: Report, policy: Policy, best: str | None, incumbent: str, promote: bool
) -> Strength:
    """How firmly the intervals support the verdict; see the fields of ``Decision``.

    ``clear``: both the threshold and the incumbent lie outside the 95 % intervals on the side that
    the verdict claims (for a keep, one of them suffices). ``cannot decide``: an arm is missing,
    incomplete or void.
    """
    if best is None:
        return "cannot decide"
    arm = _arm(report, best)
    verifiable = [complete(report, policy, best, incumbent)]
    if policy.audit:
        verifiable.append(audit(report, policy, best, incumbent))
    found = pair(report, best, incumbent)
    if not all(rule.passed for rule in verifiable) or arm.summary.ci95 is None or found is None:
        return "cannot decide"
    test, sign = found
    if test.ci95 is None:
        return "cannot decide"
    low, high = sorted((sign * test.ci95.low, sign * test.ci95.high))
    interval = arm.summary.ci95
    if promote:
        clear = interval.low >= policy.threshold - TOLERANCE and low >= policy.min_gain - TOLERANCE
    else:
        clear = interval.high < policy.threshold or high < policy.min_gain
    return "clear" if clear else "within noise"


def _next_steps(
    report: Report,
    policy: Policy,
    best: str | None,
    incumbent: str,
    rules: tuple[RuleResult, ...],
    promote: bool,
) -> tuple[str, ...]:
    if best is None:
        return ("Name a candidate: --optimized, --finetuned or --candidate NAME=SPEC.",)
    if promote:
        return (f"Adopt it: baft promote {report.run_id}, or the next comparison with --apply.",)
    failed = {rule.name for rule in rules if not rule.passed}
    arm = _arm(report, best)
    steps = []
    if "complete" in failed:
        steps.append("Mend what failed and go on: baft compare --resume with this run's folder.")
    if "audit" in failed:
        steps.append("Look at the answers in report.html: they must depend on the example.")
    if arm.validity.none > 0.05:
        share = f"{arm.validity.none:.0%}"
        steps.append(f"Fix the format first: {share} of {best}'s outputs did not parse.")
    if "threshold" in failed and arm.summary.mean is not None:
        lost = sorted(
            (
                (most - arm.components.get(name, 0.0), name)
                for name, most in report.component_max.items()
            ),
            reverse=True,
        )[:2]
        worst = ", ".join(
            f"{name} ({points:.2f} points)" for points, name in lost if points > 0.005
        )
        if worst:
            steps.append(f"Most points are lost on {worst}.")
        steps.append("More data (200 examples and more), or r=16 alpha=64, may lift a fine-tune.")
    if "not_worse" in failed:
        steps.append(f"Keep {incumbent}: it is as good or better on these examples.")
    return tuple(steps) or (f"Keep {incumbent}.",)
