"""What every report says in the same words: verdict, arms, components, paired tests, audit.

Values are formatted here, escaped by whoever prints them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from . import numbers as show

if TYPE_CHECKING:
    from ..records import ArmReport, Decision, Interval, PairedTest, Report

ALPHA = 0.05
"""Two-sided level below which a difference is called real."""

STRENGTHS = {
    "clear": "The evidence is clear.",
    "within noise": "The difference is within noise: another draw could turn it round.",
    "cannot decide": "The evidence cannot settle it.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The decision as a headline."""

    tone: str
    """``promote``, ``keep`` or ``none``."""
    headline: str
    reason: str
    strength: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRow:
    """One arm of the summary table, every value ready to print."""

    id: str
    """M1, M2, … in the order of the arms."""
    arm: ArmReport
    standing: str
    """``in service``, ``candidate`` or nothing."""
    mean: str
    interval: str
    t_interval: str
    difference: str
    difference_interval: str
    as_is: str
    """Share that parsed as it stood."""
    readable: str
    """Share that parsed as it stood or after extraction."""
    pass_08: str
    pass_09: str
    perfect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentRow:
    """One component over all arms."""

    name: str
    most: float
    means: tuple[float | None, ...]
    """Mean points by arm."""
    best: frozenset[int]
    """Arms with the highest mean; empty where all are equal."""

    def lost(self, arm: int) -> float | None:
        """Mean points that an arm leaves lying here."""
        mean = self.means[arm]
        return None if mean is None else max(0.0, self.most - mean)


def verdict(report: Report, decision: Decision | None) -> Verdict:
    """The decision as a headline; of one arm alone, and without a decision, what was measured."""
    if decision is None or (decision.candidate is None and len(report.arms) < 2):
        best = next(iter(ranking(report)), None)
        headline = f"{best.name}: {show.score(best.summary.mean)}" if best else "No arm"
        reason = "Measured only; nothing was compared or decided."
        return Verdict(tone="none", headline=headline, reason=reason, strength="")
    strength = STRENGTHS[decision.strength]
    if decision.verdict == "promote":
        reason = f"It replaces {decision.incumbent}: every rule of the policy passes."
        return Verdict(
            tone="promote",
            headline=f"Promote {decision.candidate}",
            reason=reason,
            strength=strength,
        )
    failed = [rule.name for rule in decision.rules if not rule.passed]
    if decision.candidate is None:
        reason = "No candidate could be judged."
    elif failed:
        reason = f"{decision.candidate} comes closest and does not pass: {', '.join(failed)}."
    else:
        reason = f"{decision.candidate} comes closest and is not adopted."
    return Verdict(
        tone="keep", headline=f"Keep {decision.incumbent}", reason=reason, strength=strength
    )


def baseline(report: Report) -> str:
    """The arm that others are set against in files: ``baseline``, else the first."""
    return "baseline" if report.arm("baseline") else report.arms[0].name if report.arms else ""


def incumbent(report: Report, decision: Decision | None) -> str:
    """The arm that others are set against for a reader: the one in service, if it was compared."""
    known = decision is not None and report.arm(decision.incumbent) is not None
    return decision.incumbent if decision is not None and known else baseline(report)


def arm_rows(report: Report, decision: Decision | None, reference: str) -> list[ArmRow]:
    """The summary table; differences are to the arm ``reference``."""
    return [
        _arm_row(number, arm, report, decision, reference)
        for number, arm in enumerate(report.arms, start=1)
    ]


def _arm_row(
    number: int, arm: ArmReport, report: Report, decision: Decision | None, reference: str
) -> ArmRow:
    test = paired(report, arm.name, reference)
    summary, validity, seen = arm.summary, arm.validity, arm.summary.n > 0
    is_reference = arm.name == reference
    return ArmRow(
        id=f"M{number}",
        arm=arm,
        standing=_standing(arm.name, decision),
        mean=show.score(summary.mean),
        interval=show.interval(summary.ci95),
        t_interval=show.interval(summary.t95),
        difference="–" if is_reference else show.difference(gain(report, arm.name, reference)),
        difference_interval=show.interval(test.ci95, signed=True) if test else "",
        as_is=show.percent(validity.as_is if seen else None),
        readable=show.percent(validity.as_is + validity.extracted if seen else None),
        pass_08=show.percent(summary.pass_rate_08),
        pass_09=show.percent(summary.pass_rate_09),
        perfect=show.percent(summary.perfect_rate),
    )


def _standing(name: str, decision: Decision | None) -> str:
    if decision is None:
        return ""
    if name == decision.incumbent:
        return "in service"
    return "candidate" if name == decision.candidate else ""


