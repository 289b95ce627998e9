"""What a run was asked to do: its limits, its arms, and the manifest in ``run.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .answers import Extraction
from .decisions import Policy
from .examples import Decoding


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
    stream: bool = False
    """Ask servers for streamed answers, to know the time to the first token."""

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
    floor: float | None = None
    ceilings: Mapping[str, float] = field(default_factory=dict)
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
