"""What the gate goes by and what it says: the policy, its rules applied, the decision."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Strength = Literal["clear", "within noise", "cannot decide"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The written rules of the gate; a rule that is off (None, empty) is not applied."""

    name: str = "threshold"
    """The named policy that it started from, see ``policies``."""
    threshold: float = 0.8535
    """Least unrounded mean of the candidate."""
    not_worse: bool = True
    """The mean must reach the incumbent's, plus ``min_gain``; any ``min_gain`` turns it on."""
    min_gain: float = 0.0
    """Least gain over the incumbent, in absolute points of the score."""
    retention: float | None = None
    """Least share of the incumbent's mean."""
    gain_over_simpler: Mapping[str, float] = field(default_factory=dict)
    """By candidate: least gain over the best simpler arm of the run, in absolute points."""
    min_validity: float | None = None
    """Least share of outputs that parse, under the run's extraction."""
    max_std: float | None = None
    """Largest sample standard deviation of the scores."""
    floor: float | None = None
    """No example may score below it."""
    tags: Mapping[str, float] = field(default_factory=dict)
    """By tag: least mean of the examples with each of its values."""
    max_latency_s: float | None = None
    """Largest 95th percentile of the seconds to one answer."""
    max_tokens_per_example: float | None = None
    """Largest mean of the completion tokens of one answer."""
    max_failure_rate: float = 0.0
    """Largest share of examples without a score."""
    confidence: Literal["off", "report", "require"] = "report"
    """``off``: leave out what the set can tell; ``require``: the lower bound must pass, not the
    mean."""
    audit: bool = True
    """Let the metric audit void a result."""

    def __post_init__(self) -> None:
        shares = {
            "threshold": self.threshold,
            "max_failure_rate": self.max_failure_rate,
            "min_validity": self.min_validity,
            "floor": self.floor,
            **{f"tags.{name}": bound for name, bound in self.tags.items()},
        }
        for name, bound in shares.items():
            if bound is not None and not 0 <= bound <= 1:
                raise ValueError(f"{name} must be a share between 0 and 1, not {bound}")
        amounts = {
            "retention": self.retention,
            "max_std": self.max_std,
            "max_latency_s": self.max_latency_s,
            "max_tokens_per_example": self.max_tokens_per_example,
        }
        for name, bound in amounts.items():
            if bound is not None and not (math.isfinite(bound) and bound >= 0):
                raise ValueError(f"{name} must be a number from 0 up, not {bound}")
        gains = {
            "min_gain": self.min_gain,
            **{f"gain_over_simpler.{name}": gain for name, gain in self.gain_over_simpler.items()},
        }
        for name, gain in gains.items():
            if not math.isfinite(gain):
                raise ValueError(f"{name} must be finite, not {gain}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TagGroup:
    """The examples that share one value of a tag, as a rule saw them."""

    value: str
    n: int
    """Examples of the group with a score."""
    mean: float | None
    """None at n = 0."""
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """One rule of the policy, applied to one candidate."""

    name: str
    passed: bool
    observed: float | str | None
    """What the rule looked at, unrounded."""
    required: str
    """The bound in words."""
    why: str
    """One sentence."""
    strength: Strength = "clear"
    """How firmly the evidence supports ``passed``; ``cannot decide`` where data is missing."""
    groups: tuple[TagGroup, ...] = ()
    """What a rule on a tag looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """How often a run of this size would pass if the model's true mean were this."""

    truth: float
    passes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """What a set of this size can and cannot tell about the candidate."""

    n: int
    """Examples with a score."""
    at_threshold: float | None
    """Probability that a model truly at the threshold passes it; None without spread."""
    curve: tuple[CurvePoint, ...]
    """The same at true means around the threshold, lowest first."""
    for_threshold: int | None
    """Examples that would settle the distance to the threshold; None: none would."""
    for_incumbent: int | None
    """Examples that would settle the gain over the incumbent; None: none would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Promote the candidate or keep the incumbent, and why."""

    verdict: Literal["promote", "keep"]
    conclusive: bool
    """False where an arm is missing, incomplete or void, so that the rules could not be applied."""
    strength: Strength
    """How firmly the intervals support the verdict."""
    candidate: str | None
    """The arm on trial that came closest; None where there is none."""
    incumbent: str
    """The arm in service."""
    rules: tuple[RuleResult, ...]
    """The candidate's rules."""
    next_steps: tuple[str, ...]
    run: str
    """The run's id."""
    considered: Mapping[str, tuple[RuleResult, ...]] = field(default_factory=dict)
    """Every other candidate's rules, by arm."""
    policy: Policy | None = None
    """The policy it was taken by."""
    losses: Mapping[str, float] = field(default_factory=dict)
    """Mean points that the candidate loses by component, most first."""
    power: Power | None = None
    """What the examples can tell of the candidate; None where the policy leaves it out."""
