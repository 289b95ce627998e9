"""The rules of a policy, each applied to one candidate. Pure: a report and a policy in.

A rule that is off gives nothing. Where the data that a rule needs is missing it does not pass.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from .records import RuleResult, TagGroup
from .stats import lower_bound, mean, mean_interval

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeGuard

    from .records import ArmReport, Interval, PairedTest, Policy, Report, Strength

TOLERANCE = 1e-12
"""0.8535 has no exact binary form; numbers that differ by less than this are the same."""

SIMPLER = ("baseline", "optimized", "finetuned")
"""From the simplest arm to the one that takes most to run; any other takes more."""


def apply_rules(
    report: Report, policy: Policy, candidate: str, incumbent: str
) -> Iterator[RuleResult]:
    """Every rule of the policy that is on, in the order in which a reader wants them."""
    yield threshold(report, policy, candidate)
    if policy.not_worse or policy.min_gain:
        yield not_worse(report, policy, candidate, incumbent)
    if policy.retention is not None:
        yield retention(report, policy.retention, candidate, incumbent)
    if candidate in policy.gain_over_simpler:
        yield gain_over_simpler(report, policy.gain_over_simpler[candidate], candidate)
    if policy.min_validity is not None:
        yield min_validity(report, policy.min_validity, candidate)
    arm = arm_of(report, candidate)
    if policy.max_std is not None:
        yield at_most("max_std", arm.summary.std, policy.max_std, "standard deviation")
    if policy.floor is not None:
        yield floor(arm, policy.floor)
    for tag, bound in policy.tags.items():
        yield tag_means(report, tag, bound, candidate)
    if policy.max_latency_s is not None:
        what = "95th percentile of the seconds to an answer"
        yield at_most("max_latency_s", arm.usage.latency_p95_s, policy.max_latency_s, what)
    if policy.max_tokens_per_example is not None:
        what, seen = "mean of the tokens of an answer", arm.usage.tokens_per_example
        yield at_most("max_tokens_per_example", seen, policy.max_tokens_per_example, what)
    yield complete(report, policy, candidate, incumbent)
    if policy.audit:
        yield audit(arm)


def threshold(report: Report, policy: Policy, candidate: str) -> RuleResult:
    """The candidate's unrounded mean (or its lower bound) reaches the threshold."""
    arm = arm_of(report, candidate)
    observed, what = arm.summary.mean, "mean"
    if policy.confidence == "require":
        observed, what = lower_bound(list(arm.scores.values())), "one-sided 95 % lower bound"
    required = f"{what} >= {number(policy.threshold)}"
    if not _known(observed):
        why = f"There is no {what}: too few examples have a score."
        return _unverified("threshold", required, why)
    passed = observed >= policy.threshold - TOLERANCE
    why = f"The {what} {'reaches' if passed else 'misses'} the threshold."
    if policy.threshold > report.attainable_max + TOLERANCE:
        why = "The threshold lies above the best attainable score: no answer can reach it."
    return RuleResult(
        name="threshold",
        passed=passed,
        observed=observed,
        required=required,
        why=why,
        strength=_strength(arm.summary.ci95, policy.threshold, passed),
    )


def not_worse(report: Report, policy: Policy, candidate: str, incumbent: str) -> RuleResult:
    """The candidate's mean is at least the incumbent's in the same run, plus ``min_gain``."""
    gain = f" + {number(policy.min_gain)}" if policy.min_gain else ""
    required = f"mean >= {incumbent}'s{gain}"
    return _gain("not_worse", report, policy.min_gain, candidate, incumbent, required)


def gain_over_simpler(report: Report, least: float, candidate: str) -> RuleResult:
    """The candidate's mean exceeds that of the best simpler arm of the run by ``least``."""
    name = "gain_over_simpler"
    required = f"mean >= that of the best simpler arm + {number(least)}"
    simpler = [arm for arm in report.arms if simplicity(arm.name) < simplicity(candidate)]
    means = {arm.name: arm.summary.mean for arm in simpler}
    if not means or not all(map(_known, means.values())):
        missing = ", ".join(key for key, value in means.items() if not _known(value))
        why = (
            f"{missing} has no score in this run" if missing else "No simpler arm was compared"
        ) + ", so it cannot be verified."
        return _unverified(name, required, why)
    best = max(means, key=lambda key: means[key] or 0.0)
    return _gain(name, report, least, candidate, best, f"mean >= {best}'s + {number(least)}")


