"""The frozen records that flow through baft, in the order in which they arise.

``Example → Prompt → Generation → Prediction → Score`` (or ``Failure``), then
``ArmSummary → Report → Decision → Promotion``. Shares are fractions from 0 to 1, times are seconds.
Apart from an example's ``inputs`` no dict crosses a module border without a record around it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Validity = Literal["as_is", "extracted", "none"]
"""Did the output parse as it stood, after extraction of the document, or not at all?"""

Extraction = Literal["strict", "lenient"]

Stage = Literal["generate", "parse", "score"]

Strength = Literal["clear", "within noise", "cannot decide"]


def digest(value: Any) -> str:
    """SHA-256 (hex) of a JSON-able value, the same for equal values.

    >>> digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def example_id(inputs: Mapping[str, Any]) -> str:
    """The id of an example that brings none: a short hash of its inputs."""
    return digest(dict(inputs))[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One named input or output of a role."""

    name: str
    """Key under which the value is found, such as ``title``."""
    description: str
    """What the value must be, in the words the model is told."""
    kind: Literal["text", "list"] = "text"
    """``list`` values are lists of mappings, or YAML text that holds one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One row of a benchmark."""

    id: str
    """Unique within the dataset."""
    inputs: Mapping[str, Any]
    """What the model is told about, such as ``{"concept": …}``."""
    reference: Mapping[str, Any] | None = None
    """A good prediction, by output field; None where the dataset has none."""
    tags: Mapping[str, Any] = field(default_factory=dict)
    """Everything else in the row: tier, language, origin, …"""

    def __post_init__(self) -> None:
        if not self.id:
            raise ValueError("an example needs a non-empty id")
        if not self.inputs:
            raise ValueError("an example needs at least one input")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    """Who speaks."""
    content: str
    """What is said, word for word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Exactly what is sent for one example."""

    example_id: str
    """The example it was rendered from."""
    inputs: Mapping[str, Any]
    """The example's inputs, for backends that render their own prompt or look answers up."""
    messages: tuple[Message, ...]
    """The chat, oldest turn first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How tokens are drawn: the same for every arm of a comparison."""

    temperature: float = 0.7
    """0 is greedy."""
    max_tokens: int = 2048
    """Most new tokens of one generation."""
    seed: int = 42
    """Draws of one example depend on this, the prompt and nothing else, where a backend can."""
    num_ctx: int = 8192
    """Context window asked of servers that have to be told, in tokens."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and 0 <= self.temperature <= 10):
            raise ValueError(f"temperature must be between 0 and 10, not {self.temperature}")
        if self.seed < 0:  # servers take a negative seed for a random one
            raise ValueError(f"seed must not be negative, not {self.seed}")
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, not {self.max_tokens}")
        if self.num_ctx < 1:
            raise ValueError(f"num_ctx must be at least 1, not {self.num_ctx}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """Exactly what came back for one prompt; never edited afterwards."""

    example_id: str
    """The example it answers."""
    text: str
    """The answer, word for word."""
    fields: Mapping[str, Any] | None = None
    """Output fields, where the backend returns them apart (DSPy, a replayed object)."""
    finish_reason: Literal["stop", "length", "unknown"] = "unknown"
    """``length``: cut off by ``max_tokens`` or the context window."""
    prompt_tokens: int | None = None
    """Tokens of the prompt, if the backend counts them."""
    completion_tokens: int | None = None
    """Tokens of the answer, if the backend counts them."""
    latency_s: float | None = None
    """Seconds from request to full answer; a batch's time is shared out among its members."""
    sent: tuple[Message, ...] | None = None
    """What was really sent, where it is not the prompt's messages."""
    notes: tuple[str, ...] = ()
    """What a reader should know: truncated prompt, thinking removed, …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The reason why an example has no score. Never averaged."""

    example_id: str
    """The example it concerns."""
    stage: Stage
    """Where it happened: the backend, the role's parser, or the metric."""
    reason: str
    """One sentence."""
    attempts: int = 1
    """How often it was tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the role read from a generation."""

    fields: Mapping[str, Any]
    """Values by output field; a field that could not be read is absent."""
    validity: Validity
    """Whether the output parsed as it stood, after extraction, or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A number for one example."""

    value: float
    """On the metric's scale, usually 0 to 1."""
    components: Mapping[str, float] = field(default_factory=dict)
    """Points by part of the metric."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"a score must be finite, not {self.value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One example of one arm after scoring: a score or a failure, with what led there."""

    example_id: str
    """The example."""
    repeat: int = 0
    """Which repetition of it, from 0."""
    generation: Generation | None = None
    """None where the backend failed."""
    prediction: Prediction | None = None
    """None where there is no generation or the parser failed."""
    score: Score | None = None
    """None exactly where there is a failure."""
    other_score: float | None = None
    """The score under the other extraction setting."""
    failure: Failure | None = None
    """None exactly where there is a score."""

    def __post_init__(self) -> None:
        if (self.score is None) == (self.failure is None):
            raise ValueError("an example has either a score or a failure")


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
    """Completion tokens by second of wall time of the arm."""
    wall_s: float = 0.0
    """Seconds the arm took, resumed parts included."""
    truncated: int = 0
    """Generations cut off by a limit."""
    tokens_per_example: float | None = None
    """Mean completion tokens of one answer; None where any answer's were not counted."""


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

    def arm(self, name: str) -> ArmReport | None:
        """The arm of that name, or None."""
        return next((arm for arm in self.arms if arm.name == name), None)


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
class Limits:
    """How patiently a run asks: the same for every arm."""

    concurrency: int = 8
    """Most requests under way at once, where a backend sets no bound of its own."""
    timeout_s: float = 600.0
    """Longest wait for one request (one batch of a local model), in seconds."""
    retries: int = 3
    """Further tries after a failure that another try may cure."""
    backoff_s: float = 0.5
    """First pause between tries; it doubles, with jitter."""

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, not {self.concurrency}")
        if not self.timeout_s > 0:
            raise ValueError(f"timeout must be above 0 seconds, not {self.timeout_s}")
        if self.retries < 0:
            raise ValueError(f"retries must not be negative, not {self.retries}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmManifest:
    """One arm as it was asked for, and what its backend said of itself."""

    name: str
    spec: str
    fingerprint: str = ""
    """Empty where the backend could not be opened."""
    config: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""
    """Why the arm could not run; empty where it could."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a run was asked to do: all that ``--resume`` and a reader need (``run.json``)."""

    run_id: str
    date: str
    """Start, ISO 8601, UTC."""
    benchmark: str
    benchmark_version: int
    role: str
    dataset: str
    dataset_sha256: str
    num_examples: int
    """Examples asked, after ``limit``."""
    limit: int | None = None
    """Only the first so many examples: a smoke run, marked as such."""
    allow_invalid: bool = False
    skipped: int = 0
    """Invalid lines passed over with ``allow_invalid``."""
    train: str = ""
    """Training data named by the benchmark, for the audit."""
    sealed: str = ""
    """Dataset that is opened only for the final decision; empty where there is none."""
    sealed_sha256: str = ""
    metric: str
    metric_version: int
    attainable_max: float
    component_max: Mapping[str, float]
    extraction: Extraction
    repeats: int = 1
    decoding: Decoding
    limits: Limits
    policy: Policy
    incumbent: str
    arms: tuple[ArmManifest, ...]
    blocked: tuple[str, ...] = ()
    """Plugins left out with ``--no-plugin``."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of Python, baft and every plugin's distribution."""
    platform: str = ""
    git_commit: str = ""
    """Commit of the project, with ``+changes`` where the tree was not clean."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further flags that opening the models depends on: device, batch size, downloads."""


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
