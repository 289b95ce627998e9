"""What a decision says beyond its verdict: why a rule, what the examples can tell, what next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import numbers as show

if TYPE_CHECKING:
    from ..records import Decision, Report, RuleResult

MOST_LOST = 2
"""Components named that lost the most points."""
WORTH_NAMING = 0.005
"""Mean points from which a loss is named."""


def rule_why(rule: RuleResult) -> str:
    """A rule's reason; for a tag with n and mean of each of its values."""
    groups = ", ".join(
        f"{group.value} {show.score(group.mean)} (n = {show.count(group.n)})"
        for group in rule.groups
    )
    return f"{rule.why} {groups}." if groups else rule.why


def next_steps(decision: Decision) -> list[str]:
    """What to do now; where the threshold was missed, also where the points were lost."""
    steps = list(decision.next_steps)
    missed = any(rule.name == "threshold" and not rule.passed for rule in decision.rules)
    lost = ", ".join(
        f"{name} ({show.score(points, 2)} points)"
        for name, points in list(decision.losses.items())[:MOST_LOST]
        if points > WORTH_NAMING
    )
    return [f"Most points are lost on {lost}.", *steps] if missed and lost else steps


def can_tell(decision: Decision | None) -> list[str]:
    """What the examples can and cannot tell of the candidate, one sentence each."""
    power = decision.power if decision is not None else None
    if decision is None or decision.policy is None or power is None or power.n < 2:
        return []
    examples = show.counted(power.n, "example")
    if power.at_threshold is None:
        lines = [f"{examples}: how often such a model passes cannot be told from these scores."]
    else:
        lines = [
            f"A model whose true mean is {show.exact(decision.policy.threshold)} would pass the "
            f"threshold in {show.percent(power.at_threshold)} of runs with {examples}."
        ]
    return [
        *lines,
        _settled("the distance to the threshold", power.for_threshold, power.n),
        _settled(f"the gain over {decision.incumbent}", power.for_incumbent, power.n),
    ]


def _settled(what: str, needed: int | None, n: int) -> str:
    if needed is None:
        return f"No reasonable number of examples would settle {what}."
    if needed <= n:
        return f"These examples are enough for {what} (about {show.count(needed)} would do)."
    return f"About {show.count(needed)} examples would settle {what}."


def variances(report: Report) -> list[str]:
    """How much of the spread lies between examples and how much within, where there are repeats."""
    return [
        f"{arm.name}: variance {show.score(arm.summary.variance_between)} between examples, "
        f"{show.score(arm.summary.variance_within)} between repeats of one."
        for arm in report.arms
        if arm.summary.variance_within is not None
    ]