def _gain(
    name: str, report: Report, least: float, candidate: str, other: str, required: str
) -> RuleResult:
    """The candidate's mean is at least that of another arm plus ``least``."""
    theirs = report.arm(other)
    a = arm_of(report, candidate).summary.mean
    b = theirs.summary.mean if theirs is not None else None
    if not _known(a) or not _known(b):
        missing = other if _known(a) else candidate
        why = f"{missing} has no score in this run, so it cannot be verified."
        return _unverified(name, required, why)
    passed = a >= b + least - TOLERANCE
    says = "gains enough over" if passed else "does not gain enough over"
    return RuleResult(
        name=name,
        passed=passed,
        observed=a - b,
        required=required,
        why=f"The candidate {says} {other}.",
        strength=_strength(gain_interval(report, candidate, other), least, passed),
    )


def retention(report: Report, share: float, candidate: str, incumbent: str) -> RuleResult:
    """The candidate keeps at least a share of the incumbent's mean."""
    required = f"mean >= {number(share)} x {incumbent}'s"
    mine, theirs = arm_of(report, candidate), report.arm(incumbent)
    a = mine.summary.mean
    b = theirs.summary.mean if theirs is not None else None
    if theirs is None or not _known(a) or not _known(b):
        missing = incumbent if _known(a) else candidate
        why = f"{missing} has no score in this run, so it cannot be verified."
        return _unverified("retention", required, why)
    passed = a >= share * b - TOLERANCE
    excess = [
        score - share * theirs.scores[key]
        for key, score in mine.scores.items()
        if key in theirs.scores
    ]
    return RuleResult(
        name="retention",
        passed=passed,
        observed=a / b if b > 0 else None,
        required=required,
        why=f"The candidate {'keeps' if passed else 'does not keep'} that share of the mean.",
        strength=_strength(mean_interval(excess), 0.0, passed),
    )


def min_validity(report: Report, share: float, candidate: str) -> RuleResult:
    """A share of the outputs parses under the run's extraction; Wilson's interval (1927)."""
    from scipy import stats

    validity = arm_of(report, candidate).validity
    how = "as they stand" if report.extraction == "strict" else "after extraction"
    required = f"share that parses {how} >= {number(share)}"
    if validity.n == 0:
        why = "No output was parsed, so it cannot be verified."
        return _unverified("min_validity", required, why)
    readable = 0.0 if report.extraction == "strict" else validity.extracted
    parsed = round((validity.as_is + readable) * validity.n)
    found = stats.binomtest(parsed, validity.n).proportion_ci(0.95, method="wilson")
    passed = parsed / validity.n >= share - TOLERANCE
    clear = found.low >= share - TOLERANCE if passed else found.high < share - TOLERANCE
    return RuleResult(
        name="min_validity",
        passed=passed,
        observed=parsed / validity.n,
        required=required,
        why=f"{parsed} of {validity.n} outputs parse {how}.",
        strength="clear" if clear else "within noise",
    )


def at_most(name: str, observed: float | None, bound: float, what: str) -> RuleResult:
    """Something measured in this run stays within its bound."""
    required = f"{what} <= {number(bound)}"
    if not _known(observed):
        return _unverified(name, required, f"The {what} is not known, so it cannot be verified.")
    passed = observed <= bound + TOLERANCE
    why = f"The {what} {'stays within' if passed else 'exceeds'} the bound."
    return RuleResult(name=name, passed=passed, observed=observed, required=required, why=why)


def floor(arm: ArmReport, bound: float) -> RuleResult:
    """No example that has a score lies below the bound."""
    required = f"no example below {number(bound)}"
    if not arm.scores or not all(map(math.isfinite, arm.scores.values())):
        return _unverified("floor", required, "No example has a score, so it cannot be verified.")
    low = [key for key, score in arm.scores.items() if score < bound - TOLERANCE]
    named = ", ".join(low[:3]) + (", …" if len(low) > 3 else "")
    return RuleResult(
        name="floor",
        passed=not low,
        observed=min(arm.scores.values()),
        required=required,
        why=(
            f"{len(low)} of {len(arm.scores)} examples lie below it: {named}."
            if low
            else f"All {len(arm.scores)} examples with a score reach it."
        ),
    )


