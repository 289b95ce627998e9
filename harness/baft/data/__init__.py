"""What a dataset holds: verdicts, duplicates, balance, scores; repaired, and split in two.

Files are read line by line; what has to be remembered of a line is on disk.
"""

from __future__ import annotations

from .audit import DataAudit, ReferenceScores, Ruler, TokenLengths, audit
from .describe import Description, Spread, describe
from .index import Twin, Verdict
from .lines import Line, judge, read
from .repair import Repair, repair
from .split import Split, draw, split

__all__ = [
    "DataAudit",
    "Description",
    "Line",
    "ReferenceScores",
    "Repair",
    "Ruler",
    "Split",
    "Spread",
    "TokenLengths",
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
