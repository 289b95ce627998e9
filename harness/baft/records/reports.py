"""What a run comes to: aggregates by arm, paired tests, and the report of them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .answers import Extraction
from .audits import Audit
from .examples import Decoding


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A two-sided confidence interval."""

    low: float
    high: float
    level: float = 0.95
    """Nominal coverage."""
    method: str = "t"
    """How it was computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Aggregates of one arm's scores; every number knows its n."""

    n: int
    """Examples with a score."""
    failures: int
    """Examples without one."""
    mean: float | None
    """None at n = 0."""
    median: float | None
    std: float | None
    """Sample standard deviation (n - 1); None below n = 2."""
    min: float | None
    max: float | None
    pass_rate_08: float | None
    """Share of scores at or above 0.8."""
    pass_rate_09: float | None
    perfect_rate: float | None
    """Share of scores at or above 1.0."""
    ci95: Interval | None
    """Interval of the mean; None below n = 2."""
    t95: Interval | None = None
    """The same by Student's t, for comparison; None below n = 2."""
    variance_between: float | None = None
    """Variance between examples, repeats set aside; None without repeats."""
    variance_within: float | None = None
    """Variance between repeats of one example; None without repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an arm consumed."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None
    tokens_per_s: float | None = None
    """Completion tokens by second of wall time of the arm; what the cache held is left out."""
    wall_s: float = 0.0
    """Seconds the arm took, resumed parts included."""
    truncated: int = 0
    """Generations cut off by a limit."""
    cached: int = 0
    """Answers found in the generation cache; the others were asked for."""
    tokens_per_example: float | None = None
    """Mean completion tokens of one answer; None where any answer's were not counted."""
    first_token_p50_s: float | None = None
    """Seconds to the first piece of an answer; None where nothing was streamed."""
    first_token_p95_s: float | None = None
    retried: int = 0
    """Further tries that answers and failures took."""
    peak_memory_bytes: int | None = None
    """Most memory that a process computing the model held; None for servers, who do not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidityShares:
    """Shares of an arm's outputs by how they parsed; they add up to 1 (0 at n = 0)."""

    as_is: float
    extracted: float
    none: float
    mean_other: float | None
    """Mean score under the other extraction setting."""
    n: int = 0
    """Outputs that the shares are of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmReport:
    """Everything a decision or a reader needs to know of one arm."""

    name: str
    """``baseline``, ``optimized``, ``finetuned`` or a name the user gave."""
    spec: str
    """The model's spec as it was asked for."""
    fingerprint: str
    """Hash of the model's content, see ``Backend.fingerprint``."""
    config: Mapping[str, Any]
    """What the backend says of itself."""
    expected: int
    """Examples (times repeats) that were asked."""
    scores: Mapping[str, float]
    """Mean score over repeats, by example id; failed examples are absent."""
    failed: Mapping[str, str]
    """Reason by example id."""
    summary: Summary
    components: Mapping[str, float]
    """Mean points by component."""
    validity: ValidityShares
    usage: Usage
    audit: Audit | None = None
    selected_on: str = ""
    """How the arm was chosen by the very examples it is judged on; empty if that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTest:
    """Paired comparison of two arms on the examples that both have a score for."""

    a: str
    b: str
    n: int
    """Examples in common."""
    mean_difference: float | None
    """Mean of a - b; None at n = 0."""
    ci95: Interval | None
    wins: int
    """Examples on which a is better."""
    losses: int
    ties: int
    sign_flip_p: float | None
    """Two-sided sign-flip permutation test; None below n = 1."""
    wilcoxon_p: float | None
    """Two-sided Wilcoxon signed-rank test, zeros by Pratt's method."""
    holm_p: float | None
    """``sign_flip_p`` after Holm's correction over all pairs."""
    effect_size: float | None
    """Cohen's d_z; None where the differences do not vary."""
    smallest_detectable: float | None
    """Difference found with 80 % power at this n and spread, two-sided 5 %."""
    std: float | None = None
    """Sample standard deviation of the differences; None below n = 2."""
    examples_needed: int | None = None
    """Examples with which the mean difference would be clear, 80 % power; None: none would do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """How many candidates were tried against a dataset so far."""

    candidates: int
    """Different candidates, by fingerprint, this run's included."""
    runs: int
    """Runs in which they were tried."""
    smoke_runs: int = 0
    """Further runs on a part of the examples; their candidates are not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One comparison: all arms over the same examples, same decoding, same metric."""

    run_id: str
    date: str
    """ISO 8601, UTC."""
    benchmark: str
    role: str
    dataset: str
    """Path as given."""
    dataset_sha256: str
    num_examples: int
    metric: str
    metric_version: int
    attainable_max: float
    component_max: Mapping[str, float]
    """Most points by component."""
    extraction: Extraction
    decoding: Decoding
    repeats: int
    arms: tuple[ArmReport, ...]
    """In the order in which they were named."""
    tests: tuple[PairedTest, ...]
    notes: tuple[str, ...] = ()
    """What a reader must know: limits, differences between arms, …"""
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Short tags of each example, by id and tag: tier, language, …"""
    looks: Looks | None = None
    """How often this dataset was asked; None where nobody counted."""
    floor: float | None = None
    """Score of an answer with nothing in it; None where the metric does not say."""
    ceilings: Mapping[str, float] = field(default_factory=dict)
    """Best scores by what holds them down, such as ``without stories``."""

    def arm(self, name: str) -> ArmReport | None:
        """The arm of that name, or None."""
        return next((arm for arm in self.arms if arm.name == name), None)
