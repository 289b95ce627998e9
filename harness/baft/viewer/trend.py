"""The means of a role's runs over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .catalog import RunLine

MOST = 100
"""Runs of one chart, the newest; more would lie on one another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """What one role's chart shows."""

    runs: int
    means: Mapping[str, tuple[tuple[int, float], ...]]
    """Number of the run, from 1 for the oldest, and mean; by arm."""
    threshold: float
    """Of the newest run."""


def trend(lines: Iterable[RunLine], role: str) -> Trend | None:
    """The finished runs of a role, which come newest first; None below two of them."""
    found = [
        line
        for line in lines
        if line.state == "finished" and line.manifest is not None and line.manifest.role == role
    ][:MOST]
    if len(found) < 2:
        return None
    means: dict[str, list[tuple[int, float]]] = {}
    for number, line in enumerate(reversed(found), start=1):
        for arm in line.arms:
            if arm.mean is not None:
                means.setdefault(arm.name, []).append((number, arm.mean))
    return Trend(
        runs=len(found),
        means={name: tuple(points) for name, points in means.items()},
        threshold=found[0].threshold,
    )
