"""What comes back: generations, what the role reads from them, and their scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .examples import Message

Validity = Literal["as_is", "extracted", "none"]
"""Did the output parse as it stood, after extraction of the document, or not at all?"""

Extraction = Literal["strict", "lenient"]

Stage = Literal["generate", "parse", "score"]


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
    prompt_sha256: str | None = None
    """Hash of the prompt's token ids, in order, if the backend makes them itself."""
    completion_tokens: int | None = None
    """Tokens of the answer, if the backend counts them."""
    latency_s: float | None = None
    """Seconds from request to full answer; a batch's time is shared out among its members."""
    first_token_s: float | None = None
    """Seconds from request to the first piece of the answer, where it was streamed."""
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
