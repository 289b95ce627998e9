"""The metric audit and the looks in words: what stands behind an honest decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import numbers as show

if TYPE_CHECKING:
    from ..records import ArmReport, AuditFinding, Decision, Report

AT_THE_BAR = 0.5
"""Chance that a model truly at the threshold passes it where the scores do not say: sampling puts
the mean as often above its true value as below."""


def reaches(mean: float | None, threshold: float) -> str:
    """Whether a mean would pass the threshold.

    >>> reaches(0.9286, 0.8535), reaches(None, 0.8535)
    ('yes', 'n/a')
    """
    return show.NA if mean is None else "yes" if mean >= threshold else "no"


def mark(finding: AuditFinding) -> tuple[str, str]:
    """A sign for a finding, and the word for it."""
    if not finding.checked:
        return "?", "not checked"
    return ("✓", "passed") if finding.passed else ("✗", "not passed")


def audit_line(arm: ArmReport) -> str:
    """The audit of one arm on one line; empty where there is none."""
    if arm.audit is None:
        return ""
    failed = [finding.name for finding in arm.audit.findings if not finding.passed]
    unknown = sum(not finding.checked for finding in arm.audit.findings)
    nulls = ", ".join(f"{null.name} {show.score(null.mean)}" for null in arm.audit.nulls)
    said = f"fails {', '.join(failed)}" if failed else "passes"
    open_ = f", {show.counted(unknown, 'check')} could not be made" if unknown else ""
    return f"{arm.name}: {said}{open_}; without a model: {nulls}"


def at_least_once(chance: float, times: int) -> float:
    """Chance of at least one success in so many independent tries, 1 - (1 - p)^k.

    >>> round(at_least_once(0.5, 3), 3)
    0.875
    """
    return 1 - (1 - chance) ** times


def lucky_pass(report: Report, decision: Decision | None) -> tuple[float, float] | None:
    """Chance that a model truly at the bar passes once, and at least once in all looks so far.

    Assumes that every candidate is truly at the bar and that the looks are independent; looks at
    the same examples resemble one another, so the second is an upper bound. None without looks.
    """
    if report.looks is None or not report.looks.candidates:
        return None
    power = decision.power if decision is not None else None
    once = power.at_threshold if power is not None else None
    once = AT_THE_BAR if once is None else once
    return once, at_least_once(once, report.looks.candidates)


def looks_line(report: Report, decision: Decision | None) -> str:
    """How many candidates were tried on this dataset, and what that makes of a pass."""
    looks, chances = report.looks, lucky_pass(report, decision)
    if looks is None:
        return ""
    smoke = f", besides {show.counted(looks.smoke_runs, 'smoke run')}" if looks.smoke_runs else ""
    line = (
        f"{show.counted(looks.candidates, 'candidate')} tried on this dataset so far, in "
        f"{show.counted(looks.runs, 'run')}{smoke}."
    )
    if chances is None:
        return line
    once, any_ = (show.percent(chance) for chance in chances)
    return (
        f"{line} A model truly at the bar passes once with {once}; if all of them were such models "
        f"and the looks independent, at least one would pass with {any_}."
    )
