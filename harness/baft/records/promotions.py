"""What became of a decision: the line of ``promotions.jsonl``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """The record that a candidate became the incumbent (or was taken back)."""

    action: Literal["promote", "rollback"]
    role: str
    arm: str
    """The winner's name; for a rollback the promotion's number that was undone."""
    spec: str
    """What now serves the role."""
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
