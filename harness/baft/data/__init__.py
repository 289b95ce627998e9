"""What a dataset holds: verdicts, duplicates, balance, scores; repaired, and split in two."""

from __future__ import annotations

from .audit import DataAudit, ReferenceScores, Verdict, audit
from .describe import Description, Spread, describe
from .lines import Line, judge, read
from .repair import Repaired, repair
from .split import draw, split
from .twins import Twin

__all__ = [
    "DataAudit",
    "Description",
    "Line",
    "ReferenceScores",
    "Repaired",
    "Spread",
    "Twin",
    "Verdict",
    "audit",
    "describe",
    "draw",
    "judge",
    "read",
    "repair",
    "split",
]