def tag_means(report: Report, tag: str, bound: float, candidate: str) -> RuleResult:
    """The examples with each value of a tag reach a mean."""
    name, required = f"tags.{tag}", f"mean >= {number(bound)} for each value of {tag}"
    arm = arm_of(report, candidate)
    members: dict[str, list[str]] = defaultdict(list)
    for key, tags in report.tags.items():
        if tag in tags:
            members[tags[tag]].append(key)
    scores = {
        value: [arm.scores[key] for key in keys if key in arm.scores]
        for value, keys in sorted(members.items())
    }
    groups = tuple(_group(value, found, bound) for value, found in scores.items())
    means = [group.mean for group in groups if group.mean is not None]
    if len(means) < len(groups) or not groups:
        empty = ", ".join(group.value for group in groups if group.mean is None)
        why = f"No example with {tag} {empty} has a score" if empty else f"No example has a {tag}"
        return _unverified(name, required, f"{why}, so it cannot be verified.", groups)
    short = [group.value for group in groups if not group.passed]
    untagged = report.num_examples - sum(map(len, members.values()))
    strengths = {
        _strength(mean_interval(scores[group.value]), bound, group.passed)
        for group in groups
        if not (short and group.passed)
    }
    return RuleResult(
        name=name,
        passed=not short,
        observed=min(means),
        required=required,
        why=(f"Too low for {', '.join(short)}." if short else "Every value reaches it.")
        + (f" {untagged} of {report.num_examples} examples have no {tag}." if untagged else ""),
        strength=(strongest if short else weakest)(strengths),
        groups=groups,
    )


def _group(value: str, scores: list[float], bound: float) -> TagGroup:
    centre = mean(scores) if scores else None
    centre = centre if _known(centre) else None
    passed = centre is not None and centre >= bound - TOLERANCE
    return TagGroup(value=value, n=len(scores), mean=centre, passed=passed)


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
        required=f"share without a score <= {number(policy.max_failure_rate)}",
        why=f"{'; '.join(parts)}." if parts else "Every example has a score for both.",
        strength="clear" if passed else "cannot decide",
    )


def audit(arm: ArmReport) -> RuleResult:
    """The metric audit does not void the candidate's result."""
    failed = [f for f in arm.audit.findings if not f.passed] if arm.audit is not None else []
    passed = arm.audit is not None and not failed
    return RuleResult(
        name="audit",
        passed=passed,
        observed=", ".join(f.name for f in failed) or None,
        required="answers depend on their example and are no copies",
        why=(
            "The run holds no audit of this arm."
            if arm.audit is None
            else " ".join(f.why for f in failed) or "Answers fit their own examples."
        ),
        strength="clear" if passed else "cannot decide",
    )


def arm_of(report: Report, name: str) -> ArmReport:
    """The arm of that name, which the caller knows to be there."""
    arm = report.arm(name)
    assert arm is not None, f"only arms of the report are judged, not {name}"
    return arm


def simplicity(name: str) -> int:
    """Place of an arm from the simplest up."""
    return SIMPLER.index(name) if name in SIMPLER else len(SIMPLER)


def pair(report: Report, a: str, b: str) -> tuple[PairedTest, int] | None:
    """The test of two arms, and the sign that turns its difference into a - b."""
    for test in report.tests:
        if (test.a, test.b) == (a, b):
            return test, 1
        if (test.a, test.b) == (b, a):
            return test, -1
    return None


def gain_interval(report: Report, a: str, b: str) -> Interval | None:
    """The interval of a's paired gain over b."""
    test, sign = pair(report, a, b) or (None, 1)
    if test is None or test.ci95 is None or sign > 0:
        return test.ci95 if test is not None else None
    return replace(test.ci95, low=-test.ci95.high, high=-test.ci95.low)


def weakest(strengths: set[Strength]) -> Strength:
    """The least firm of several; clear for none."""
    order: tuple[Strength, ...] = ("cannot decide", "within noise", "clear")
    return next((strength for strength in order if strength in strengths), "clear")


def strongest(strengths: set[Strength]) -> Strength:
    """The firmest of several; cannot decide for none."""
    order: tuple[Strength, ...] = ("clear", "within noise", "cannot decide")
    return next((strength for strength in order if strength in strengths), "cannot decide")


def number(value: float) -> str:
    """A bound as it was written, with all its digits.

    >>> number(0.8535), number(5.0), number(0.85349999)
    ('0.8535', '5', '0.85349999')
    """
    return f"{value:.15g}"


def _strength(interval: Interval | None, bound: float, passed: bool) -> Strength:
    """Clear where the whole interval lies on the side that was found."""
    if interval is None:
        return "cannot decide"
    clear = interval.low >= bound - TOLERANCE if passed else interval.high < bound - TOLERANCE
    return "clear" if clear else "within noise"


def _known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _unverified(
    name: str, required: str, why: str, groups: tuple[TagGroup, ...] = ()
) -> RuleResult:
    return RuleResult(
        name=name,
        passed=False,
        observed=None,
        required=required,
        why=why,
        strength="cannot decide",
        groups=groups,
    )
