"""What the metric audit found: answers without a model, findings and their evidence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Two texts that show what a finding says, cut to what a reader needs."""

    example: str
    """Id of the example."""
    text: str
    """The answer, or the example's inputs."""
    other: str
    """What it is set against: an id, a file, its inputs."""
    other_text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFinding:
    """One check of the metric audit on one arm."""

    name: str
    """``relevance``, ``fit``, ``near_copies``, ``training_copies``, ``floor``,
    ``training_inputs``, ``selection``."""
    passed: bool
    observed: float | None
    required: str
    """The bound in words, such as ``< 0.05``."""
    why: str
    """One sentence."""
    examples: tuple[str, ...] = ()
    """Ids of the examples that show it."""
    evidence: tuple[Evidence, ...] = ()
    """What they say."""
    checked: bool = True
    """False where what it takes is not there; such a finding does not void the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NullArm:
    """Answers made without a model, scored by the run's metric."""

    name: str
    """``empty``, ``constant``, ``copy`` or ``shuffled``."""
    what: str
    """How they were made."""
    mean: float | None
    """None where the metric could score none."""
    n: int
    """Answers scored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What the metric says about answers that know nothing of the example."""

    attainable_max: float
    """Best score the metric can give."""
    nulls: tuple[NullArm, ...] = ()
    findings: tuple[AuditFinding, ...] = ()
    sampled: int | None = None
    """Answers looked at, evenly spaced, where there are too many for all."""

    @property
    def passed(self) -> bool:
        """No finding voids the result."""
        return all(finding.passed for finding in self.findings)
