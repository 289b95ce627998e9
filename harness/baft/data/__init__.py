"""What a dataset holds: verdicts, duplicates, balance, scores; repaired, and split in two.

Files are read line by line; what has to be remembered of a line is on disk.
"""

from __future__ import annotations

from .audit import DataAudit, ReferenceScores, Ruler, TokenLengths, audit
from .describe import Description, Spread, describe
from .index import Twin, Verdict
from .lines import Line, judge, read
from .repair import Repair, repair
from .selection import FEW, Bar, Candidate, Chosen, Reason, Selection, fresh, row_of, select
from .split import Split, draw, split

__all__ = [
    "FEW",
    "Bar",
    "Candidate",
    "Chosen",
    "DataAudit",
    "Description",
    "Line",
    "Reason",
    "ReferenceScores",
    "Repair",
    "Ruler",
    "Selection",
    "Split",
    "Spread",
    "TokenLengths",
    "Twin",
    "Verdict",
    "audit",
    "describe",
    "draw",
    "fresh",
    "judge",
    "read",
    "repair",
    "row_of",
    "select",
    "split",
]
