"""What the page shows above the examples: losses, tags and the worst cases."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from heapq import nsmallest
from typing import TYPE_CHECKING

from . import numbers as show
from .examples import anchor, losses, reason, tone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..records import Report
    from ..store import RunStore
    from ..store.rows import ScoreRow

WORST = 5
"""Worst answers shown of each arm."""
TAG_VALUES = range(2, 9)
"""A tag with so many distinct values gets a table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """One of an arm's worst answers."""

    id: str
    anchor: str
    score: str
    tone: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRows:
    """What an arm's single results add to its report."""

    lost: Mapping[str, int]
    """Answers that lost points, by component."""
    worst: tuple[Worst, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRow:
    """One value of a tag: how many examples have it, and each arm's mean on them."""

    value: str
    n: int
    means: tuple[float | None, ...]


def read_rows(store: RunStore, report: Report, threshold: float) -> list[ArmRows]:
    """One pass over each arm's numbers; no text is read."""
    return [_arm(store, arm.name, report, threshold) for arm in report.arms]


def _arm(store: RunStore, name: str, report: Report, threshold: float) -> ArmRows:
    lost: Counter[str] = Counter()

    def lossy() -> Iterator[ScoreRow]:
        for row in store.score_rows(name):
            for part, most in report.component_max.items():
                lost[part] += row.components.get(part, most) < most - 1e-9
            if row.value is None or row.value < report.attainable_max - 1e-9:
                yield row

    worst = nsmallest(WORST, lossy(), key=lambda r: -math.inf if r.value is None else r.value)
    return ArmRows(lost=lost, worst=tuple(_worst(row, report, threshold) for row in worst))


def _worst(row: ScoreRow, report: Report, threshold: float) -> Worst:
    return Worst(
        id=row.example_id,
        anchor=anchor(row.example_id),
        score=show.score(row.value),
        tone=tone(row.value, threshold),
        reason=reason(
            row.failure,
            row.validity,
            row.finish_reason,
            losses(row.components, report.component_max),
        ),
    )


def tag_tables(tags: Mapping[str, Mapping[str, str]], report: Report) -> dict[str, list[TagRow]]:
    """A table for each tag with few values; ``tags`` are each example's, by id."""
    members: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for id_, found in tags.items():
        for name, value in found.items():
            members[name][value].append(id_)
    return {
        name: [_tag_row(value, ids, report) for value, ids in sorted(values.items())]
        for name, values in sorted(members.items())
        if len(values) in TAG_VALUES
    }


def _tag_row(value: str, ids: list[str], report: Report) -> TagRow:
    means = []
    for arm in report.arms:
        scores = [arm.scores[id_] for id_ in ids if id_ in arm.scores]
        means.append(math.fsum(scores) / len(scores) if scores else None)
    return TagRow(value=value, n=len(ids), means=tuple(means))
