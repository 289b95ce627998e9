"""What became of a decision: the line of ``promotions.jsonl``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .decisions import Decision
from .examples import Decoding


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """The record that a candidate became the incumbent (or was taken back)."""

    action: Literal["promote", "rollback"]
    role: str
    arm: str
    """The winner's name; for a rollback that undoes a promotion, that promotion's number."""
    spec: str
    """What now serves the role; paths below the project's folder start there."""
    fingerprint: str
    run: str
    """Path of the run that holds the evidence."""
    date: str
    config: str
    """Path of the file that was changed."""
    sha256_before: str
    sha256_after: str
    backup: str
    """Path of the bytes before the change."""
    who: str
    host: str
    forced: bool = False
    """True where the run's verdict was keep."""
    policy: Mapping[str, Any] = field(default_factory=dict)
    decision: Decision | None = None
    """What the gate said of the winner, without what it said of others; None for a rollback."""
    decoding: Decoding | None = None
    """What it was measured with; None for a rollback."""
    to: int | None = None
    """Of a rollback with ``--to``: the promotion whose bytes were restored."""

    def __post_init__(self) -> None:
        if self.action == "rollback" and self.to is None and not self.arm.isdecimal():
            raise ValueError(f"a rollback undoes a promotion's number, not {self.arm!r}")
