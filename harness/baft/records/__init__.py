"""The frozen records that flow through baft, in the order in which they arise.

``Example → Prompt → Generation → Prediction → Score`` (or ``Failure``), then
``ArmReport → Report → Decision → Promotion``. Shares are fractions from 0 to 1, times are seconds.
Apart from an example's ``inputs`` no dict crosses a module border without a record around it.
"""

from __future__ import annotations

from .answers import (
    Extraction,
    Failure,
    Generation,
    Prediction,
    Score,
    Scored,
    Stage,
    Validity,
)
from .audits import (
    Audit,
    AuditFinding,
    Evidence,
    NullArm,
)
from .decisions import (
    CurvePoint,
    Decision,
    Policy,
    Power,
    RuleResult,
    Strength,
    TagGroup,
)
from .examples import (
    Decoding,
    Example,
    Field,
    Message,
    Prompt,
    digest,
    example_id,
)
from .promotions import Promotion
from .reports import (
    ArmReport,
    Interval,
    Looks,
    PairedTest,
    Report,
    Summary,
    Usage,
    ValidityShares,
)
from .runs import (
    ArmManifest,
    Limits,
    Manifest,
)

__all__ = [
    "ArmManifest",
    "ArmReport",
    "Audit",
    "AuditFinding",
    "CurvePoint",
    "Decision",
    "Decoding",
    "Evidence",
    "Example",
    "Extraction",
    "Failure",
    "Field",
    "Generation",
    "Interval",
    "Limits",
    "Looks",
    "Manifest",
    "Message",
    "NullArm",
    "PairedTest",
    "Policy",
    "Power",
    "Prediction",
    "Promotion",
    "Prompt",
    "Report",
    "RuleResult",
    "Score",
    "Scored",
    "Stage",
    "Strength",
    "Summary",
    "TagGroup",
    "Usage",
    "Validity",
    "ValidityShares",
    "digest",
    "example_id",
]
