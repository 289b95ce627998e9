"""The audit of datasets: verdicts, duplicates, numbers, and what the references score."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..records import Prediction
from .describe import Description, describe
from .twins import Twin, twins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..protocols import Metric, Role
    from .lines import Line

WORST = 5
"""So many of the lowest references are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is wrong with one line."""

    file: str
    line: int
    """From 1."""
    id: str | None
    """None where the line cannot be read."""
    problem: str
    """Empty where nothing is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Low:
    """A reference below the attainable maximum."""

    line: int
    id: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceScores:
    """What the metric gives the references."""

    metric: str
    n: int
    mean: float | None
    """None at n = 0."""
    attainable_max: float
    below_max: int
    """References that do not reach it."""
    worst: tuple[Low, ...]
    """The lowest of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataAudit:
    """Everything an audit found."""

    files: tuple[Description, ...]
    scores: tuple[ReferenceScores, ...]
    """One for each file."""
    verdicts: tuple[Verdict, ...]
    """One for each line, the valid ones included."""
    twins: tuple[Twin, ...]
    """At most one for each line and earlier file: the gravest, then the most similar."""

    @property
    def invalid(self) -> tuple[Verdict, ...]:
        """The lines with a problem."""
        return tuple(verdict for verdict in self.verdicts if verdict.problem)

    @property
    def is_clean(self) -> bool:
        """Every line is valid, and none says what another says."""
        return not self.invalid and not self.twins


def audit(
    files: Sequence[Sequence[Line]],
    role: Role,
    metric: Metric,
    against: Sequence[Line] = (),
) -> DataAudit:
    """Audit files, each for itself and with the others; ``against`` may share nothing with them."""
    scored = [_scored(lines, metric) for lines in files]
    lines = [*against, *(line for file in scored for line, _ in file)]
    return DataAudit(
        files=tuple(describe(lines, role) for lines in files),
        scores=tuple(_scores(file, metric) for file in scored),
        verdicts=tuple(_verdict(line) for line in lines),
        twins=twins(lines, known=len(against)),
    )


def _verdict(line: Line) -> Verdict:
    id = line.example.id if line.example is not None else None
    return Verdict(file=line.file, line=line.number, id=id, problem=line.problem)


def _scored(lines: Sequence[Line], metric: Metric) -> list[tuple[Line, float | None]]:
    """Each line with its reference's score; a reference the metric cannot take is a problem."""
    scored: list[tuple[Line, float | None]] = []
    for line in lines:
        score = None
        if line.example is not None and line.example.reference is not None:
            prediction = Prediction(fields=line.example.reference, validity="as_is")
            try:
                score = metric.score(line.example, prediction).value
            except Exception as error:  # border: one example
                line = replace(line, problem=f"its reference cannot be scored: {error}".rstrip("."))
        scored.append((line, score))
    return scored


def _scores(scored: Sequence[tuple[Line, float | None]], metric: Metric) -> ReferenceScores:
    sign = 1 if metric.higher_is_better else -1
    found = [
        Low(line=line.number, id=line.example.id, score=score)
        for line, score in scored
        if line.example is not None and score is not None
    ]
    below = [low for low in found if sign * (metric.attainable_max - low.score) > 1e-9]
    return ReferenceScores(
        metric=f"{metric.name} v{metric.version}",
        n=len(found),
        mean=statistics.fmean(low.score for low in found) if found else None,
        attainable_max=metric.attainable_max,
        below_max=len(below),
        worst=tuple(sorted(below, key=lambda low: sign * low.score)[:WORST]),
    )