def gain(report: Report, name: str, reference: str) -> float | None:
    """Difference to the reference: paired where there is a test, else of the means."""
    if name == reference:
        return 0.0
    test = paired(report, name, reference)
    if test is not None:
        return test.mean_difference
    ours, theirs = report.arm(name), report.arm(reference)
    if ours is None or theirs is None:
        return None
    if ours.summary.mean is None or theirs.summary.mean is None:
        return None
    return ours.summary.mean - theirs.summary.mean


def ranking(report: Report) -> list[ArmReport]:
    """Arms by mean, highest first; arms without one last, ties in the order of naming."""
    return sorted(
        report.arms,
        key=lambda arm: -arm.summary.mean if arm.summary.mean is not None else float("inf"),
    )


def paired(report: Report, a: str, b: str) -> PairedTest | None:
    """The paired test of ``a`` against ``b``, turned round where it was made the other way."""
    for test in report.tests:
        if (test.a, test.b) == (a, b):
            return test
        if (test.a, test.b) == (b, a):
            return flipped(test)
    return None


def flipped(test: PairedTest) -> PairedTest:
    """The same test seen from the other arm."""
    return replace(
        test,
        a=test.b,
        b=test.a,
        mean_difference=_negative(test.mean_difference),
        ci95=_mirrored(test.ci95),
        wins=test.losses,
        losses=test.wins,
        effect_size=_negative(test.effect_size),
    )


def ordered_tests(report: Report) -> list[PairedTest]:
    """All tests, the arm named later against the one named earlier."""
    place = {arm.name: position for position, arm in enumerate(report.arms)}
    return [
        flipped(test) if place.get(test.a, 0) < place.get(test.b, 0) else test
        for test in report.tests
    ]


def _negative(value: float | None) -> float | None:
    return None if value is None else -value if value else value


def _mirrored(found: Interval | None) -> Interval | None:
    return None if found is None else replace(found, low=-found.high, high=-found.low)


def p_of(test: PairedTest) -> float | None:
    """The p-value to judge by: corrected for the number of pairs where that was done."""
    return test.holm_p if test.holm_p is not None else test.sign_flip_p


def in_words(test: PairedTest) -> str:
    """One paired test as two or three plain sentences."""
    if test.mean_difference is None:
        return f"{test.a} and {test.b} have no scored example in common."
    gap = test.mean_difference
    how = "the same as" if gap == 0 else f"{show.score(abs(gap))} {'above' if gap > 0 else 'below'}"
    lines = [
        f"{test.a} scores {how} {test.b} on the same {show.counted(test.n, 'example')}"
        + (f" (95 % interval {show.interval(test.ci95, signed=True)})" if test.ci95 else "")
        + f": better on {test.wins}, worse on {test.losses}, equal on {test.ties}."
    ]
    p = p_of(test)
    if p is not None:
        real = p < ALPHA
        lines.append(f"{'More than chance' if real else 'This may be chance'} ({show.p_value(p)}).")
    if test.smallest_detectable:
        least = show.score(test.smallest_detectable, 3)
        lines.append(f"A true difference smaller than {least} would often go unseen here.")
    if test.examples_needed is not None and test.examples_needed > test.n:
        lines.append(
            f"About {show.count(test.examples_needed)} examples would make this one clear."
        )
    return " ".join(lines)


def component_rows(report: Report) -> list[ComponentRow]:
    """Mean points by component and arm, in the metric's order."""
    names = list(report.component_max)
    names += [name for arm in report.arms for name in arm.components if name not in names]
    return [_component_row(name, report) for name in dict.fromkeys(names)]


def _component_row(name: str, report: Report) -> ComponentRow:
    means = tuple(arm.components.get(name) for arm in report.arms)
    known = [mean for mean in means if mean is not None]
    top, spread = max(known, default=0.0), max(known, default=0.0) - min(known, default=0.0)
    best = {i for i, mean in enumerate(means) if mean is not None and top - mean < 1e-12}
    return ComponentRow(
        name=name,
        most=report.component_max.get(name, top),
        means=means,
        best=frozenset(best if spread > 1e-12 else ()),
    )


def scale_note(report: Report) -> str:
    """What the best possible answer scores, and the worst, as far as the metric says."""
    said = (
        f"The best attainable score of {report.metric} v{report.metric_version} "
        f"is {show.score(report.attainable_max)}"
    )
    if report.floor is not None:
        said += f"; its floor is {show.score(report.floor)}, for an answer with nothing in it"
    ceilings = (f"{show.score(most)} {what}" for what, most in report.ceilings.items())
    return f"{said}." + (f" At most {', '.join(ceilings)}." if report.ceilings else "")
